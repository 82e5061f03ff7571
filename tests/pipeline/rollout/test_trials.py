"""What is said of a release's time on a device, from reports whose blocks are given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from device_agents.bundle import Manifest
from device_agents.farm.device import Device
from device_agents.farm.inventory import DeviceEntry
from device_agents.farm.rollout.shipment import Shipment
from device_agents.farm.rollout.told import ReleaseThere
from device_agents.farm.sequential import Looker
from edgewright.errors import BadArgument
from pipeline.project import Project
from pipeline.release.evidence import Figures, Interval
from pipeline.release.on_device import Sample
from pipeline.rollout import trials
from pipeline.rollout.rollout import typed
from pipeline.rollout.trials import TooSlow, Tryout, WrongAnswer
from targets.schema import read_target
from tests.device_agents.farm.ledger import made
from tests.device_agents.tiny import tiny_manifest

FIGURES = Figures(
    device="kitchen-pi", worth="valid", date="2026-01-01", report="r", reports=1, runtime="onnxruntime",
    p50_ms=Interval(10.0, 9.5, 10.5),
)  # fmt: skip
BEFORE = ReleaseThere(name="1.0.0-aaaaaaaaaaaa", version="1.0.0", bundle="b" * 64)


class Asked:
    """A device that is only asked its name."""

    def __init__(self, **entry: Any) -> None:
        self.entry = DeviceEntry(**{"name": "pi-1", "target": "raspberry-pi", "kind": "local"} | entry)
        self.root = "/root"


def blocks(ms: float, processes: int = 3, rounds: int = 4) -> list[dict[str, Any]]:
    """Timed blocks that vary by a per mille."""

    def one(process: int, turn: int) -> dict[str, Any]:
        ns = ms * 1e6 * (1 + 0.001 * ((process + turn) % 3))
        return {"process": process, "round": turn, "batch": 1, "samples_ns": [ns] * 5}

    return [one(process, turn) for process in range(processes) for turn in range(rounds)]


@pytest.fixture
def tryout(tmp_path: Path, project_root: Path, monkeypatch: pytest.MonkeyPatch) -> Tryout:
    """A release 1.1.0, whose reports are not filed."""
    monkeypatch.setattr(trials, "keep", lambda project, report, note: None)
    shipment = Shipment(tmp_path, "1.1.0", "d" * 64, tiny_manifest())
    project = Project(project_root, tmp_path / "state", tmp_path / "cache", None)
    return Tryout(project, read_target("raspberry-pi", project_root), shipment, [FIGURES], slower=0.05)


def timed(
    tryout: Tryout,
    monkeypatch: pytest.MonkeyPatch,
    now: float,
    before: float | None = None,
    device: Any = None,
    **report: Any,
) -> str:
    """What is said where the device measures these milliseconds."""
    figures = {"now": now} if before is None else {"before": before, "now": now}
    found = made.report(shapes=len(figures), **report)
    for result, (name, ms) in zip(found.results, figures.items(), strict=True):
        result.update(name=name, blocks=blocks(ms))

    def measured(self: Tryout, device: Device, old: Manifest | None, release: Any, looker: Looker) -> Any:
        return found

    monkeypatch.setattr(Tryout, "_measured", measured)
    monkeypatch.setattr(Tryout, "_manifest_of", lambda *given: None if before is None else tiny_manifest("old"))
    there: Any = device or Asked()
    return tryout.latency(there, None if before is None else BEFORE).said


def test_release_beside_the_one_before_it(tryout: Tryout, monkeypatch: pytest.MonkeyPatch) -> None:
    assert timed(tryout, monkeypatch, 10.0, 10.0).startswith("10.0 ms, before 10.0 ms: +0.0 % [")
    said = timed(tryout, monkeypatch, 8.0, 10.0)
    assert "before" in said and "-20.0 %" in said and "undecided" not in said
    with pytest.raises(TooSlow, match=r"\+10\.0 % .*; 5% is allowed") as caught:
        timed(tryout, monkeypatch, 11.0, 10.0)
    assert caught.value.report and "--slower" in caught.value.remedy
    assert "+10.0 %" in timed(replace(tryout, slower=0.2), monkeypatch, 11.0, 10.0)


def test_first_release_beside_its_own_figures(tryout: Tryout, monkeypatch: pytest.MonkeyPatch) -> None:
    assert timed(tryout, monkeypatch, 12.0) == "12.0 ms; 10 ms on kitchen-pi before its release"
    with pytest.raises(TooSlow, match=r"so 13\.7 ms is the most"):
        timed(tryout, monkeypatch, 14.0)


def test_what_cannot_be_judged_is_said_and_held_against_nobody(tryout: Tryout, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = Asked(stand_in=True)
    nothing = "not timed: there is neither a release before it nor a figure of such a device"
    assert timed(tryout, monkeypatch, 99.0, device=stand_in) == nothing
    own = replace(tryout, figures=[replace(FIGURES, device="pi-1", worth="standing in")])
    with pytest.raises(TooSlow):
        timed(own, monkeypatch, 99.0, device=stand_in)
    assert timed(replace(tryout, figures=[]), monkeypatch, 99.0) == nothing
    assert timed(replace(tryout, figures=[replace(FIGURES, p50_ms=None)]), monkeypatch, 99.0) == nothing
    assert "emulated" in timed(tryout, monkeypatch, 99.0, 1.0, device=Asked(emulated=True))
    same = replace(tryout, shipment=replace(tryout.shipment, manifest=tiny_manifest()))
    before = ReleaseThere(name="x", bundle=same.shipment.manifest.digest)
    assert same.latency(Asked(), before).said == "not timed: it is the same model as before"  # type: ignore[arg-type]
    assert timed(tryout, monkeypatch, 99.0, valid=False, problems=["it was hot"]) == "not judged: it was hot"


def test_sample_is_read_before_anything_is_switched(tryout: Tryout, monkeypatch: pytest.MonkeyPatch) -> None:
    """What becomes of its folder during a trial is no fault of the device."""
    read: list[Path] = []
    monkeypatch.setattr(Sample, "read", lambda folder: read.append(folder))
    device: Any = Asked()
    device.prepare = lambda runtime, source: read.append(Path(runtime))
    tryout.prepare(device)
    assert read == [tryout.shipment.folder, Path("onnxruntime")]
    assert tryout.sample is None and len(read) == 2


def test_release_before_that_cannot_be_run_any_more_is_named(tryout: Tryout, monkeypatch: pytest.MonkeyPatch) -> None:
    found = made.report(shapes=2)
    for result, name in zip(found.results, ("before", "now"), strict=True):
        result.update(name=name, blocks=blocks(10.0))
    found.results[0].update(error="the model file on the device is corrupted", blocks=[])
    monkeypatch.setattr(Tryout, "_measured", lambda *given: found)
    monkeypatch.setattr(Tryout, "_manifest_of", lambda *given: tiny_manifest("old"))
    said = tryout.latency(Asked(), BEFORE).said  # type: ignore[arg-type]
    assert said == "not judged: the release before can't be run any more: the model file on the device is corrupted"


def test_busy_device_still_tells_one_release_from_the_other(tryout: Tryout, monkeypatch: pytest.MonkeyPatch) -> None:
    busy: dict[str, Any] = {"valid": False, "problems": ["others took 99% of the cores"]}
    with pytest.raises(TooSlow, match="the device was not fit: others took 99%"):
        timed(tryout, monkeypatch, 20.0, 10.0, **busy)
    assert "not fit" in timed(tryout, monkeypatch, 10.0, 10.0, **busy)


@pytest.mark.parametrize("slower", ["5", " ", "-5%", "five%", "1000%"])
def test_words_that_mean_nothing_are_refused(slower: str) -> None:
    with pytest.raises(BadArgument, match="is no share"):
        typed("r", "a", "", "", False, slower, "30", 4, "")


def test_words_mean_what_they_say() -> None:
    asked = typed("r", "a, b,", "b", "", False, "7.5 %", "", 2, "")
    assert (asked.devices, asked.canary, asked.slower, asked.budget_s) == (["a", "b"], "b", 0.075, None)
    for budget, parallel in (("0", 4), ("1e9", 4), ("99999", 4), ("x", 4), ("30", 0)):
        with pytest.raises(BadArgument):
            typed("r", "a", "", "", False, "5%", budget, parallel, "")


def test_release_that_does_not_run_is_no_good(tryout: Tryout, monkeypatch: pytest.MonkeyPatch) -> None:
    found = made.report(shapes=1)
    found.results[0].update(name="now", error="the worker was killed by SIGSEGV", blocks=[])
    monkeypatch.setattr(Tryout, "_measured", lambda *given: found)
    with pytest.raises(WrongAnswer, match="SIGSEGV"):
        tryout.latency(Asked(), None)  # type: ignore[arg-type]
