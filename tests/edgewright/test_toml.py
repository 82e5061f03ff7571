"""What a person reads when a TOML file is wrong: the key, the reason, what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from edgewright.toml import BadToml, describe, read_toml


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Inner(_Strict):
    epochs: int = 1


class _Outer(_Strict):
    name: str
    inner: _Inner = _Inner()
    many: list[_Inner] = []


def _described(content: dict[str, object]) -> tuple[str, str, str]:
    with pytest.raises(ValidationError) as caught:
        _Outer.model_validate(content)
    return describe(caught.value, _Outer)


def test_read_toml_reads(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('a = 1\n[b]\nc = "ä"\n', encoding="utf-8")
    assert read_toml(tmp_path / "a.toml") == {"a": 1, "b": {"c": "ä"}}


@pytest.mark.parametrize(
    ("content", "says"), [(b"a = \n", "not TOML"), (b"\xff\xfe\x00", "can't be read"), (None, "can't be read")]
)
def test_read_toml_bad_file_names_it_and_the_line(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "a.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadToml, match=says) as caught:
        read_toml(path)
    assert caught.value.where == str(path)
    assert caught.value.remedy
    if content == b"a = \n":
        assert "line 1" in caught.value.what


def test_describe_unknown_key_suggests_the_near_one() -> None:
    assert _described({"nme": "x", "name": "y"}) == ("Unknown key 'nme'", "nme", "did you mean 'name'?")


def test_describe_unknown_key_suggests_from_its_own_table() -> None:
    what, key, hint = _described({"name": "x", "inner": {"epoch": 3}})
    assert (what, key, hint) == ("Unknown key 'epoch'", "inner.epoch", "did you mean 'epochs'?")
    what, key, hint = _described({"name": "x", "many": [{}, {"epoch": 3}]})
    assert (key, hint) == ("many.1.epoch", "did you mean 'epochs'?")


def test_describe_unknown_key_far_from_all_lists_what_is_known() -> None:
    assert _described({"name": "x", "zzz": 1})[2] == "known here: name, inner, many"


def test_describe_missing_and_wrong_type_name_the_key_and_the_value() -> None:
    assert _described({}) == ("The key 'name' is missing", "name", "add name = ...")
    what, key, _ = _described({"name": "x", "inner": {"epochs": "three"}})
    assert key == "inner.epochs"
    assert "'three'" in what


def test_describe_counts_the_problems_that_follow() -> None:
    assert "(1 more problems after it)" in _described({"zzz": 1})[0]
