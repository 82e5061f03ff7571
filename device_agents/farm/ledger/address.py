"""Where the ledger lies: a file in the state folder, or the database that a URL names."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_agents.farm.ledger.errors import LedgerAddressError, LedgerDamaged, LedgerUnavailable
from edgewright.extras import extra
from edgewright.toml import read_toml

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine

VARIABLE = "EDGEWRIGHT_LEDGER"
FILE = "ledger.sqlite"
_PATIENCE_S = 20
"""How long a statement waits for another process's lock, and for a server that says nothing."""
_WRITERS = 0x45444745
"""The advisory lock of whoever writes: any number that nobody else in that database locks."""
_FORMS = "write postgresql://USER@HOST/DATABASE (the password into ~/.pgpass) or sqlite:////PATH"
_DAMAGED = ("file is not a database", "malformed", "file is encrypted")


def ledger_url(farm_file: Path, environment: Mapping[str, str] = os.environ) -> str | None:
    """The URL in EDGEWRIGHT_LEDGER, else `url` of farm.toml's [ledger]; None for the file in the state folder.

    Raises BadToml, LedgerAddressError.
    """
    if given := environment.get(VARIABLE):
        return given
    if not farm_file.exists():
        return None
    table = read_toml(farm_file).get("ledger", {})
    url = table.get("url") if isinstance(table, dict) else table
    if not isinstance(table, dict) or set(table) - {"url"} or not isinstance(url, str | None):
        raise LedgerAddressError(
            "The table `ledger` has one key, `url`, a text.", where=str(farm_file), remedy='[ledger] url = "..."'
        )
    return url


def parse(url: str | None, state: Path) -> URL:
    """The address, with its driver. Raises LedgerAddressError, which says nothing of a password."""
    from sqlalchemy import URL, make_url
    from sqlalchemy.exc import ArgumentError

    if url is None:
        return URL.create("sqlite", database=str(state / FILE))
    try:
        address = make_url(url)
    except (ArgumentError, ValueError):
        # A mistyped URL may hold a password anywhere: none of it is shown.
        raise LedgerAddressError("The ledger's address is no URL.", where=VARIABLE, remedy=_FORMS) from None
    kind = address.drivername.partition("+")[0]
    if kind in ("postgres", "postgresql"):
        return address.set(drivername="postgresql+psycopg")
    if kind == "sqlite" and address.database and address.database != ":memory:":
        return address.set(drivername="sqlite")
    raise LedgerAddressError(f"A ledger can't be kept in {address.drivername}.", where=VARIABLE, remedy=_FORMS)


def shown(address: URL) -> str:
    """The address as it may be printed: a path, or a URL without its password and without its query."""
    from sqlalchemy import URL

    if address.get_backend_name() == "sqlite":
        return str(address.database)
    plain = URL.create("postgresql", address.username, None, address.host, address.port, address.database)
    return plain.render_as_string()


def connect(address: URL) -> Engine:
    """An engine whose transactions begin at BEGIN and write through to the disk. Raises MissingExtra."""
    return _sqlite(address) if address.get_backend_name() == "sqlite" else _postgresql(address)


@contextmanager
def failures(where: str) -> Iterator[None]:
    """Turns what a database says of itself into LedgerUnavailable or LedgerDamaged."""
    from sqlalchemy.exc import DBAPIError, PendingRollbackError

    try:
        yield
    except (DBAPIError, PendingRollbackError) as error:
        said = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        if any(sign in said for sign in _DAMAGED):
            raise LedgerDamaged(
                f"The ledger can't be read: {said}",
                where=where,
                remedy="move the file away, then ./inv ledger.import a copy that was exported",
            ) from error
        raise LedgerUnavailable(
            f"The ledger can't be used now: {said}", where=where, remedy="./inv ledger, when that is mended"
        ) from error


def _sqlite(address: URL) -> Engine:
    from sqlalchemy import create_engine, event

    path = Path(str(address.database))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerUnavailable(
            f"The ledger's folder can't be made: {error.strerror}", where=str(path.parent), remedy="check the path"
        ) from error
    engine = create_engine(address, connect_args={"timeout": _PATIENCE_S})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: object) -> None:
        connection.isolation_level = None  # BEGIN is ours to say: Python's driver begins too late, and never for DDL
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        # A transaction that reads first and writes later is refused where another wrote meanwhile; this one waits.
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql(address: URL) -> Engine:
    from sqlalchemy import create_engine, event

    with extra("postgres", "the ledger in PostgreSQL"):
        import psycopg  # noqa: F401
    patience = {"connect_timeout": 10, "tcp_user_timeout": _PATIENCE_S * 1000, "application_name": "edgewright"}
    # What the URL says itself is its writer's own choice.
    engine = create_engine(
        address,
        pool_pre_ping=True,
        connect_args={name: value for name, value in patience.items() if name not in address.query},
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = '{_PATIENCE_S}s'")
            cursor.execute("SET synchronous_commit = on")
        connection.commit()

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        # One writer at a time: so a smaller seq is never seen later than a greater one.
        if connection.get_execution_options().get("writes", False):
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS})")

    return engine
