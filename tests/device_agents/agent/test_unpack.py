"""Wheels into a runtime folder: whole or absent, and nothing outside it."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from device_agents.agent.unpack import unpack


def _wheel(path: Path, files: dict[str, str]) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return str(path)


def test_unpack_puts_packages_and_their_data_side_by_side(tmp_path: Path) -> None:
    first = _wheel(
        tmp_path / "a.whl", {"a/__init__.py": "A", "a-1.data/purelib/extra.py": "E", "a-1.data/scripts/s": "S"}
    )
    second = _wheel(tmp_path / "b.whl", {"b/lib.so": "B", "b.libs/x.so": "X"})
    folder, made = unpack(str(tmp_path / "root"), "f" * 64, [first, second])
    assert made
    found = sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())
    assert found == ["a/__init__.py", "b.libs/x.so", "b/lib.so", "extra.py"]


def test_unpack_of_what_is_there_does_nothing(tmp_path: Path) -> None:
    wheel = _wheel(tmp_path / "a.whl", {"a.py": ""})
    root = str(tmp_path / "root")
    assert unpack(root, "d", []) == ("", False)
    folder, _ = unpack(root, "d", [wheel])
    assert unpack(root, "d", []) == (folder, False)
    assert unpack(root, "d", [str(tmp_path / "missing.whl")]) == (folder, False)


@pytest.mark.parametrize(
    "name", ["../outside.py", "/outside.py", "a/../../outside.py", "x.data/purelib/../../outside.py"]
)
def test_unpack_refuses_paths_that_leave_the_folder(tmp_path: Path, name: str) -> None:
    wheel = _wheel(tmp_path / "evil.whl", {"good.py": "", name: "owned"})
    with pytest.raises(OSError, match="leaves the folder"):
        unpack(str(tmp_path / "root"), "d", [wheel])
    assert list((tmp_path / "root" / "runtimes").iterdir()) == []
    assert not list(tmp_path.rglob("outside.py"))


def test_unpack_of_a_damaged_wheel_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "bad.whl").write_bytes(b"PK this is no zip")
    with pytest.raises(OSError, match=r"bad\.whl"):
        unpack(str(tmp_path / "root"), "d", [str(tmp_path / "bad.whl")])
    assert list((tmp_path / "root" / "runtimes").iterdir()) == []
