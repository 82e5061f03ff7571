"""Every test that takes `address` or `ledger` runs on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from device_agents.farm.ledger.ledger import Ledger
from tests.doubles.postgres import Postgres, postgres_bin
from tests.prerequisites import require


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL on the loopback, for the whole session."""
    require(postgres_bin(), "PostgreSQL is not installed: apt-get install postgresql")
    with Postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.device)])
def address(request: pytest.FixtureRequest) -> str | None:
    """The URL of an empty database; None for the file in the state folder."""
    if request.param == "sqlite":
        return None
    server: Postgres = request.getfixturevalue("postgres")
    return server.new_database()


@pytest.fixture
def ledger(address: str | None, state: Path) -> Iterator[Ledger]:
    """An empty ledger."""
    with Ledger.open(address, state) as opened:
        yield opened
