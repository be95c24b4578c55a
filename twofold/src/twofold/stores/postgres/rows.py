"""The statements that write and read the rows of the table `event`.

An id is written as a UUID and read as its bytes, as in every database: the driver's own UUID is another class.
"""

from twofold.stores.looking_back import LookingBackSql

_COLUMNS = "position, stream, version, uuid_send(id), type, schema, data, metadata, recorded_at, checksum"

INSERT = """
    insert into event (position, stream, version, id, type, schema, data, metadata, recorded_at, checksum, correlation)
    select
        position, stream, version, encode(id, 'hex')::uuid, type, schema, data, metadata, recorded_at, checksum,
        correlation
    from unnest(
        $1::bigint[], $2::text[], $3::bigint[], $4::bytea[], $5::text[], $6::bigint[], $7::bytea[], $8::bytea[],
        $9::bigint[], $10::bigint[], $11::bytea[]
    ) as given (position, stream, version, id, type, schema, data, metadata, recorded_at, checksum, correlation)
"""
READ_ONE = f"select {_COLUMNS} from event where id = $1"  # noqa: S608 - our own columns
FIND_IDS = "select id from event where id = any ($1::uuid[])"
READ_STREAM = f"""
    select {_COLUMNS} from event where stream = $1 and version > $2 and version <= $3 order by version limit $4
"""  # noqa: S608 - our own columns
READ_ALL = f"select {_COLUMNS} from event where position > $1 order by position limit $2"  # noqa: S608 - our own columns
# The fences (offset 0) keep the planner to the index that is meant, whatever it guesses of parameters it cannot see.
LOOKING_BACK = LookingBackSql(
    floor="select position from event where position < $1 order by position desc limit 1 offset $2",
    heads="""
        select position, stream, version, type, recorded_at from event
        where position < $1 and position >= $2 and ($3::text is null or split_part(stream, '-', 1) = $3)
            and not exists (
                select from event as later
                where later.stream = event.stream and later.version = event.version + 1 offset 0
            )
        order by position desc limit $4
    """,
    back=f"select {_COLUMNS} from event where position < $1 order by position desc limit $2",  # noqa: S608 - our own
    correlated=f"""
        select {_COLUMNS} from event where position in (
            (
                select position from (
                    select position from event
                    where id between encode($1, 'hex')::uuid and encode($2, 'hex')::uuid offset 0
                ) as found
                where position > $4 order by position limit $5
            )
            union all
            (select position from event where correlation = $3 and position > $4 order by position limit $5)
        )
        order by position limit $5
    """,  # noqa: S608 - our own columns
    of_message=f"""
        select {_COLUMNS} from event where position in (
            select position from (
                select position from event
                where id between encode($1, 'hex')::uuid and encode($2, 'hex')::uuid offset 0
            ) as found
            where position > $3 order by position limit $4
        )
        order by position
    """,  # noqa: S608 - our own columns
)
HEAD = "select coalesce(max(position), 0) from event"
LAST_OF_STREAMS = """
    select stream, (select version from event where event.stream = given.stream order by version desc limit 1)
    from unnest($1::text[]) as given (stream)
"""
LOCK = "select pg_advisory_xact_lock($1)"
APPEND = f"select * from twofold_append({', '.join(f'${n}' for n in range(1, 18))})"  # noqa: S608 - places only
RECALL = "select fingerprint, stream, version, position, refusal from idempotency where key = $1"
RECALL_ALL = """
    select key, fingerprint, stream, version, position, refusal from idempotency where key = any ($1::text[])
"""
REFUSE = """
    insert into idempotency (key, fingerprint, refusal, recorded_at) values ($1, $2, $3, $4)
    on conflict (key) do nothing
"""
REMEMBER = """
    insert into idempotency (key, fingerprint, stream, version, position, refusal, recorded_at)
    values ($1, $2, $3, $4, $5, $6, $7)
    on conflict (key) do update set
        fingerprint = excluded.fingerprint, stream = excluded.stream, version = excluded.version,
        position = excluded.position, refusal = excluded.refusal, recorded_at = excluded.recorded_at
"""
LOAD_SNAPSHOT = "select version, position, schema, state from snapshot where stream = $1"
SAVE_SNAPSHOT = """
    insert into snapshot (stream, version, position, schema, state) values ($1, $2, $3, $4, $5)
    on conflict (stream) do update
    set version = excluded.version, position = excluded.position, schema = excluded.schema, state = excluded.state
    where excluded.version >= snapshot.version
"""
CHECKPOINT = "select position from checkpoint where name = $1"
NEW_CHECKPOINT = "insert into checkpoint (name, position) values ($1, 0) on conflict (name) do nothing returning name"
LOCK_CHECKPOINTS = "select name, position from checkpoint where name = any($1::text[]) order by name for update"
SAVE_CHECKPOINTS = "update checkpoint set position = $2 where name = any($1::text[])"
DELETE_CHECKPOINT = "delete from checkpoint where name = $1"
PUT_CHECKPOINT = """
    insert into checkpoint (name, position) values ($1, $2)
    on conflict (name) do update set position = excluded.position
"""
