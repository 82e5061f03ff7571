"""Nothing that a person, a device or a file said becomes markup, a link or a path."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from device_agents.farm.dashboard import Source, build
from device_agents.farm.ledger.ledger import Ledger
from device_agents.farm.night.record import DeviceNight, JobNight, Night
from device_agents.farm.page import TEMPLATES
from tests.device_agents.farm.dashboard import year
from tests.device_agents.farm.dashboard.read import Page, broken, faults
from tests.device_agents.farm.ledger.made import report

HOSTILE = (
    "<script>document.title='owned'</script>",
    '"onload="document.title=\'owned\'" x="',
    "'><img src=x onerror=document.title='owned'>",
    "</style></title></h1><b>",
    "javascript:alert(1)",
    "../../../../tmp/owned",
    "{{ 7 * 7 }}{% raw %}",
    "\u202ereversed\x1b[31m",
)


def _named(state: Path, text: str) -> Path:
    """The pages of a farm in which everything is called `text`."""
    state.mkdir()
    with Ledger.open(None, state) as ledger:
        for number in range(2):
            one = report(f"r-{number}", model=text, target=text, purpose="nightly", warnings=[text], commit=text)
            one.device["name"] = one.results[0]["name"] = one.job["variants"][0]["name"] = text
            one.facts |= {"kernel": text + str(number), text: text}
            ledger.append(one)
        ledger.append(report("c", shapes=2, purpose="compare", model=text))
        ledger.append(report("d", purpose="nightly", valid=False, problems=[text], model=text))
        verdict = {
            "metric": "latency",
            "worse": True,
            "verdict": "slower",
            "reason": text,
            "ratio": None,
            "changes": [],
        }
        key = dict.fromkeys(("model", "variant", "target", "device", "runtime", "precision"), text)
        night = Night(
            id="n",
            started=text,
            finished=text,
            host=text,
            commit=text,
            devices=(DeviceNight(name=text, target=text, state="died", problem=text, remedy=text),),
            jobs=(JobNight(id="j", device=text, target=text, model=text, state="failed", problem=text, report=text),),
            verdicts=(verdict | {"key": key},),
            regressions=(0,),
        )
        (state / "bench").mkdir()
        cell = {"model": text, "runtime": text, "precision": text, "machine": text, "worst": None}
        (state / "bench/parity.json").write_text(json.dumps({"cells": [cell]}))
        build(Source(ledger, [night], year.PURPOSES, state / "bench"), state / "out")
    return state / "out"


@pytest.mark.parametrize("text", HOSTILE)
def test_build_lets_no_hostile_name_become_markup_or_leave_the_folder(tmp_path: Path, text: str) -> None:
    # The same words, as long, without a character that HTML minds: the pages must come out the same but for the text.
    usual, found = _named(tmp_path / "usual", re.sub(r"[^ ]", "x", text)), _named(tmp_path / "found", text)
    assert broken(found) == []
    for kind in ("index.html", "reports/*.html", "series/*.html", "months/*.html"):
        ours, theirs = sorted(usual.glob(kind)), sorted(found.glob(kind))
        assert len(ours) == len(theirs) > 0
        for one, other in zip(ours, theirs, strict=True):
            assert _shape(other) == _shape(one)
            assert faults(Page.of(other)) == []
    assert {path.name for path in tmp_path.iterdir()} == {"usual", "found"}


def _shape(path: Path) -> list[tuple[str, list[str]]]:
    return [(tag, sorted(attributes)) for tag, attributes in Page.of(path).tags]


def test_templates_never_mark_anything_as_safe() -> None:
    for path in TEMPLATES.glob("dashboard*.j2"):
        source = path.read_text()
        assert "safe" not in source.replace("safe-inline", "") and "<script" not in source and "Markup" not in source
