"""devices.setup: everything there before the first job, once; and all of it off again, never under a running job."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path

import pytest

from device_agents.errors import DeviceBusy, RuntimeUnavailable
from device_agents.farm.inventory import DeviceEntry
from device_agents.farm.setup import setup, undo
from edgewright.progress import Silent
from targets.schema import Target

pytestmark = pytest.mark.slow

TARGET = Target.model_validate(
    {
        "name": "phone-like",
        "runtime": [{"name": "benchmark_model", "source": "device"}, {"name": "onnxruntime"}],
    }
)


@pytest.fixture
def fresh(entry: DeviceEntry, tmp_path: Path) -> DeviceEntry:
    """A device of each kind, with a folder of its own."""
    return entry.model_copy(update={"root": str(tmp_path / "the root")})


def _setup(entry: DeviceEntry, cache: Path, target: Target = TARGET) -> list[str]:
    return setup(entry, target, Path("unused"), cache, Silent())


def test_setup_brings_the_runtime_once_and_undo_takes_all_away(fresh: DeviceEntry, cache: Path) -> None:
    first = _setup(fresh, cache)
    (works,) = [line for line in first if line.startswith("onnxruntime 1.")]
    assert "works (sent just now" in works
    assert "CPUExecutionProvider" in works
    assert any(line.startswith("left out: benchmark_model needs adb") for line in first)
    second = _setup(fresh, cache)
    assert sum("works (was there" in line for line in second) == 1
    assert not any("sent just now" in line for line in second)
    assert [line for line in second if line.startswith("in all")]

    (told,) = undo(fresh, Path("unused"), cache, Silent())
    assert "removed what was ours" in told
    assert float(told.rpartition(", ")[2].removesuffix(" MB")) > 50
    assert not Path(fresh.root).exists()


def test_undo_refuses_while_a_job_holds_the_lock(fresh: DeviceEntry, cache: Path) -> None:
    Path(fresh.root).mkdir()
    holder = {"who": "ada", "host": "bench", "what": "tiny > both", "since": "2026-01-02T03:04:05Z"}
    with Path(fresh.root, "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(json.dumps(holder))
        lock.flush()
        with pytest.raises(DeviceBusy, match="ada on bench"):
            undo(fresh, Path("unused"), cache, Silent())
    assert list(Path(fresh.root, "agent").iterdir())


def test_undo_leaves_what_is_not_ours(fresh: DeviceEntry, cache: Path) -> None:
    Path(fresh.root).mkdir()
    Path(fresh.root, "thesis.txt").write_text("years of work")
    lines = undo(fresh, Path("unused"), cache, Silent())
    assert lines[1] == "the folder stays, for what isn't ours in it: thesis.txt"
    assert [path.name for path in Path(fresh.root).iterdir()] == ["thesis.txt"]


def test_undo_leaves_releases_since_apps_read_them(fresh: DeviceEntry, cache: Path) -> None:
    Path(fresh.root, "releases").mkdir(parents=True)
    assert undo(fresh, Path("unused"), cache, Silent())[1:] == [
        "releases stay, since apps read them: rm -r them by hand"
    ]
    assert [path.name for path in Path(fresh.root).iterdir()] == ["releases"]


def test_target_that_the_device_can_have_nothing_of_is_refused(fresh: DeviceEntry, cache: Path) -> None:
    phone = Target.model_validate({"name": "phone", "runtime": [{"name": "benchmark_model", "source": "device"}]})
    with pytest.raises(RuntimeUnavailable, match="needs adb"):
        _setup(fresh, cache, phone)
