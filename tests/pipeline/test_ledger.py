"""The tasks of the ledger, as a person types them: what they print, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from device_agents.bundle import Bundle
from device_agents.farm.ledger.errors import NotInLedger
from device_agents.farm.ledger.filing import MARK
from device_agents.farm.ledger.ledger import Ledger
from device_agents.farm.report import Report
from edgewright.errors import BadArgument
from pipeline import ledger as tasks
from tests.device_agents.farm.ledger import made
from tests.device_agents.tiny import tiny_bundle


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without a farm file; its state is the test's own."""
    monkeypatch.setenv("EDGEWRIGHT_ROOT", str(tmp_path))
    monkeypatch.delenv("EDGEWRIGHT_LEDGER", raising=False)
    return tmp_path


def filed(state: Path, *reports: Report) -> None:
    with Ledger.open(None, state) as ledger:
        ledger.append_all(reports)


def listed(**filters: Any) -> None:
    given = {"model": None, "target": None, "device": None, "limit": 20, "as_json": False} | filters
    tasks.show_list(**given)


def test_list_shows_the_newest_reports(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = made.report(shapes=3), made.report(valid=False, model="evil\x1b[31m\nname", purpose="nightly")
    stand_in = made.report(device={"name": "this machine", "stand_in": True, "emulated": False})
    filed(state, first, second, stand_in)
    listed()
    head, *rows, last = capsys.readouterr().out.splitlines()
    assert head.split() == ["seq", "started", "model", "target", "device", "for", "variants", "worth", "report"]
    assert rows[0].split() == ["1", "2026-01-01", "12:00", "resnet20", "raspberry-pi", "kitchen-pi", "deploy", "3",
                               "valid", first.id]  # fmt: skip
    assert "evil?[31m name" in rows[1] and "INVALID" in rows[1]
    assert "this machine, standing in" in rows[2]
    assert last == f"  3 reports shown, in {state / 'ledger.sqlite'}"
    listed(limit=1)
    assert stand_in.id in capsys.readouterr().out
    listed(model="none")
    assert capsys.readouterr().out.startswith("  0 reports shown")
    with pytest.raises(BadArgument):
        listed(limit=-1)


def test_list_as_json_is_json(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = made.report()
    filed(state, report)
    listed(as_json=True)
    (entry,) = json.loads(capsys.readouterr().out)
    assert (entry["seq"], entry["id"], entry["variants"]) == (1, report.id, 1)


def test_list_files_what_earlier_runs_left(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = made.report()
    report.write(state / "reports")
    (state / "reports" / f"{report.id}{MARK}").touch()
    (state / "reports" / "broken.json").write_text("{")
    (state / "reports" / f"broken{MARK}").touch()
    listed()
    said = capsys.readouterr()
    assert report.id in said.out
    assert "broken.json is not in the ledger" in said.err


def test_show_names_results_problems_and_failures(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = made.report(shapes=2, valid=False, problems=["it throttled"], commit="c0ffee")
    report.results[1]["error"] = "over the limit"
    filed(state, report)
    tasks.show(report.id, False)
    out = capsys.readouterr().out
    assert "resnet20 > raspberry-pi     device: kitchen-pi" in out
    assert "git commit     c0ffee" in out
    assert "onnxruntime 1.31.1" in out and "1.21 KiB" in out and "93.3 %" in out
    assert "int8: over the limit" in out
    assert "INVALID: it throttled" in out
    assert report.results[0]["bundle"][:16] in out
    tasks.show(report.id, True)
    assert json.loads(capsys.readouterr().out) == report.to_json()
    for as_json in (False, True):
        with pytest.raises(NotInLedger, match="no report 'none'"):
            tasks.show("none", as_json)


@pytest.mark.parametrize("name", ["out.jsonl", "out.parquet"])
def test_export_then_import_elsewhere(
    name: str, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    filed(state, made.report(), made.report())
    tasks.export(str(tmp_path / name))
    assert "2 reports" in capsys.readouterr().out
    monkeypatch.setenv("EDGEWRIGHT_STATE", str(tmp_path / "other"))
    for said in ("2 reports filed, 0 were there already", "0 reports filed, 2 were there already"):
        tasks.import_(str(tmp_path / name))
        assert said in capsys.readouterr().out
    with pytest.raises(BadArgument, match="No file"):
        tasks.export("")


@pytest.fixture
def bundle(state: Path, tmp_path: Path) -> Bundle:
    """A bundle where a deploy leaves it."""
    return placed(state, tiny_bundle(tmp_path / "made"))


def placed(state: Path, bundle: Bundle) -> Bundle:
    folder = state / "bundles" / bundle.digest
    folder.parent.mkdir(parents=True, exist_ok=True)
    bundle.folder.rename(folder)
    return Bundle(folder, bundle.manifest)


def measured(bundle: Bundle, **fields: Any) -> Report:
    report = made.report(**fields)
    report.results[0]["bundle"] = bundle.digest
    return report


def test_accept_takes_a_folder_or_the_beginning_of_a_digest(
    bundle: Bundle, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = measured(bundle)
    filed(state, report)
    manifest = bundle.manifest
    for name in (str(bundle.folder), bundle.digest, bundle.digest[:6]):
        accepted = tasks.accept(name, "as fast as the last", False)
        assert (accepted.bundle, accepted.report, accepted.note) == (bundle.digest, report.id, "as fast as the last")
        assert (accepted.model, accepted.target, accepted.variant) == (manifest.model, manifest.target, manifest.name)
    assert f"bundle {bundle.digest[:16]} (report {report.id})" in capsys.readouterr().out
    with Ledger.open(None, state) as ledger:
        assert ledger.accepted(manifest.model, manifest.target) == accepted
        assert len(ledger.acceptances()) == 3


def test_accept_of_one_that_only_the_ledger_knows(state: Path) -> None:
    report = made.report()
    filed(state, report)
    digest = report.results[0]["bundle"]
    accepted = tasks.accept(digest[:8], "", False)
    assert (accepted.bundle, accepted.model, accepted.variant) == (digest, "resnet20", "trained")


@pytest.mark.parametrize(
    "fields",
    [
        None,
        {"valid": False},
        {"device": {"name": "x", "stand_in": True}},
        {"device": {"name": "x", "emulated": True}},
    ],
)
def test_accept_of_what_no_device_measured_is_refused(
    fields: dict[str, Any] | None, bundle: Bundle, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if fields is not None:
        filed(state, measured(bundle, **fields))
    with pytest.raises(NotInLedger, match="No valid report") as caught:
        tasks.accept(bundle.digest[:6], "", False)
    assert "--unmeasured" in str(caught.value)
    accepted = tasks.accept(bundle.digest[:6], "", True)
    assert accepted.report is None
    assert "(not measured)" in capsys.readouterr().out


def test_accept_of_a_failed_variant_is_refused(bundle: Bundle, state: Path) -> None:
    report = measured(bundle)
    report.results[0]["error"] = "killed"
    filed(state, report)
    with pytest.raises(NotInLedger, match="No valid report"):
        tasks.accept(bundle.digest, "", False)


@pytest.mark.parametrize("name", ["abc", "ABCDEF", "not-a-digest", "", "0" * 65, "*" * 8])
def test_accept_of_what_is_no_bundle_is_refused(name: str, bundle: Bundle) -> None:
    with pytest.raises(BadArgument):
        tasks.accept(name or "none", "", True)


def test_accept_of_an_unknown_digest_says_where_it_looked(state: Path) -> None:
    with pytest.raises(NotInLedger, match="No bundle begins with 123456"):
        tasks.accept("123456", "", True)


def test_accept_of_two_that_begin_alike_is_refused(state: Path) -> None:
    first, second = made.report(), made.report()
    first.results[0]["bundle"], second.results[0]["bundle"] = "abcdef" + "0" * 58, "abcdef" + "1" * 58
    filed(state, first, second)
    with pytest.raises(BadArgument, match="2 bundles begin with abcdef"):
        tasks.accept("abcdef", "", False)
    assert tasks.accept("abcdef1", "", False).report == second.id
