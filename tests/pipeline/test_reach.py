"""What may be measured where."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewright.errors import EdgewrightError
from pipeline.commands import deploy
from pipeline.reach import NotReachable
from pipeline.search.task import shrink


@pytest.mark.parametrize("dry_run", [False, True])
def test_target_that_nothing_is_measured_on_says_what_can_be_done(
    project_root: Path, monkeypatch: pytest.MonkeyPatch, dry_run: bool
) -> None:
    monkeypatch.setenv("EDGEWRIGHT_ROOT", str(project_root))
    with pytest.raises(NotReachable) as caught:
        deploy("digits", "ios", None, None, dry_run, 0.0)
    assert "./inv build --target ios" in caught.value.remedy


def test_search_needs_a_device_that_can_be_reached(project_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEWRIGHT_ROOT", str(project_root))
    with pytest.raises(EdgewrightError, match="Nothing is measured on an ios"):
        shrink("digits", "ios", dry_run=True)
