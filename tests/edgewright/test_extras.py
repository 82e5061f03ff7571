"""A missing package of an extra: named, with the command that brings it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgewright import extras
from edgewright.errors import BadArgument
from edgewright.extras import EXTRAS, MissingExtra, check, extra
from edgewright.toml import read_toml


def test_extra_names_the_package_and_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtra) as caught, extra("text", "the model x"):
        from transformers import BertModel  # noqa: F401
    assert "The package transformers is not installed" in str(caught.value)
    assert "where: the model x" in str(caught.value)
    assert "./inv setup text" in str(caught.value)


def test_extra_lets_other_errors_pass() -> None:
    with pytest.raises(KeyError), extra("text", "x"):
        raise KeyError("x")


def test_extras_are_those_of_the_project_file(project_root: Path) -> None:
    declared = read_toml(project_root / "pyproject.toml")["project"]["optional-dependencies"]
    assert set(EXTRAS) == set(declared)


def test_check_of_an_unknown_extra_names_those_there_are() -> None:
    with pytest.raises(BadArgument, match="There is no extra 'texts'") as caught:
        check("texts")
    assert "text, vision, bench" in str(caught.value)


def test_check_of_one_that_is_not_installed_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(extras.EXTRAS, "text", "no_such_package_anywhere")
    with pytest.raises(MissingExtra, match="no_such_package_anywhere"):
        check("text")
    check("dev")  # this test runs in it
