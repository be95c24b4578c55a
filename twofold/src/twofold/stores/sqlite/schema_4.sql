-- Schema 4. Where in the code the error of a parked event was raised; null where nobody noted it.

alter table parked add column trace text;
