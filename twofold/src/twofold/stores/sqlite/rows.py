"""The statements that write and read the rows of the table `event`."""

INSERT = """
    insert into event (position, stream, version, id, type, schema, data, metadata, recorded_at, checksum)
    values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
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
