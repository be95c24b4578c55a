-- Schema 3. Where in the code the error of a parked event was raised; null where nobody noted it, as processes of the
-- code before do.

alter table parked add column trace text;
