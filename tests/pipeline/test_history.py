"""`bisect` over a ledger, with comparisons that are made up: which bundles it takes, refuses and names."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from device_agents.bundle import Bundle
from device_agents.errors import DeviceBusy, DeviceError
from device_agents.farm.ledger.ledger import Ledger
from device_agents.farm.versus import Line
from edgewright.errors import BadArgument, EdgewrightError
from pipeline import bisect as bisecting
from pipeline.bisect import bisect
from pipeline.bundles import BundleGone, NothingAccepted, keep_bundle
from pipeline.compare import Compared
from pipeline.history import NothingToBisect, Question
from pipeline.project import Project
from targets.schema import UnknownTarget
from tests.device_agents.farm.ledger import made
from tests.device_agents.tiny import tiny_bundle


def compared(verdict: str) -> Compared:
    lines = [Line("latency", 1.0, 1.0, 0.0, verdict=cast(Any, verdict))]
    report = SimpleNamespace(valid=True, problems=[], id="r")
    return cast(Compared, SimpleNamespace(report=report, lines=lines))


@pytest.fixture(autouse=True)
def project(tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("EDGEWRIGHT_ROOT", str(tmp_path))
    return Project(tmp_path, state, tmp_path / "cache", None)


@pytest.fixture
def history(project: Project, tmp_path: Path) -> list[Bundle]:
    """Five bundles in the ledger, of 1 to 5 layers, one report each."""
    bundles = [keep_bundle(project, tiny_bundle(tmp_path / f"b{n}", layers=n)) for n in range(1, 6)]
    with Ledger.open(None, project.state) as ledger:
        for place, bundle in enumerate(bundles):
            report = made.report(model="tiny", purpose="bench", started=f"2026-01-0{place + 1}T00:00:00Z")
            # As bench names one of two of a name.
            name = f"tiny:{bundle.digest[:8]}" if place == 2 else "tiny"
            report.results[0] |= {"name": name, "bundle": bundle.digest}
            ledger.append(report)
    return bundles


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch, history: list[Bundle]) -> list[str]:
    """Nothing is measured: bundles from the fourth on are worse; digests of those that were compared."""
    found: list[str] = []
    worse = {bundle.digest for bundle in history[3:]}

    def compare(bench: object, good: Bundle, bundle: Bundle, rule: object, protocol: object) -> Compared:
        found.append(bundle.digest)
        return compared("worse" if bundle.digest in worse else "same")

    monkeypatch.setattr(bisecting, "compare_bundles", compare)
    return found


def asked(**changes: Any) -> Question:
    given: dict[str, Any] = {
        "model": "tiny", "target": "raspberry-pi", "variant": None, "good": None, "bad": None, "commits": False,
        "device": None, "budget": 60.0,
    }  # fmt: skip
    return Question(**given | changes)


def test_first_bad_bundle_of_the_ledger_is_named_and_written(
    history: list[Bundle], tried: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = tmp_path / "found.json"
    found = bisect(asked(good=history[0].digest[:8]), str(told))
    assert found.first_bad == f"{history[3].digest[:16]} of 2026-01-04T00:00:00Z"
    assert json.loads(told.read_text()) == found.to_json()
    out = capsys.readouterr().out
    assert f"tiny > raspberry-pi     4 steps after {history[0].digest[:16]}, the good one" in out
    assert f"first bad  {history[3].digest[:16]} of 2026-01-04" in out


def test_good_one_is_the_accepted_one_where_none_is_named(
    project: Project, history: list[Bundle], tried: list[str]
) -> None:
    with pytest.raises(NothingAccepted) as caught:
        bisect(asked())
    assert "./inv accept" in caught.value.remedy
    of = history[1].manifest
    with Ledger.open(None, project.state) as ledger:
        ledger.accept(model=of.model, target=of.target, variant=of.name, bundle=history[1].digest, who="me")
    found = bisect(asked(model="models/tiny.toml"))
    assert (found.good, found.bad) == (history[2].digest[:16], history[3].digest[:16])
    assert history[0].digest not in tried


def test_bundle_whose_folder_is_gone_is_gone_around(
    project: Project, history: list[Bundle], tried: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for place in (2, 4):
        history[place].folder.rename(project.state / f"gone{place}")
    found = bisect(asked(good=history[0].digest))
    assert found.suspects == [f"{history[place].digest[:16]} of 2026-01-0{place + 1}T00:00:00Z" for place in (2, 3)]
    said = capsys.readouterr()
    assert "no bundle: left out" in said.out and "No bundle on this machine begins with" in said.err


def test_bad_one_ends_the_history_also_where_the_ledger_has_not_seen_it(
    history: list[Bundle], tried: list[str], tmp_path: Path
) -> None:
    assert bisect(asked(good=history[0].digest, bad=history[2].digest[:8])).verdict == "same"
    new = tiny_bundle(tmp_path / "new", layers=7)
    found = bisect(asked(good=history[0].digest, bad=str(new.folder)))
    assert found.tried[0]["step"] == f"{new.digest[:16]} of no report yet"
    assert new.digest in tried


@pytest.mark.parametrize(
    ("changes", "kind", "says"),
    [
        ({"budget": 0.0}, BadArgument, "is no budget"),
        ({"budget": float("nan")}, BadArgument, "is no budget"),
        ({"target": "toaster"}, UnknownTarget, "no target 'toaster'"),
        ({"device": "nobody"}, DeviceError, "no device 'nobody'"),
        ({"good": "abcdef"}, BundleGone, "begins with abcdef"),
        ({"good": "?"}, BadArgument, "no bundle's folder"),
        ({"model": "small", "good": 0}, BadArgument, "of tiny for raspberry-pi, not of small"),
        ({"good": 4}, NothingToBisect, "no bundle of tiny"),
        ({"good": 3, "bad": 3}, NothingToBisect, "no bundle of tiny"),
        ({"good": 3, "bad": 1}, NothingToBisect, "between the good one and the bad one"),
        ({"good": 0, "variant": "other"}, NothingToBisect, "(other)"),
        ({"commits": True}, BadArgument, "Which commit was good"),
        ({"commits": True, "good": "HEAD"}, EdgewrightError, "not a git repository"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_the_next_command(
    changes: dict[str, Any], kind: type[EdgewrightError], says: str, history: list[Bundle], tried: list[str]
) -> None:
    given = {key: history[one].digest if type(one) is int else one for key, one in changes.items()}
    with pytest.raises(kind) as caught:
        bisect(asked(**given))
    assert says in str(caught.value)
    assert caught.value.remedy
    assert not tried


def _cut_off_by(kind: type[BaseException], worse: int) -> Callable[..., Compared]:
    """Comparisons of which the first `worse` ones say worse; then comes what ends them: SIGTERM for a SystemExit."""
    answers = [compared("worse")] * worse

    def compare(*given: object) -> Compared:
        if answers:
            return answers.pop()
        if kind is DeviceBusy:
            raise DeviceBusy("It is busy.", remedy="wait for it")
        if kind is KeyboardInterrupt:
            raise KeyboardInterrupt
        os.kill(os.getpid(), signal.SIGTERM)
        return compared("same")

    return compare


@pytest.mark.parametrize("worse", [0, 1])
@pytest.mark.parametrize("kind", [DeviceBusy, KeyboardInterrupt, SystemExit])
def test_cut_off_search_tells_and_keeps_what_it_knows(
    kind: type[BaseException],
    worse: int,
    history: list[Bundle],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = tmp_path / "found.json"
    monkeypatch.setattr(bisecting, "compare_bundles", _cut_off_by(kind, worse))
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(kind) as caught:
        bisect(asked(good=history[0].digest), str(told))
    found = json.loads(told.read_text())
    last = history[4].digest[:16]
    assert (found["verdict"], found["bad"], len(found["tried"])) == ("unfinished", last if worse else None, worse)
    go_on = f"the same command with --good {history[0].digest[:16]} --bad {last}"
    out = capsys.readouterr().out
    assert (go_on in out) == bool(worse) and "so far" in out
    assert signal.getsignal(signal.SIGTERM) is before
    if isinstance(caught.value, DeviceBusy):
        assert "wait for it" in caught.value.remedy
        assert (go_on in caught.value.remedy) == bool(worse)
