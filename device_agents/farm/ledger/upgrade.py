"""Brings a ledger's tables to this version's: looked up in one query, and changed under a lock where they are older."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from device_agents.farm.ledger.errors import LedgerDamaged, LedgerTooNew

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

REVISIONS = ("0001", "0002")
"""Every step of migrations/versions, oldest first: known without importing alembic, which takes longer than a query."""
HEAD = REVISIONS[-1]
_VERSIONS = "alembic_version"


def upgrade(engine: Engine, where: str) -> None:
    """Makes the tables, or brings older ones to HEAD. Raises LedgerTooNew, LedgerDamaged."""
    with engine.connect() as connection:
        if _revision(connection, where) == HEAD:
            return
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        # Looked at again under the lock: another process may have done it.
        if _revision(connection, where) != HEAD:
            migrate(connection, HEAD)


def migrate(connection: Connection, revision: str) -> None:
    """Runs the steps up to `revision` in the connection's transaction."""
    import logging

    from alembic import command
    from alembic.config import Config

    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", "device_agents.farm.ledger:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _revision(connection: Connection, where: str) -> str | None:
    """The ledger's revision; None for an empty database."""
    tables = set(inspect(connection).get_table_names())
    if _VERSIONS not in tables:
        if tables:
            raise LedgerDamaged(
                "That database holds other tables and no ledger.", where=where, remedy="name an empty database"
            )
        return None
    found: str | None = connection.execute(text(f"SELECT version_num FROM {_VERSIONS}")).scalar()
    if found is not None and found not in REVISIONS:
        raise LedgerTooNew(
            f"The ledger was changed by a later Edgewright (its tables are of revision {found}, these of {HEAD}).",
            where=where,
            remedy="update Edgewright here: git pull, or pip install -U edgewright",
        )
    return found
