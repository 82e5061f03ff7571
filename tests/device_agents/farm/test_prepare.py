"""Runtimes on a device: the device's own or ours, tried there; what can't be had is said before any job."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from device_agents.errors import NoRoom, RuntimeUnavailable
from device_agents.farm.device import Device, open_device
from device_agents.farm.inventory import DeviceEntry, stand_in
from device_agents.farm.prepare import Runtimes
from device_agents.runtimes import System
from targets.schema import Runtime
from tests.device_agents.agent.pythons import HOW, python
from tests.prerequisites import require

pytestmark = pytest.mark.slow


@pytest.fixture
def local(tmp_path: Path, cache: Path) -> Iterator[Device]:
    """This machine by a Python 3.11 that has no packages of its own."""
    found = python(11)
    require(found, HOW.format(11))
    assert found is not None
    subprocess.run([found, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True)
    with _opened(str(tmp_path / "venv" / "bin" / "python"), tmp_path, cache) as device:
        yield device


def _opened(interpreter: str, folder: Path, cache: Path) -> Device:
    entry = stand_in("raspberry-pi").model_copy(update={"python": interpreter})
    return open_device(entry, state=folder / "state", cache=cache)


@pytest.mark.parametrize("name", ["litert", "tflite-runtime", "onnxruntime"])
def test_wheels_are_sent_and_tried_there(local: Device, name: str) -> None:
    info = local.prepare(name)
    assert (info.sent, info.source) == (True, "wheel")
    assert Path(info.folder).is_dir()
    assert info.numpy is not None
    assert (info.numpy < "2") == (name == "tflite-runtime")
    assert ("CPUExecutionProvider" in info.providers) == (name == "onnxruntime")
    assert local.prepare(name) is info


def test_the_devices_own_is_asked_for_and_missed(local: Device) -> None:
    with pytest.raises(RuntimeUnavailable) as caught:
        local.prepare("onnxruntime", "device")
    assert "numpy is missing" in caught.value.what
    assert caught.value.remedy == "on the device: apt-get install python3-numpy"


def test_either_takes_ours_where_the_device_has_none(local: Device) -> None:
    assert local.prepare("tflite-runtime", "either").source == "wheel"


def test_either_takes_the_devices_own_where_it_has_one(tmp_path: Path, cache: Path) -> None:
    import sys

    import onnxruntime

    with _opened(sys.executable, tmp_path, cache) as device:
        info = device.prepare("onnxruntime", "either")
        assert (info.source, info.folder, info.sent, info.version) == ("device", "", False, onnxruntime.__version__)
        assert not Path(device.root, "runtimes").exists()


def test_numpy_2_under_tflite_runtime_is_told(tmp_path: Path, cache: Path, local: Device) -> None:
    """As on a 32-bit device whose own numpy is too new: here, the runtime's folder without the numpy that we bring."""
    folder = Path(local.prepare("tflite-runtime").folder)
    numpy_2 = Path(local.prepare("litert").folder)
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    (mixed / "tflite_runtime").symlink_to(folder / "tflite_runtime")
    for name in ("numpy", "numpy.libs"):
        (mixed / name).symlink_to(numpy_2 / name)
    found = local.ask("runtime", "--name", "tflite-runtime", "--folder", str(mixed))
    assert "tflite-runtime needs numpy older than 2, found numpy 2" in found["problem"]


def _runtimes(*names: str) -> list[Runtime]:
    own = {"benchmark_model", "torch"}
    return [
        Runtime.model_validate(
            {"name": name, "precisions": ["float32"], "source": "device" if name in own else "wheel"}
        )
        for name in names
    ]


def test_available_leaves_out_what_cannot_be_had_with_the_reason(local: Device) -> None:
    found, left_out = local.available(_runtimes("benchmark_model", "litert", "torch"))
    assert list(found) == ["litert"]
    assert "needs adb" in left_out["benchmark_model"]
    assert "torch can't be used" in left_out["torch"]


@pytest.mark.parametrize(
    ("system", "names", "word"),
    [
        (System((3, 11), "cpython", "armv7l", ("glibc", "2.36")), ["onnxruntime"], "32-bit ARM"),
        (System((3, 8), "cpython", "aarch64", ("glibc", "2.31")), ["litert"], "cpython 3.8 on aarch64"),
        (System((3, 12), "cpython", "aarch64", ("glibc", "2.39")), ["tflite-runtime"], "cpython 3.12 on aarch64"),
    ],
)
def test_target_whose_runtimes_have_no_wheel_is_refused_before_a_job(
    local: Device, system: System, names: list[str], word: str
) -> None:
    known = local._runtimes
    elsewhere = Runtimes(local.connection, local.ask, local.root, system, known._cache, known._progress)
    with pytest.raises(RuntimeUnavailable, match=word) as caught:
        elsewhere.available(_runtimes(*names))
    assert caught.value.remedy
    assert not Path(local.root, "runtimes").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 40 MB."""
    require(os.geteuid() == 0, "mounting a small file system needs root")
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40m", "none", str(folder)], capture_output=True, check=False
    )
    require(done.returncode == 0, f"a tmpfs can't be mounted here: {done.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_full_disk_is_told_and_nothing_is_left_half_there(
    local: Device, small_disk: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry: DeviceEntry = local.entry.model_copy(update={"root": str(small_disk / "root")})
    with open_device(entry, state=small_disk, cache=cache) as device:
        with pytest.raises(NoRoom, match=r"has no room for onnxruntime .* needs \d+ MB, \d+ MB are free"):
            device.prepare("onnxruntime")
        assert not Path(device.root, "wheels").exists()

        # The disk fills while the wheels travel: the device itself says so then, before it unpacks anything.
        filler = small_disk / "filler"
        monkeypatch.setattr(Runtimes, "_check_room", lambda *_: filler.write_bytes(b"x" * 8_000_000))
        with pytest.raises(NoRoom, match=r"unpacking needs \d+\.\d MB, \d+\.\d MB are free"):
            device.prepare("tflite-runtime")
        assert list(Path(device.root, "runtimes").iterdir()) == []
        assert list(Path(device.root, "wheels").iterdir()) == []
