"""`bench`: the names that results go by, the table, and what is refused before anything is measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from device_agents.bundle import Bundle
from device_agents.errors import BundleError, DeviceError
from device_agents.farm.report import Report
from edgewright.errors import BadArgument
from pipeline import bench as benching
from pipeline.bench import bench, names, text
from pipeline.measuring import Bench, Protocol
from tests.device_agents.farm.ledger import made
from tests.device_agents.tiny import tiny_bundle

HOSTILE = "evil\x1b[31m\nname"


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGEWRIGHT_ROOT", str(tmp_path))
    return tmp_path


@pytest.fixture
def bundles(tmp_path: Path) -> list[Bundle]:
    """Two of one name, one of another."""
    return [
        tiny_bundle(tmp_path / str(layers), "wide" if layers == 4 else "tiny", layers=layers) for layers in (2, 3, 4)
    ]


def measured(named: Sequence[tuple[str, Bundle]], **fields: Any) -> Report:
    report = made.report(shapes=len(named), **fields)
    for result, (name, bundle) in zip(report.results, named, strict=True):
        result |= {"name": name, "bundle": bundle.digest}
    return report


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], Protocol]]:
    """Nothing is measured: what a device was asked is noted, and a made report comes back."""
    found: list[tuple[list[str], Protocol]] = []

    def run(self: Bench, named: Sequence[tuple[str, Bundle]], protocol: Protocol) -> Report:
        found.append(([name for name, _ in named], protocol))
        return measured(named)

    monkeypatch.setattr(Bench, "run", run)
    return found


def typed(given: Sequence[str], **options: Any) -> list[Report]:
    options = {"device": None, "data": None, "processes": 4, "wait": 0.0, "anyway": False, "json_file": None} | options
    return bench(given, **options)


def test_two_of_one_name_are_told_apart_by_their_digests(bundles: list[Bundle]) -> None:
    one, other, third = bundles
    assert names(bundles) == [(f"tiny:{one.digest[:8]}", one), (f"tiny:{other.digest[:8]}", other), ("wide", third)]
    assert names([one, third]) == [("tiny", one), ("wide", third)]


def test_bundles_are_measured_side_by_side_once_each_and_kept(
    bundles: list[Bundle], asked: list[tuple[list[str], Protocol]], state: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    told = tmp_path / "told.json"
    folders = [str(bundle.folder) for bundle in bundles]
    (report,) = typed([*folders, folders[0]], processes=2, anyway=True, json_file=str(told))
    ((found, protocol),) = asked
    assert found == [name for name, _ in names(bundles)]
    assert (protocol.processes, protocol.refuse) == (2, False)
    assert json.loads(told.read_text()) == [report.to_json()]
    assert {path.name for path in (state / "bundles").iterdir()} == {bundle.digest for bundle in bundles}
    out = capsys.readouterr().out
    assert out.startswith("tiny > raspberry-pi     device: this machine, standing in")
    assert f"report   {report.id}" in out


def test_table_has_a_row_a_bundle_and_the_first_to_compare_with(bundles: list[Bundle]) -> None:
    named = names(bundles[1:])
    report = measured(named)
    report.results[1]["energy_mj"] = 1.234
    _, head, first, second, *_, last = text(report, dict(named))
    assert "beside tiny" in head and "top-1" in head
    assert first.split()[:2] == ["tiny", bundles[1].digest[:12]] and first.endswith("1.00x")
    assert second.split()[0] == "wide" and "1.23 mJ" in second and "x [" in " ".join(second.split())
    assert last == f"  report   {report.id}"


def test_failed_refused_and_hostile_results_are_told_plainly(bundles: list[Bundle]) -> None:
    named = [(HOSTILE, bundles[0]), ("wide", bundles[2])]
    report = measured(named, valid=False, problems=[f"hot{HOSTILE}"], warnings=[f"w{HOSTILE}"])
    report.results[0]["accuracy"]["name"] = f"f1{HOSTILE}"
    report.results[1] |= {"blocks": [], "loads": [], "peak_bytes": None, "accuracy": None, "error": f"e{HOSTILE}"}
    lines = text(report, dict(named))
    assert all(line.isprintable() for line in lines)
    assert lines[3].split()[-8:] == ["-"] * 8
    said = "\n".join(lines)
    for shown in ("wide: eevil?[31m name", "warning: wevil", "INVALID: these figures can't be trusted: hotevil"):
        assert shown in said


@pytest.mark.parametrize(
    ("given", "options", "says"),
    [
        ([], {}, "No bundle was named"),
        (["abcdef"], {"processes": 0}, "0 processes"),
        (["abcdef"], {"processes": 1001}, "1001 processes"),
        (["accepted"], {}, "Which accepted bundle"),
        (["nowhere"], {}, "no bundle's folder"),
    ],
)
def test_bad_arguments_are_refused(given: list[str], options: dict[str, Any], says: str) -> None:
    with pytest.raises(BadArgument, match=says):
        typed(given, **options)


def test_unknown_device_and_missing_data_are_refused(
    bundles: list[Bundle], asked: list[tuple[list[str], Protocol]], tmp_path: Path
) -> None:
    folder = str(bundles[0].folder)
    with pytest.raises(DeviceError, match="no device 'nobody'"):
        typed([folder], device="nobody")
    with pytest.raises(BadArgument, match="no such file of samples"):
        typed([folder], data=str(tmp_path / "none.npz"))
    with pytest.raises(BundleError):
        typed([folder, str(tmp_path)])
    assert not asked


def test_json_that_cannot_be_written_is_said_after_the_table(
    bundles: list[Bundle], asked: list[tuple[list[str], Protocol]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadArgument, match="can't be written") as caught:
        typed([str(bundles[0].folder)], json_file=str(tmp_path / "file" / "told.json"))
    assert "./inv ledger" in caught.value.remedy
    assert "report   " in capsys.readouterr().out


def test_models_are_measured_in_a_job_of_their_own(
    bundles: list[Bundle], asked: list[tuple[list[str], Protocol]], tmp_path: Path
) -> None:
    from device_agents.bundle import write_bundle

    manifest = bundles[0].manifest.model_copy(update={"model": "small"})
    small = write_bundle(tmp_path / "small", bundles[0].model_file, manifest)
    reports = benching.bench([str(b.folder) for b in (bundles[0], small, bundles[2])], None, None, 4, 0.0, False, None)
    assert [found for found, _ in asked] == [["tiny", "wide"], ["tiny"]]
    assert len(reports) == 2
