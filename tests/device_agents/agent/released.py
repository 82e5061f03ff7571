"""Small releases for the tests of what a device keeps of them, and a process that is killed at a chosen step."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from device_agents.agent import releases
from edgewright.files import sha256_bytes

STAMP = {"who": "ada", "host": "bench", "when": "2026-11-26T14:00:00Z"}
MODEL = "tiny"
_COUNTED = ("open", "os.rename", "os.remove", "os.symlink", "os.link", "os.mkdir", "os.rmdir")


def send(root: Path, version: str, content: str = "") -> dict[str, str]:
    """What a host sends of a release, on the shelves of a device; what `stage` is asked then."""
    model = f"the model of {version}{content}".encode()
    bundle = f'{{"file":"model.onnx","version":"{version}{content}"}}'.encode()
    files = {
        "manifest.json": f'{{"version":"{version}"}}'.encode(),
        "labels.txt": b"cat\ndog\n",
        "sample/input.npy": b"a sample",
        "model/model.onnx": model,
        "model/bundle.json": bundle,
        "packages/linux/tiny.deb": b"for the host alone",
        "model_card.md": b"for people",
    }
    sums = "".join(f"{sha256_bytes(data)}  {path}\n" for path, data in sorted(files.items())).encode()
    signature = b'{"signatures":[]}'
    data, shelf = root / "data", root / "bundles" / sha256_bytes(bundle)
    data.mkdir(parents=True, exist_ok=True)
    shelf.mkdir(parents=True, exist_ok=True)
    for path, one in {**files, "SHA256SUMS": sums, "signature.json": signature}.items():
        if not path.startswith(("model/", "packages/", "model_card")):
            (data / f"{sha256_bytes(one)}{Path(path).suffix}").write_bytes(one)
    (data / f"{sha256_bytes(bundle)}.json").write_bytes(bundle)
    (shelf / "model.onnx").write_bytes(model)
    (shelf / "manifest.json").write_bytes(bundle)
    return {
        "version": version,
        "digest": sha256_bytes(sums),
        "signature": sha256_bytes(signature),
        "bundle": sha256_bytes(bundle),
    }


def links(root: Path) -> tuple[str | None, str | None]:
    """The versions that `current` and `previous` stand for."""
    folder = str(root / "releases" / MODEL)
    names = [releases.pointed(folder, link) for link in (releases.CURRENT, releases.PREVIOUS)]
    current, previous = (name and name.rpartition("-")[0] for name in names)
    return current, previous


def assert_usable(root: Path, first: bool) -> None:
    """An app finds a whole release, unless there has never been one."""
    folder = root / "releases" / MODEL
    if not os.path.lexists(folder / "current"):
        assert first, "a device that had a model has none"
        return
    state = releases.state_of(str(folder), "current")
    assert state["state"] in ("good", "trial")
    assert releases.damaged(str(folder / "current"), state) == []
    assert (folder / "current" / "model" / "model.onnx").read_bytes().startswith(b"the model of")


def leftovers(root: Path) -> list[str]:
    """What nobody should find in the folder of a model's releases once all is settled."""
    folder = root / "releases" / MODEL
    return [path.name for path in folder.iterdir() if path.name.startswith(".") or path.name.endswith(".part")]


def killed_at(step: int, do: Callable[[], Any]) -> bool:
    """Runs `do` in a process that gets SIGKILL before its step-th change of the file system; whether it came so far.

    What counts as one: opening, renaming, removing, linking, making and removing folders, and flushing to the disk.
    """
    pid = os.fork()
    if pid:
        status = os.waitpid(pid, 0)[1]
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, f"it ended with {status}"
        return os.WIFSIGNALED(status)
    left = step

    def count(event: str, given: Any = ()) -> None:
        nonlocal left
        if event in _COUNTED:
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

    flush = os.fsync

    def counted(handle: int) -> None:
        count("open")
        flush(handle)

    try:
        os.fsync = counted  # type: ignore[assignment]
        sys.addaudithook(count)
        do()
    except BaseException as error:
        os.write(2, repr(error).encode())
        os._exit(1)
    os._exit(0)
