-- Schema 2. The log's own id, and what subscriptions remember; `twofold.subscription` says what it means.

create table log (id blob not null) strict;
insert into log (id) values (randomblob(16));

create table subscription (
    name       text    primary key,
    partitions integer not null,
    paused     text,             -- why nobody may go on with it
    resumed    integer not null, -- how many times it was told to try again
    built      integer not null  -- 1 once it has reached the head of the log: until then nobody may read its views
) strict, without rowid;

-- How far each part of a subscription has come, and who is at it. Who holds another epoch may not write.
create table subscription_partition (
    name      text    not null,
    partition integer not null,
    position  integer not null,
    epoch     integer not null,
    beat      integer not null,  -- rises as long as the owner lives
    owner     text,
    failure   text,              -- why its last owner gave it up
    seen_at   integer not null,  -- microseconds since 1970, UTC; for people: no decision hangs on a clock
    primary key (name, partition)
) strict, without rowid;

-- The processes that could run a subscription.
create table subscription_member (
    name  text    not null,
    owner text    not null,
    beat  integer not null,
    primary key (name, owner)
) strict, without rowid;

-- Events that a subscription could not pass, and those behind them in their sequence: references into the log.
create table parked (
    name      text    not null,
    sequence  text    not null,
    position  integer not null,
    partition integer not null,
    attempts  integer not null,
    error     text    not null,
    parked_at integer not null,
    retry_at  integer,           -- when it is tried again by itself; null: when somebody asks
    skipped   text,              -- why it was left out
    overtaken integer not null,  -- 1 once a later event of its sequence was folded: then no skip can be undone
    primary key (name, partition, sequence, position)
) strict, without rowid;

-- A sequence may have many letters; only those that are tried again by themselves are looked for all the time.
create index parked_due on parked (name, partition, retry_at) where retry_at is not null;
