"""The end of a search: what is chosen stands on the front, and an invalid report says so and is taken again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from device_agents.farm.candidate import Candidate, Judgement, Metric
from device_agents.farm.paired import Latency, Ratio
from device_agents.farm.report import Report
from device_agents.farm.why import Cause
from pipeline.outcome import Measured
from pipeline.plan import Variant
from pipeline.search.candidates import Candidate as Trial
from pipeline.search.candidates import Trained
from pipeline.search.constraints import Constraints
from pipeline.search.entries import Entry, entry_of
from pipeline.search.finals import NOTE, Finals
from pipeline.search.light import Light
from pipeline.search.looking import Looking
from pipeline.search.notes import Notes
from pipeline.search.rungs import Rungs
from pipeline.search.subject import Base
from targets.schema import Limits, Runtime
from tests.pipeline.search.test_entries import BASE, _entry
from tests.pipeline.search.trainer import FULL, Started

VARIANT = Variant("small", "float32", "trained", "", "", cast(Runtime, SimpleNamespace(name="litert")))
FOUND = Candidate(
    "small", "trained", "float32", 1000, None, Metric("top-1", 0.9), Latency(0.5, 0.6, 0.7, 9), Ratio(2, 1.9, 2.1),
    peak_bytes=70_000_000,
)  # fmt: skip
PAYS = Judgement("small", "pays", "it is faster")


def _finals(folder: Path, **limits: float) -> Finals:
    metric = SimpleNamespace(floor=0.0)
    workshop = SimpleNamespace(
        target=SimpleNamespace(limits=Limits(**limits)), recipe=SimpleNamespace(metric=metric),
    )  # fmt: skip
    rungs = SimpleNamespace(workshop=workshop, asked=Constraints(0.01), trained={}, rates=[], notes=Notes(folder))
    return Finals(cast(Rungs, rungs), cast(Base, None), 60.0, (1, 1))


def _report(*problems: str) -> Report:
    return cast(Report, SimpleNamespace(valid=not problems, problems=list(problems)))


def _judged(entries: list[Entry], folder: Path, *problems: str, **limits: float) -> dict[str, Any]:
    return _finals(folder, **limits)._judged([BASE, *entries], "trained", _report(*problems))


def test_what_is_chosen_is_shown_although_what_breaks_the_limits_beats_it(tmp_path: Path) -> None:
    lost = _entry("lost", 9.0, size=1000, validation=0.8)
    outcome = _judged([_entry("kept", 3.0), lost], tmp_path)
    assert outcome["chosen"] == "kept"
    assert {one["name"] for one in outcome["front"]} == {"kept", "lost"}


def test_what_an_invalid_report_says_is_marked_so(tmp_path: Path) -> None:
    invalid = _judged([_entry("fast", 3.0)], tmp_path, "the device throttled")
    valid = _judged([_entry("fast", 3.0)], tmp_path)
    assert invalid["why"] == f"{valid['why']} (by a report that is invalid)"


def test_an_invalid_report_is_taken_again_and_a_valid_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports = iter([{"valid": False}, {"valid": True}])
    finals = _finals(tmp_path)
    monkeypatch.setattr(finals, "_measured", lambda: next(reports))
    assert [finals.run()["valid"] for _ in range(3)] == [False, True, True]
    assert finals.rungs.notes.read(NOTE) == {"valid": True}


def test_causes_are_asked_for_where_there_is_time(tmp_path: Path) -> None:
    finals, slow = _finals(tmp_path), Judgement("slow", "does not pay", "slower", against="trained")
    cause = Cause("dispatch", "dispatch-bound", "remove blocks")
    finals.rungs.looking = cast(Looking, SimpleNamespace(causes=lambda *given: {"slow": cause}))
    (told,) = finals._explained([slow], {}, _report(), 50.0)
    assert (told.reason, told.instead) == ("slower; dispatch-bound", "remove blocks")
    assert finals._explained([slow], {}, _report(), 61.0) == [slow]


def test_more_memory_than_the_target_has_is_not_chosen(tmp_path: Path) -> None:
    large, small = replace(_entry("large", 5.0), peak_bytes=70_000_000), replace(_entry("small", 2.0), peak_bytes=9)
    assert _judged([large, small], tmp_path, memory_mb=64)["chosen"] == "small"
    assert _judged([large, small], tmp_path)["chosen"] == "large"


def test_where_nothing_could_be_measured_it_says_so(tmp_path: Path) -> None:
    finals = _finals(tmp_path)
    outcome = finals._judged([replace(BASE, metric=None)], "trained", _report())
    assert outcome["why"] == "not met: not even trained could be measured"


def _said(found: Candidate, said: Judgement = PAYS) -> Entry:
    return entry_of(Measured(VARIANT, {"bytes": 1000}, {}, found.metric, None), found, said)


def test_figures_of_a_variant_are_taken_over() -> None:
    entry = _said(FOUND)
    assert entry.measured
    assert (entry.runtime, entry.bytes, entry.peak_bytes, entry.p50_ms) == ("litert", 1000, 70_000_000, 0.5)
    assert (entry.ratio, entry.reason) == (Ratio(2, 1.9, 2.1), None)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"metric": Metric("own", float("nan"))}, "no number"),
        ({"speedup": None}, "too few paired blocks"),
        ({"error": "it crashed"}, "it crashed"),
        ({"wanted_providers": ("CUDAExecutionProvider",), "providers": ("CPUExecutionProvider",)}, "fell back"),
    ],
)
def test_what_cannot_be_judged_cannot_be_chosen(changed: dict[str, Any], words: str) -> None:
    entry = _said(replace(FOUND, **changed))
    assert not entry.measured
    assert words in (entry.trouble or "")


def test_why_a_variant_does_not_pay_is_kept_with_what_to_do() -> None:
    entry = _said(FOUND, Judgement("small", "does not pay", "dispatch-bound", instead="remove blocks"))
    assert (entry.reason, entry.instead) == ("dispatch-bound", "remove blocks")


@pytest.mark.parametrize(("count", "expected"), [(1, [0.0045]), (2, [0.0045, 0.002]), (3, [0.0045, 0.002, 0.009])])
def test_finalists_hold_what_is_allowed_and_the_third_what_is_asked(
    started: Started, count: int, expected: list[float]
) -> None:
    rungs = _three(started)
    found = Finals(rungs, cast(Base, None), 900.0, (count, 0)).candidates()
    assert [rungs.lost(rungs.trained[one.name]) for one in found] == pytest.approx(expected)


def test_places_that_no_lighter_one_takes_are_the_fastest_ones(started: Started) -> None:
    rungs = _three(started)
    finals = Finals(rungs, cast(Base, None), 900.0, (1, 1))
    assert [rungs.lost(rungs.trained[one.name]) for one in finals.candidates()] == pytest.approx([0.0045, 0.002])
    light = replace(next(iter(rungs.trained.values())).candidate, form=Light(weight_bits=5, sparsity=0.85))
    rungs.trained[light.name] = Trained(light, rungs.base - 0.003, 1.0)
    assert [rungs.lost(rungs.trained[one.name]) for one in finals.candidates()] == pytest.approx([0.0045, 0.003])


def _three(started: Started) -> Rungs:
    """What lost 0.2, 0.45 and 0.9 points, where 0.5 are allowed of the one that is asked; the faster, the more."""
    rungs, _ = started("finals", 1500.0, allowed=0.005)
    fronts = rungs._front(0)
    for number, (one, lost) in enumerate(zip(fronts[:: len(fronts) // 3], (0.002, 0.0045, 0.009), strict=False), 1):
        candidate = Trial(number, one.choice, FULL)
        rungs.trained[candidate.name] = Trained(candidate, rungs.base - lost, 1.0)
    times = [rungs.pricing.best(one.candidate.choice).ms for one in rungs.results()]
    assert times == sorted(times, reverse=True), "the faster, the more is lost"
    return rungs
