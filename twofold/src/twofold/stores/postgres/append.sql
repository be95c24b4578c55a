-- Schema 2, too. A group of appends in one round trip, and where nobody began a transaction, one transaction.
--
-- The function of schema 1, without the correlations, is left where it was made: processes of that code go on with it.
--
-- The lock comes first and alone: what is read in a later statement is read after it was got, so no other append comes
-- between what is seen here and what is stored, and positions rise in commit order. The lock ends with the transaction.
--
-- No two appends of a group share a stream, an idempotency key or an event id. Each is judged by what is in the log, in
-- this order: its key is known; its events are there, as this append (`repeated`) or not (`taken`); its stream is at
-- another version (`conflict`); one of its ids comes twice (`taken`). What passes all that is stored.
create function twofold_append(
    log_lock bigint,
    recorded_at bigint,
    -- one element for each append; its number is its place, from 1
    streams text[], expecteds bigint[], sizes bigint[], doubles boolean[], keys text[], fingerprints text[],
    -- one element for each event: the number of its append, its own number in there from 1, and its columns
    owners bigint[], numbers bigint[], ids uuid[], types text[], schemas bigint[], datas bytea[], metadatas bytea[],
    checksums bigint[], correlations bytea[]
)
-- for each append, in turn: the version and position of its receipt, or what was kept under its key
returns table (
    fate text, at_version bigint, at_position bigint, kept_fingerprint text, kept_stream text, kept_refusal bytea
)
language plpgsql
-- A plan that was made while the tables were empty would scan them whole for as long as it is kept.
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $$
begin
    perform pg_advisory_xact_lock(log_lock);
    return query
    with asked as (
        select *
        from unnest(streams, expecteds, sizes, doubles, keys, fingerprints) with ordinality
            as asked (stream, expected, size, doubled, key, fingerprint, number)
    ),
    given as (
        select *
        from unnest(owners, numbers, ids, types, schemas, datas, metadatas, checksums, correlations)
            as given (owner, number, id, type, schema, data, metadata, checksum, correlation)
    ),
    found as ( -- the events that are there already, by append
        select
            given.owner,
            count(*) as size,
            bool_and(there.stream = streams[given.owner]) and
                min(there.version - given.number) = max(there.version - given.number) as in_place,
            max(there.version) as version,
            max(there.position) as position
        from given
        cross join lateral (
            select event.stream, event.version, event.position from event where event.id = given.id offset 0
        ) as there
        group by given.owner
    ),
    judged as (
        select
            asked.*,
            coalesce(last.version, 0) as last_version,
            coalesce(last.position, 0) as last_position,
            found.version as found_version,
            found.position as found_position,
            known.fingerprint as known_fingerprint,
            known.stream as known_stream,
            known.version as known_version,
            known.position as known_position,
            known.refusal as known_refusal,
            case
                when known.fingerprint is not null then 'known'
                when found.size = asked.size and found.in_place then 'repeated'
                when found.size > 0 then 'taken'
                when asked.expected <> coalesce(last.version, 0) then 'conflict'
                when asked.doubled then 'taken'
                else 'stored'
            end as fate
        from asked
        left join found on found.owner = asked.number
        left join lateral (
            select idempotency.* from idempotency where idempotency.key = asked.key offset 0
        ) as known on true
        left join lateral (
            select event.version, event.position from event
            where event.stream = asked.stream order by event.version desc limit 1
        ) as last on true
    ),
    placed as ( -- `before` is the position before the first event of an append that is stored
        select
            judged.*,
            (select coalesce(max(event.position), 0) from event)
                + sum(judged.size) filter (where judged.fate = 'stored') over (order by judged.number)::bigint
                - judged.size as before
        from judged
    ),
    stored as (
        insert into event (
            position, stream, version, id, type, schema, data, metadata, recorded_at, checksum, correlation
        )
        select
            placed.before + given.number, placed.stream, placed.last_version + given.number, given.id, given.type,
            given.schema, given.data, given.metadata, twofold_append.recorded_at, given.checksum, given.correlation
        from given join placed on placed.number = given.owner
        where placed.fate = 'stored'
    ),
    kept as (
        insert into idempotency (key, fingerprint, stream, version, position, recorded_at)
        select
            placed.key, placed.fingerprint, placed.stream, placed.last_version + placed.size,
            case placed.size when 0 then placed.last_position else placed.before + placed.size end,
            twofold_append.recorded_at
        from placed
        where placed.fate = 'stored' and placed.key is not null
    )
    select
        placed.fate,
        case placed.fate
            when 'known' then placed.known_version
            when 'repeated' then placed.found_version
            when 'stored' then placed.last_version + placed.size
            else placed.last_version
        end,
        case placed.fate
            when 'known' then placed.known_position
            when 'repeated' then placed.found_position
            when 'stored' then
                case placed.size when 0 then placed.last_position else placed.before + placed.size end
        end,
        placed.known_fingerprint,
        placed.known_stream,
        placed.known_refusal
    from placed
    order by placed.number;
end
$$;
