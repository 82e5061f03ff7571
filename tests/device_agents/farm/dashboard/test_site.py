"""The whole dashboard of a small farm: complete, linked, readable, and written once."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from device_agents.farm.dashboard import Source, build, site
from device_agents.farm.dashboard.errors import DashboardNotWritten, NotADashboard
from device_agents.farm.dashboard.names import report_file, samples_file, series_file
from device_agents.farm.dashboard.written import FILE
from device_agents.farm.ledger.entries import ReportEntry, ResultEntry
from device_agents.farm.ledger.ledger import Ledger
from device_agents.farm.ledger.points import Series
from device_agents.farm.night.record import Night
from device_agents.farm.series import judge
from tests.device_agents.farm.dashboard import year
from tests.device_agents.farm.dashboard.read import Page, broken, faults
from tests.device_agents.farm.ledger.made import report
from tests.device_agents.farm.series.nightly import levels, series


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ledger, year.Farm, Night]]:
    """A ledger of 30 nights with a planted regression, and the record of the last one."""
    farm = year.Farm()
    with Ledger.open(None, tmp_path_factory.mktemp("farm")) as ledger:
        year.fill(ledger, farm)
        yield ledger, farm, year.night(ledger, farm)


@pytest.fixture(scope="module")
def out(filled: tuple[Ledger, year.Farm, Night], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages") / "dashboard"
    year.pages(filled[0], folder, filled[2])
    return folder


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(None, tmp_path / "state") as opened:
        yield opened


def test_build_writes_a_page_for_every_report_series_and_month(
    filled: tuple[Ledger, year.Farm, Night], out: Path
) -> None:
    ledger, _, _ = filled
    ids = [entry.id for entry in ledger.reports()]
    assert len(ids) == 180
    for id in ids:
        assert (out / report_file(id)).is_file()
    given = json.loads(gzip.decompress((out / samples_file(ids[0])).read_bytes()))
    assert given == ledger.report(ids[0]).to_json()
    assert {path.name for path in (out / "series").iterdir()} == {
        Path(series_file(one.key)).name for one in ledger.series()
    }
    assert [path.name for path in (out / "months").iterdir()] == ["2026-01.html"]


def test_index_begins_with_the_planted_regression_its_size_and_the_blame(out: Path) -> None:
    text = Page.of(out / "index.html").text
    first = text[: text.index("Devices device")]
    assert "3 regressions." in first
    assert "resnet8 int8 on pi-1" in first and "slower [" in first
    assert "To blame: the model (bundle " in first
    assert "since 2026-01-26 02:00" in first


def test_series_page_marks_the_change_and_holds_every_night(out: Path, filled: tuple[Ledger, year.Farm, Night]) -> None:
    path = out / series_file(year.series_key())
    page = Page.of(path)
    assert "To blame: the model" in page.text and "30 reports, the newest first" in page.text
    rows = [link for link in page.links if link.startswith("../reports/")]
    assert len(set(rows)) == 30
    assert path.read_text().count('class="step"') >= 1 and 'class="fence"' in path.read_text()


def test_pages_have_no_dead_link_and_no_fault(out: Path) -> None:
    assert broken(out) == []
    for path in [out / "index.html", *(next((out / part).iterdir()) for part in ("series", "months", "reports"))]:
        assert faults(Page.of(path)) == []


def test_build_again_writes_only_new_reports(
    filled: tuple[Ledger, year.Farm, Night], ledger: Ledger, tmp_path: Path
) -> None:
    reports = list(year.reports(replace(filled[1], nights=3)))
    ledger.append_all(reports[:-1])
    folder = tmp_path / "out"
    assert year.pages(ledger, folder).reports == len(reports) - 1
    old = folder / report_file(reports[0].id)
    before = old.stat().st_mtime_ns
    ledger.append(reports[-1])
    assert year.pages(ledger, folder).reports == 1
    assert old.stat().st_mtime_ns == before
    assert year.pages(ledger, folder).reports == 0


def test_build_makes_a_page_anew_that_was_cut_short_or_is_another_versions(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.append_all([report("a"), report("b")])
    folder = tmp_path / "out"
    year.pages(ledger, folder)
    (folder / report_file("a")).write_text("<!doctype html>")
    (folder / samples_file("b")).unlink()
    assert year.pages(ledger, folder).reports == 2
    (folder / FILE).write_text("not even JSON")
    assert year.pages(ledger, folder).reports == 2
    monkeypatch.setattr(site, "maker", lambda: "a later version")
    assert year.pages(ledger, folder).reports == 2


def test_build_that_is_cut_off_goes_on_with_what_is_missing(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.append_all([report("a"), report("b"), report("c")])
    real = site.render_report

    def interrupted(page: Any, one: Any) -> str:
        if one.id == "c":
            raise KeyboardInterrupt
        return real(page, one)

    monkeypatch.setattr(site, "render_report", interrupted)
    with pytest.raises(KeyboardInterrupt):
        year.pages(ledger, tmp_path / "out")
    monkeypatch.setattr(site, "render_report", real)
    assert year.pages(ledger, tmp_path / "out").reports == 1


def test_build_that_was_killed_at_its_very_start_knows_its_folder(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(path: Path, data: bytes) -> None:
        raise SystemExit

    with monkeypatch.context() as patched, pytest.raises(SystemExit):
        patched.setattr(site, "put", killed)
        year.pages(ledger, tmp_path / "out")
    assert year.pages(ledger, tmp_path / "out").index.is_file()


def test_build_shows_another_boards_nights_in_the_table_and_in_no_chart(ledger: Ledger, tmp_path: Path) -> None:
    farm = year.Farm(nights=8, devices=1, slower=None)
    for number, one in enumerate(year.reports(farm)):
        if number < 8:
            one.device["identity"] = "another"
        ledger.append(one)
    year.pages(ledger, tmp_path / "out")
    text = Page.of(tmp_path / "out" / series_file(year.series_key())).text
    assert text.count("another board, in no chart") == 4
    assert "8 reports, the newest first" in text and "4 nights between" in text


def test_build_of_an_empty_ledger_says_what_to_type(ledger: Ledger, tmp_path: Path) -> None:
    page = Page.of(year.pages(ledger, tmp_path / "out").index)
    assert "No night has been recorded yet" in page.text and "./inv nightly" in page.text
    assert faults(page) == [] and broken(tmp_path / "out") == []


def test_build_refuses_a_folder_that_holds_something_else(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/index.html").write_text("mine")
    with pytest.raises(NotADashboard) as caught:
        year.pages(ledger, tmp_path / "mine")
    assert "./inv dashboard --out" in str(caught.value)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["index.html"]
    assert (tmp_path / "mine/index.html").read_text() == "mine"


def test_build_into_a_place_that_cannot_be_written_is_a_plain_error(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DashboardNotWritten):
        year.pages(ledger, tmp_path / "file" / "out")


def test_build_takes_the_verdicts_that_it_is_given(ledger: Ledger, tmp_path: Path) -> None:
    ledger.append_all(year.reports(year.Farm(nights=2, devices=1)))
    build(Source(ledger, (), year.PURPOSES, tmp_path / "bench", verdicts=[]), tmp_path / "out")
    assert "undecided" not in Page.of(tmp_path / "out/index.html").text


def test_build_passes_over_a_night_whose_verdicts_are_not_ours(ledger: Ledger, tmp_path: Path) -> None:
    ledger.append(report("a"))
    notes: list[str] = []
    times = {"started": "2026-01-01T00:00:00Z", "finished": "2026-01-01T01:00:00Z"}
    odd = Night(id="odd", **times, status=1, verdicts=({"x": 1},), regressions=(0,))
    build(Source(ledger, [odd], year.PURPOSES, tmp_path), tmp_path / "out", note=notes.append)
    assert "No night has been recorded yet" in Page.of(tmp_path / "out/index.html").text
    assert "odd" in notes[0]


class _Quarter:
    """A ledger with a quarter of a year's farm, of 8 devices and 8 bundles: 16 series of 365 nights."""

    def __init__(self) -> None:
        (made,) = [series(levels(300, 65, sd=0.005))]
        values = {"load_time": 1e7, "memory": 4e7, "size": 85_000.0, "accuracy": 0.93}
        points = tuple(
            replace(
                point,
                report=f"20260101T020000Z-resnet8-raspberry-pi-{point.seq:06d}",
                values={**values, **point.values},
            )
            for point in made.points
        )
        self.made = [replace(made, key=year.series_key(device=f"pi-{one}"), points=points) for one in range(16)]

    def series(self, purposes: object) -> list[Series]:
        return self.made

    def reports(self) -> list[ReportEntry]:
        return []

    def results(self, limit: int) -> list[ResultEntry]:
        return []


def test_pages_of_a_years_series_are_small(tmp_path: Path) -> None:
    ledger: Any = _Quarter()
    first, *_ = ledger.made
    verdicts = [one.to_json() | {"key": asdict(key)} for key in (s.key for s in ledger.made) for one in judge([first])]
    build(Source(ledger, (), year.PURPOSES, tmp_path, verdicts), tmp_path / "out")
    assert (tmp_path / "out/index.html").stat().st_size < 250_000
    page = tmp_path / "out" / series_file(first.key)
    assert len(Page.of(page).all("tr")) > 365
    assert page.stat().st_size < 200_000
