"""The task `dashboard`: writes the pages of the project's ledger, says where they are, and serves them."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_agents.farm.ledger.ledger import Ledger
from edgewright.errors import BadArgument
from pipeline import dashboard
from tests.device_agents.farm.dashboard import year
from tests.device_agents.farm.ledger.made import report


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state of a project whose ledger has two nights."""
    monkeypatch.setenv("EDGEWRIGHT_ROOT", str(tmp_path))
    monkeypatch.delenv("EDGEWRIGHT_STATE", raising=False)
    monkeypatch.delenv("EDGEWRIGHT_LEDGER", raising=False)
    monkeypatch.chdir(tmp_path)
    with Ledger.open(None, tmp_path / ".edgewright") as ledger:
        ledger.append_all(year.reports(year.Farm(nights=2, devices=1)))
    return tmp_path / ".edgewright"


def test_dashboard_writes_the_pages_into_the_state_and_says_where(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    built = dashboard.dashboard(None, serve=False, port=None, open_page=False)
    assert built.index == state / "dashboard/index.html" and built.index.is_file()
    said = capsys.readouterr().out
    assert "4 new report pages" in said and ".edgewright/dashboard/index.html" in said


def test_dashboard_shows_the_newest_night_of_the_state(state: Path) -> None:
    with Ledger.open(None, state) as ledger:
        year.night(ledger, year.Farm(nights=2, devices=1)).write(state)
    built = dashboard.dashboard(None, serve=False, port=None, open_page=False)
    assert "The night of 2026-01-02 02:00" in built.index.read_text()


def test_dashboard_goes_where_it_is_told_to(state: Path, tmp_path: Path) -> None:
    built = dashboard.dashboard(str(tmp_path / "elsewhere"), serve=False, port=None, open_page=False)
    assert built.index == tmp_path / "elsewhere/index.html"
    assert not (state / "dashboard").exists()


def test_dashboard_shows_reports_that_no_series_counts(state: Path) -> None:
    one = report("by-hand", purpose="bench", valid=False)
    with Ledger.open(None, state) as ledger:
        ledger.append(one)
    dashboard.dashboard(None, serve=False, port=None, open_page=False)
    assert "INVALID" in (state / "dashboard/months/2026-01.html").read_text()


@pytest.mark.parametrize("port", [-1, 65_536])
def test_dashboard_refuses_what_is_no_port_before_it_writes(state: Path, port: int) -> None:
    with pytest.raises(BadArgument):
        dashboard.dashboard(None, serve=True, port=port, open_page=False)
    assert not (state / "dashboard").exists()


def test_dashboard_serves_until_ctrl_c(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def pressed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("device_agents.farm.dashboard.server.Server.serve_forever", pressed)
    dashboard.dashboard(None, serve=True, port=0, open_page=False)
    assert "http://127.0.0.1:" in capsys.readouterr().out
