"""Run by alembic: brings the connection that upgrade.py holds, and has locked, to the revision asked for."""

from __future__ import annotations

from alembic import context

context.configure(connection=context.config.attributes["connection"], transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
