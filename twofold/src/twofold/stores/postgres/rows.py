"""The statements that write and read the rows of the table `event`.

An id is written as a UUID and read as its bytes, as in every database: the driver's own UUID is another class.
"""

_COLUMNS = "position, stream, version, uuid_send(id), type, schema, data, metadata, recorded_at, checksum"

INSERT = """
    insert into event (position, stream, version, id, type, schema, data, metadata, recorded_at, checksum)
    select position, stream, version, encode(id, 'hex')::uuid, type, schema, data, metadata, recorded_at, checksum
    from unnest(
        $1::bigint[], $2::text[], $3::bigint[], $4::bytea[], $5::text[], $6::bigint[], $7::bytea[], $8::bytea[],
        $9::bigint[], $10::bigint[]
    ) as given (position, stream, version, id, type, schema, data, metadata, recorded_at, checksum)
"""
READ_ONE = f"select {_COLUMNS} from event where id = $1"  # noqa: S608 - our own columns
FIND_IDS = "select id from event where id = any ($1::uuid[])"
READ_STREAM = f"""
    select {_COLUMNS} from event where stream = $1 and version > $2 and version <= $3 order by version limit $4
"""  # noqa: S608 - our own columns
READ_ALL = f"select {_COLUMNS} from event where position > $1 order by position limit $2"  # noqa: S608 - our own columns
HEAD = "select coalesce(max(position), 0) from event"
LAST_OF_STREAMS = """
    select stream, (select version from event where event.stream = given.stream order by version desc limit 1)
    from unnest($1::text[]) as given (stream)
"""
LOCK = "select pg_advisory_xact_lock($1)"
APPEND = f"select * from twofold_append({', '.join(f'${n}' for n in range(1, 17))})"  # noqa: S608 - places only
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
