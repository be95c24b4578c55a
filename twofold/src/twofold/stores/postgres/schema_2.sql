-- Schema 2. The events of a correlation: those whose ids begin like it are found by their ids, the others by this.

set local statement_timeout = 0; -- a long log takes its time

alter table event add column correlation bytea;

-- What cannot be read stays without one: it must not keep the whole store from being opened.
update event set correlation = said.correlation
from (
    select position, uuid_send(substring(
        encode(metadata, 'escape')
        from '"correlation_id":"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"'
    )::uuid) as correlation
    from event
) as said
where said.position = event.position and substr(said.correlation, 1, 8) <> substr(uuid_send(event.id), 1, 8);

create index event_correlation on event (correlation, position) where correlation is not null;
