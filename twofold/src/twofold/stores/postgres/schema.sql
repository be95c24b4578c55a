-- Schema 1. One log, and beside it what changes in the same transaction; then what subscriptions remember.

-- Which of these scripts have run here. A schema with tables of our names and without this one is another's.
create table twofold_schema (version integer not null);
insert into twofold_schema (version) values (1);

create table log (id uuid not null);
insert into log (id) values (gen_random_uuid());

-- Positions are given under a lock, each the last one plus one: see append.sql. There is no row that counts them: of a
-- row that changes with every append, a transaction that is left open anywhere keeps all versions, to be passed by all.
create table event (
    position    bigint primary key,
    stream      text collate "C" not null,
    version     bigint not null,
    id          uuid   not null,
    type        text collate "C" not null,
    schema      bigint not null,
    data        bytea  not null,
    metadata    bytea  not null,
    recorded_at bigint not null, -- microseconds since 1970, UTC
    checksum    bigint not null  -- CRC-32 of all the above but position and time
);

create unique index event_stream on event (stream, version);
create unique index event_id on event (id);

-- What an idempotent request was answered: a receipt (stream, version, position) or a refusal.
create table idempotency (
    key         text collate "C" primary key,
    fingerprint text not null,
    stream      text,
    version     bigint,
    position    bigint,
    refusal     bytea,
    recorded_at bigint not null
);

create table snapshot (
    stream   text collate "C" primary key,
    version  bigint not null,
    position bigint not null,
    schema   bigint not null,
    state    bytea  not null
);

-- How far each fold over the log has come; changes together with the fold's own tables.
create table checkpoint (
    name     text collate "C" primary key,
    position bigint not null
);

-- What subscriptions remember; `twofold.subscription` says what it means.

create table subscription (
    name       text collate "C" primary key,
    partitions integer not null,
    paused     text,             -- why nobody may go on with it
    resumed    bigint  not null, -- how many times it was told to try again
    built      integer not null  -- 1 once it has reached the head of the log: until then nobody may read its views
);

-- How far each part of a subscription has come, and who is at it. Who holds another epoch may not write.
create table subscription_partition (
    name      text collate "C" not null,
    partition integer not null,
    position  bigint  not null,
    epoch     bigint  not null,
    beat      bigint  not null,  -- rises as long as the owner lives
    owner     text,
    failure   text,              -- why its last owner gave it up
    seen_at   bigint  not null,  -- microseconds since 1970, UTC; for people: no decision hangs on a clock
    primary key (name, partition)
);

-- The processes that could run a subscription.
create table subscription_member (
    name  text collate "C" not null,
    owner text   not null,
    beat  bigint not null,
    primary key (name, owner)
);

-- Events that a subscription could not pass, and those behind them in their sequence: references into the log.
create table parked (
    name      text collate "C" not null,
    sequence  text collate "C" not null,
    position  bigint  not null,
    partition integer not null,
    attempts  integer not null,
    error     text    not null,
    parked_at bigint  not null,
    retry_at  bigint,            -- when it is tried again by itself; null: when somebody asks
    skipped   text,              -- why it was left out
    overtaken integer not null,  -- 1 once a later event of its sequence was folded: then no skip can be undone
    primary key (name, partition, sequence, position)
);

-- A sequence may have many letters; only those that are tried again by themselves are looked for all the time.
create index parked_due on parked (name, partition, retry_at) where retry_at is not null;
