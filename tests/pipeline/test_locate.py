"""What a recipe names: found in a file beside it or in a package, or refused with what to mend."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewright.errors import EdgewrightError
from pipeline.locate import NotFound, call, load, source_of


def test_load_from_a_file_beside_the_recipe(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("def make(): return 'mine'\n")
    assert source_of("net.py:make", tmp_path, "factory") == tmp_path / "net.py"
    assert load("net.py:make", tmp_path, "factory")() == "mine"


def test_load_two_recipes_may_each_have_a_file_of_the_same_name(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "net.py").write_text(f"def make(): return {name!r}\n")
    assert [load("net.py:make", tmp_path / name, "factory")() for name in ("a", "b")] == ["a", "b"]


def test_load_file_may_import_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "edgewright_test_parts.py").write_text("VALUE = 7\n")
    (tmp_path / "net.py").write_text("from edgewright_test_parts import VALUE\ndef make(): return VALUE\n")
    assert load("net.py:make", tmp_path, "factory")() == 7


def test_load_leaves_the_import_path_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("raise RuntimeError('no')\n")
    before = list(sys.path)
    with pytest.raises(NotFound):
        load("net.py:make", tmp_path, "factory")
    assert sys.path == before


def test_load_file_that_failed_is_tried_again_once_mended(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("1 / 0\n")
    with pytest.raises(NotFound, match="ZeroDivisionError"):
        load("net.py:make", tmp_path, "factory")
    (tmp_path / "net.py").write_text("def make(): return 'mended now'\n")
    assert load("net.py:make", tmp_path, "factory")() == "mended now"


def test_source_of_a_package_imports_only_its_parents(tmp_path: Path) -> None:
    package = tmp_path / "edgewright_test_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "net.py").write_text("raise RuntimeError('imported')\n")
    found = source_of("edgewright_test_package.net:make", tmp_path, "factory")
    assert found == package / "net.py"
    assert "edgewright_test_package.net" not in sys.modules


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("net.py:make", "no file 'net.py'"),
        ("edgewright_no_such_package.net:make", "no module"),
        ("models.no_such_module:make", "no module"),
        ("models.data.digits.deeper:make", "no module"),
        ("sys:exit", "no module 'sys' with a source"),
        ("make", "names nothing that can be imported"),
        (":make", "names nothing that can be imported"),
        ("net.py:", "names nothing that can be imported"),
        ("net.py:make()", "names nothing that can be imported"),
        ("models.architectures.resnet:resnet9", "has no 'resnet9'"),
    ],
)
def test_load_of_what_is_not_there_names_key_and_remedy(tmp_path: Path, spec: str, says: str) -> None:
    with pytest.raises(NotFound) as caught:
        load(spec, tmp_path, "factory")
    assert says in caught.value.what
    assert "factory" in caught.value.where
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("def make(:\n", "SyntaxError"),
        ("import edgewright_no_such_library\n", "ModuleNotFoundError"),
        ("raise ValueError('bad luck')\n", "ValueError: bad luck"),
    ],
)
def test_load_of_a_module_that_fails_tells_its_error(tmp_path: Path, source: str, says: str) -> None:
    (tmp_path / "net.py").write_text(source)
    with pytest.raises(NotFound, match=says) as caught:
        load("net.py:make", tmp_path, "factory")
    assert str(tmp_path / "net.py") in caught.value.where


def test_source_of_a_package_that_fails_tells_its_error(tmp_path: Path) -> None:
    package = tmp_path / "edgewright_test_failing"
    package.mkdir()
    (package / "__init__.py").write_text("raise ValueError('bad luck')\n")
    (package / "net.py").write_text("")
    with pytest.raises(NotFound, match="bad luck"):
        source_of("edgewright_test_failing.net:make", tmp_path, "factory")


class _Ours(EdgewrightError):
    pass


def _raises(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def test_call_names_what_raised_and_passes_our_own_errors() -> None:
    with pytest.raises(NotFound, match="It raised KeyError: 'x'") as caught:
        call(_raises(KeyError("x")), "net.py:make", "factory")
    assert "net.py:make" in caught.value.where
    with pytest.raises(_Ours):
        call(_raises(_Ours("no")), "net.py:make", "factory")


def test_call_with_wrong_arguments_shows_them() -> None:
    with pytest.raises(NotFound, match="TypeError") as caught:
        call(len, "net.py:make", "factory", depth=3)
    assert "depth=3" in caught.value.where
