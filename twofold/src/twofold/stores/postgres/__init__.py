"""For many processes: log, views and answers in one PostgreSQL database."""

from twofold.stores.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
