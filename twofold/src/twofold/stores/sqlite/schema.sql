-- Schema 1. One log, and beside it what changes in the same transaction.

-- The position is the rowid: SQLite has one writer at a time, so it rises in commit order, without a hole.
create table event (
    position    integer primary key,
    stream      text    not null,
    version     integer not null,
    id          blob    not null,
    type        text    not null,
    schema      integer not null,
    data        blob    not null,
    metadata    blob    not null,
    recorded_at integer not null, -- microseconds since 1970, UTC
    checksum    integer not null  -- CRC-32 of all the above but position and time
) strict;

-- Keeps versions unique, and answers the version and position of a stream from the index alone.
create unique index event_stream on event (stream, version);
create unique index event_id on event (id);

-- What an idempotent request was answered: a receipt (stream, version, position) or a refusal.
create table idempotency (
    key         text    primary key,
    fingerprint text    not null,
    stream      text,
    version     integer,
    position    integer,
    refusal     blob,
    recorded_at integer not null
) strict, without rowid;

create table snapshot (
    stream   text    primary key,
    version  integer not null,
    position integer not null,
    schema   integer not null,
    state    blob    not null
) strict, without rowid;

-- How far each fold over the log has come; changes together with the fold's own tables.
create table checkpoint (
    name     text    primary key,
    position integer not null
) strict, without rowid;
