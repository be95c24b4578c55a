-- Schema 3. The events of a correlation: those whose ids begin like it are found by their ids, the others by this.

alter table event add column correlation blob;

-- What cannot be read stays without one: it must not keep the whole file from being opened.
update event set correlation = unhex(replace(said.correlation, '-', ''))
from (
    select position, case when json_valid(text) then json_extract(text, '$.correlation_id') end as correlation
    from (select position, cast(metadata as text) as text from event)
) as said
where said.position = event.position
    and length(unhex(replace(said.correlation, '-', ''))) = 16
    and substr(unhex(replace(said.correlation, '-', '')), 1, 8) <> substr(event.id, 1, 8);

create index event_correlation on event (correlation) where correlation is not null;
