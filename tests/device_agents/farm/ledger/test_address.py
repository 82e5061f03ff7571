"""Where the ledger lies: what may be said, what is refused, and that no password is ever shown."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from device_agents.farm.ledger.address import ledger_url, parse, shown
from device_agents.farm.ledger.errors import LedgerAddressError, LedgerUnavailable
from device_agents.farm.ledger.ledger import Ledger
from edgewright.extras import MissingExtra
from edgewright.toml import BadToml
from tests.doubles.loopback import free_port
from tests.doubles.postgres import Postgres, database_of


def test_url_is_the_variables_then_the_farm_files(tmp_path: Path) -> None:
    farm = tmp_path / "farm.toml"
    assert ledger_url(farm, {}) is None
    farm.write_text("[devices.pi]\ntarget = 'x'\n")
    assert ledger_url(farm, {}) is None
    farm.write_text("[ledger]\nurl = 'postgresql://h/d'\n")
    assert ledger_url(farm, {}) == "postgresql://h/d"
    assert ledger_url(farm, {"EDGEWRIGHT_LEDGER": "sqlite:////x"}) == "sqlite:////x"
    assert ledger_url(farm, {"EDGEWRIGHT_LEDGER": ""}) == "postgresql://h/d"


@pytest.mark.parametrize("wrong", ["ledger = 'x'", "[ledger]\nurl = 7", "[ledger]\nURL = 'x'", "[ledger]\nurl = ['x']"])
def test_farm_file_with_another_ledger_is_refused(wrong: str, tmp_path: Path) -> None:
    (tmp_path / "farm.toml").write_text(wrong)
    with pytest.raises(LedgerAddressError, match="one key"):
        ledger_url(tmp_path / "farm.toml", {})


def test_farm_file_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    (tmp_path / "farm.toml").write_text("[ledger")
    with pytest.raises(BadToml):
        ledger_url(tmp_path / "farm.toml", {})


@pytest.mark.parametrize(
    "url", ["postgres://u:s3cret@h:1/d", "postgresql://u:s3cret@h:1/d", "postgresql+psycopg://u:s3cret@h:1/d"]
)
def test_postgresql_goes_by_one_driver_and_is_shown_without_its_password(url: str, tmp_path: Path) -> None:
    address = parse(url, tmp_path)
    assert address.drivername == "postgresql+psycopg"
    assert address.password == "s3cret"
    assert shown(address) == "postgresql://u@h:1/d"
    assert shown(parse(f"{url}?password=s3cret&sslkey=k", tmp_path)) == "postgresql://u@h:1/d"


def test_sqlite_is_shown_as_its_path(tmp_path: Path) -> None:
    assert shown(parse(None, tmp_path)) == str(tmp_path / "ledger.sqlite")
    assert shown(parse(f"sqlite:///{tmp_path}/other.db", tmp_path)) == f"{tmp_path}/other.db"


@pytest.mark.parametrize(
    "url",
    [
        "s3cret",
        "mysql://u:s3cret@h/d",
        "://u:s3cret@h",
        "sqlite://",
        "sqlite:///:memory:",
        "postgresql://u:s3cret@h:port/d",
    ],
)
def test_other_addresses_are_refused_without_showing_a_password(url: str, tmp_path: Path) -> None:
    with pytest.raises(LedgerAddressError) as caught:
        Ledger.open(url, tmp_path)
    assert "s3cret" not in str(caught.value)
    assert "postgresql://USER@HOST/DATABASE" in str(caught.value)


def test_server_that_is_not_there_says_where_and_no_password(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailable, match="can't be used now") as caught:
        Ledger.open(f"postgresql://u:s3cret@127.0.0.1:{free_port()}/d", tmp_path)
    assert "s3cret" not in str(caught.value)
    assert "postgresql://u@127.0.0.1" in str(caught.value)


@pytest.mark.device
def test_wrong_password_and_no_such_database_say_so_and_no_password(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.new_database()
    for wrong in (url.replace("a-secret-of-the-double", "s3cret"), url + "x"):
        with pytest.raises(LedgerUnavailable) as caught:
            Ledger.open(wrong, tmp_path)
        assert "s3cret" not in str(caught.value)
        assert "a-secret" not in str(caught.value)
        assert "failed" in str(caught.value) or "does not exist" in str(caught.value)


@pytest.mark.device
def test_what_the_double_says_is_what_the_ledger_wrote(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.new_database()
    Ledger.open(url, tmp_path).close()
    assert postgres.query(database_of(url), "SELECT count(*) FROM reports") == [(0,)]
    assert not (tmp_path / "ledger.sqlite").exists()


def test_postgresql_without_its_extra_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtra, match="psycopg") as caught:
        Ledger.open("postgresql://h/d", tmp_path)
    assert "./inv setup postgres" in str(caught.value)


def test_sqlite_is_written_through_to_the_disk(tmp_path: Path) -> None:
    with Ledger.open(None, tmp_path / "new" / "folder") as ledger, ledger._engine.connect() as connection:
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2  # FULL
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1


def test_folder_that_can_not_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LedgerUnavailable, match="can't be made"):
        Ledger.open(None, tmp_path / "file" / "state")
