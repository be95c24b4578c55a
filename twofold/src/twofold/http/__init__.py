"""The way in by HTTP: problems, conditions, idempotent commands, OpenAPI; Starlette, msgspec, any ASGI server."""
