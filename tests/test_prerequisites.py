"""A missing prerequisite is a skip at home and a failure in CI."""

from __future__ import annotations

import pytest

from tests.prerequisites import require


def test_require_passes_when_condition_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    require(True, "nothing")


@pytest.mark.parametrize("ci", ["", "false", "0"])
def test_require_skips_on_a_persons_machine(ci: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises(pytest.skip.Exception, match="apt-get install thing"):
        require(None, "thing: apt-get install thing")


@pytest.mark.parametrize("ci", ["true", "1"])
def test_require_fails_in_ci(ci: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises(pytest.fail.Exception, match="apt-get install thing"):
        require("", "thing: apt-get install thing")
