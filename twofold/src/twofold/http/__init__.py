"""The way in by HTTP: problems, conditions, idempotent commands, OpenAPI; on any ASGI server."""
