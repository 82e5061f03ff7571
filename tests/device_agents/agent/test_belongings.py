"""The agent's folder on the device: what lies in it, and its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from device_agents.agent.belongings import disk_bytes, erase, sizes
from device_agents.agent.lock import Busy, Lock


def _root(folder: Path) -> Path:
    for name in ("agent/a.pyz", "runtimes/one/x.so", "runtimes/two/y.so", "bundles/b/model.onnx"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x" * 10_000)
    return folder


def test_sizes_are_what_the_disk_gives_for_them(tmp_path: Path) -> None:
    found = sizes(str(_root(tmp_path)))
    assert set(found) == {"agent", "bundles", "runtimes/one", "runtimes/two"}
    assert all(size >= 10_000 for size in found.values())
    assert disk_bytes(str(tmp_path / "missing")) == 0


def test_erase_takes_the_whole_folder(tmp_path: Path) -> None:
    root = _root(tmp_path / "root")
    found = erase(str(root), {})
    assert found["left"] == []
    assert isinstance(found["freed_bytes"], int)
    assert found["freed_bytes"] >= 40_000
    assert not root.exists()


def test_erase_leaves_what_is_somebody_elses(tmp_path: Path) -> None:
    """root = "~" in farm.toml must not cost anybody their home."""
    root = _root(tmp_path / "home")
    (root / "thesis.txt").write_text("years of work")
    (root / "data").mkdir()
    assert erase(str(root), {})["left"] == ["thesis.txt"]
    assert [path.name for path in root.iterdir()] == ["thesis.txt"]


def test_erase_refuses_while_a_job_holds_the_lock(tmp_path: Path) -> None:
    root = _root(tmp_path)
    with Lock(str(root), {"who": "someone"}), pytest.raises(Busy) as caught:
        erase(str(root), {})
    assert caught.value.holder == {"who": "someone"}
    assert (root / "agent" / "a.pyz").exists()


def test_links_are_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "file").write_text("kept")
    root = _root(tmp_path / "root")
    (root / "bundles" / "link").symlink_to(other)
    erase(str(root), {})
    assert (other / "file").read_text() == "kept"
