"""A CPU quota over a double: what a container's limit or a paused virtual machine does to a device as a whole."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from tests.prerequisites import require

_FOLDER = Path("/sys/fs/cgroup/cpu")
_PERIOD_US = 10_000


class Quota:
    """A cgroup (version 1, its `cpu` controller) that holds a process and all that it starts to a share of one core.

    Needs root. `share`: of one core; None lifts it. It goes with its block, its processes back to where they were.
    """

    def __init__(self, name: str) -> None:
        require(
            os.geteuid() == 0 and (_FOLDER / "cpu.cfs_quota_us").parent.is_dir(), "a CPU quota needs root, cgroup v1"
        )
        self._folder = _FOLDER / f"edgewright-{name}-{os.getpid()}"

    def __enter__(self) -> Quota:
        self._folder.mkdir()
        (self._folder / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
        return self

    def hold(self, pid: int) -> None:
        """Puts a process into it; what it starts from now on is born there."""
        (self._folder / "tasks").write_text(str(pid))

    def share(self, share: float | None) -> None:
        """The share of one core that all of them get together from now on."""
        quota = -1 if share is None else max(1000, int(share * _PERIOD_US))
        (self._folder / "cpu.cfs_quota_us").write_text(str(quota))

    @property
    def throttled_s(self) -> float:
        """For how long it has held them back, in seconds."""
        told = dict(line.split() for line in (self._folder / "cpu.stat").read_text().splitlines())
        return int(told["throttled_time"]) / 1e9

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.share(None)
        for _ in range(50):
            for pid in (self._folder / "tasks").read_text().split():
                with suppress(OSError):
                    (_FOLDER / "tasks").write_text(pid)
            with suppress(OSError):
                self._folder.rmdir()
                return
            time.sleep(0.1)
