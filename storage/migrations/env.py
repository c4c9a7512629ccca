"""Runs migrations on the connection that `storage.migrate` hands over, within its transaction."""

from alembic import context

from storage.schema import metadata

connection = context.config.attributes["connection"]
if connection is None:
    message = "migrations run on an open connection: see storage/migrate.py"
    raise RuntimeError(message)
context.configure(connection=connection, target_metadata=metadata, transactional_ddl=False)
context.run_migrations()
