"""The ledger's tables over the versions: made, brought up to date under a lock, refused where they are newer."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import insert, text

from device_agents.farm.ledger import address as addresses
from device_agents.farm.ledger import upgrade as upgrades
from device_agents.farm.ledger.errors import LedgerDamaged, LedgerTooNew
from device_agents.farm.ledger.ledger import Ledger
from device_agents.farm.ledger.rows import to_rows
from device_agents.farm.ledger.tables import blocks, metadata, reports, results
from device_agents.farm.ledger.upgrade import HEAD, REVISIONS, migrate
from tests.device_agents.farm.ledger import made


def test_known_revisions_are_those_of_the_migrations() -> None:
    config = Config()
    config.set_main_option("script_location", "device_agents.farm.ledger:migrations")
    script = ScriptDirectory.from_config(config)
    assert [step.revision for step in script.walk_revisions()][::-1] == list(REVISIONS)
    assert script.get_heads() == [HEAD]


def test_tables_are_what_the_migrations_make(ledger: Ledger) -> None:
    with ledger._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_older_ledger_is_brought_up_to_date_and_loses_nothing(address: str | None, state: Path) -> None:
    report = made.report()
    rows = to_rows(report)
    engine = addresses.connect(addresses.parse(address, state))
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        migrate(connection, REVISIONS[0])
        seq = connection.execute(insert(reports).returning(reports.c.seq), rows.report).scalar_one()
        connection.execute(insert(results), [{"report": seq} | row for row in rows.results])
        connection.execute(insert(blocks), [{"report": seq} | row for row in rows.blocks])
    engine.dispose()
    with Ledger.open(address, state) as ledger:
        assert ledger.report(report.id) == report
        assert ledger.acceptances() == []
        assert ledger.append(made.report())


def test_failed_upgrade_changes_nothing(address: str | None, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = upgrades.migrate

    def failing(connection: object, revision: str) -> None:
        real(connection, revision)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(upgrades, "migrate", failing)
    with pytest.raises(KeyboardInterrupt):
        Ledger.open(address, state)
    monkeypatch.undo()
    engine = addresses.connect(addresses.parse(address, state))
    with engine.connect() as connection:
        assert upgrades._revision(connection, "") is None
    engine.dispose()
    Ledger.open(address, state).close()


def test_newer_ledger_is_refused(address: str | None, state: Path) -> None:
    with Ledger.open(address, state) as ledger, ledger._engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(LedgerTooNew, match="9999") as caught:
        Ledger.open(address, state)
    assert "update Edgewright" in str(caught.value)


def test_database_of_something_else_is_refused(address: str | None, state: Path) -> None:
    engine = addresses.connect(addresses.parse(address, state))
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        connection.execute(text("CREATE TABLE customers (name text)"))
    engine.dispose()
    with pytest.raises(LedgerDamaged, match="no ledger"):
        Ledger.open(address, state)


def test_file_that_is_no_database_is_refused(state: Path) -> None:
    (state / "ledger.sqlite").write_bytes(b"not a database" * 1000)
    with pytest.raises(LedgerDamaged, match="not a database"):
        Ledger.open(None, state)


def _open_and_append(address: str | None, state: Path, number: int) -> None:
    with Ledger.open(address, state) as ledger:
        ledger.append(made.report(f"r{number}"))


def test_opened_by_many_at_once_is_made_once(address: str | None, state: Path) -> None:
    start = multiprocessing.get_context("fork")
    many = [start.Process(target=_open_and_append, args=(address, state, i)) for i in range(6)]
    for process in many:
        process.start()
    for process in many:
        process.join(60)
    assert [process.exitcode for process in many] == [0] * 6
    with Ledger.open(address, state) as ledger:
        assert {entry.id for entry in ledger.reports()} == {f"r{i}" for i in range(6)}


@pytest.mark.parametrize(
    ("first", "never"),
    [
        ("from device_agents.farm.ledger import points", "sqlalchemy"),
        ("from device_agents.farm.ledger import filing; filing.file_waiting(STATE)", "sqlalchemy"),
        ("from device_agents.farm.ledger.ledger import Ledger; Ledger.open(None, STATE).reports()", "alembic"),
        ("from device_agents.farm.ledger.ledger import Ledger; Ledger.open(None, STATE).reports()", "psycopg"),
        ("import pipeline.ledger", "sqlalchemy"),
    ],
)
def test_start_is_light(first: str, never: str, state: Path, project_root: Path) -> None:
    Ledger.open(None, state).close()
    code = f"import sys, pathlib; STATE = pathlib.Path({str(state)!r}); {first}; print({never!r} in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=project_root, capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
