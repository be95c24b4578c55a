"""The statements that write and read the rows of the table `event`."""

from twofold.stores.looking_back import LookingBackSql

INSERT = """
    insert into event (position, stream, version, id, type, schema, data, metadata, recorded_at, checksum, correlation)
    values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
LAST_OF_STREAM = "select version, position from event where stream = ? order by version desc limit 1"
READ_ONE = """
    select position, stream, version, id, type, schema, data, metadata, recorded_at, checksum
    from event where id = ?
"""
READ_STREAM = """
    select position, stream, version, id, type, schema, data, metadata, recorded_at, checksum
    from event where stream = ? and version > ? and version <= ? order by version limit ?
"""
READ_ALL = """
    select position, stream, version, id, type, schema, data, metadata, recorded_at, checksum
    from event where position > ? order by position limit ?
"""
LOOKING_BACK = LookingBackSql(
    floor="select position from event where position < ? order by position desc limit 1 offset ?",
    heads="""
        select position, stream, version, type, recorded_at from event
        where position < ?1 and position >= ?2
            and (?3 is null or substr(stream, 1, instr(stream || '-', '-') - 1) = ?3)
            and not exists (
                select 1 from event as later where later.stream = event.stream and later.version = event.version + 1
            )
        order by position desc limit ?4
    """,
    back="""
        select position, stream, version, id, type, schema, data, metadata, recorded_at, checksum
        from event where position < ? order by position desc limit ?
    """,
    correlated="""
        select position, stream, version, id, type, schema, data, metadata, recorded_at, checksum
        from event where position in (
            select * from (
                select position from event where id between ?1 and ?2 and +position > ?4 order by +position limit ?5
            )
            union all
            select * from (
                select position from event where correlation = ?3 and position > ?4 order by position limit ?5
            )
        )
        order by position limit ?5
    """,
    of_message="""
        select position, stream, version, id, type, schema, data, metadata, recorded_at, checksum
        from event where position in (
            select position from event where id between ?1 and ?2 and +position > ?3 order by +position limit ?4
        )
        order by position
    """,
)
