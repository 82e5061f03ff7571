"""A farm of board doubles on the loopback: each an OpenSSH server of its own, unprivileged, before a board whose
weather is given (tests/doubles/weather.py), and behind a fault link where a test wants its link to fail.

    with Farm(tmp_path / "farm", 8, faults=True) as farm:
        farm.declare(project_root)
        farm["board-3"].cut_power()
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType

from device_agents.farm.inventory import DeviceEntry
from edgewright.files import write_atomically
from tests.device_agents.farm.jobs import agents_of
from tests.doubles.faults import FaultLink
from tests.doubles.loopback import Loopback, sshd_path
from tests.doubles.weather import Board, Weather

TARGET = "board"
_TARGET_FILE = """\
description = "A board of the demonstration farm: an accelerator whose times are given (tests/doubles/weather.py)"

[[runtime]]
name = "onnxruntime"
source = "device"
precisions = ["float32"]
"""


class Member:
    """One device of the farm. link: None where the farm has no faults."""

    def __init__(self, folder: Path, name: str, target: str, weather: Weather | None, faults: bool) -> None:
        self.name = name
        self.target = target
        self.board = Board(folder / "board", weather)
        self.double = Loopback(folder / "sshd")
        self.link = FaultLink(self.double.port) if faults else None

    @property
    def entry(self) -> DeviceEntry:
        """As farm.toml names it: no stand-in, for its times are the board's own."""
        entry = self.double.entry(port=self.link.port if self.link else None, name=self.name, target=self.target)
        return entry.model_copy(update={"python": str(self.board.python)})

    def start(self, core: int | None = None) -> None:
        """Its server comes up. core: of this machine, that all it starts runs on."""
        self.double.__enter__()
        if core is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(self.double.pid, {core})

    def cut_power(self) -> None:
        """Server, agent and workers are gone at once; what lies on its disk stays."""
        self.double.__exit__(None, None, None)
        for pid in agents_of(str(self.double.root)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def restart(self) -> None:
        """Off and on again, with another boot id."""
        self.cut_power()
        self.board.restarted()
        self.start()


class Farm:
    """`count` devices, board-1 and on. They go with its block, and with them all that they started."""

    def __init__(
        self,
        folder: Path,
        count: int = 8,
        *,
        target: str = TARGET,
        weather: Weather | None = None,
        faults: bool = False,
    ) -> None:
        """Raises FileNotFoundError where this machine has no sshd, ModuleNotFoundError where it has no onnxruntime."""
        for program, package in ((sshd_path(), "openssh-server"), (shutil.which("ssh-keygen"), "openssh-client")):
            if program is None:
                raise FileNotFoundError(f"OpenSSH is not installed: apt-get install {package}")
        self.target = target
        self.members = {
            name: Member(folder / name, name, target, weather, faults)
            for name in (f"board-{number + 1}" for number in range(count))
        }
        self._opened = ExitStack()

    def __getitem__(self, name: str) -> Member:
        return self.members[name]

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members.values())

    def __enter__(self) -> Farm:
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        with self._opened as opened, ThreadPoolExecutor(4) as pool:
            started = []
            for number, member in enumerate(self):
                opened.callback(member.cut_power)
                if member.link is not None:
                    opened.enter_context(member.link)
                started.append(pool.submit(member.start, cores[number % len(cores)] if cores else None))
            for one in started:
                one.result()
            self._opened = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def declare(self, root: Path) -> None:
        """Writes root/farm.toml, and the target's file into root/targets."""
        tables = [_table(member.entry) for member in self]
        write_atomically(root / "farm.toml", "\n".join(tables).encode())
        write_target(root, self.target)


def write_target(root: Path, name: str = TARGET) -> None:
    """The file of the boards' kind, in root/targets."""
    write_atomically(root / "targets" / f"{name}.toml", _TARGET_FILE.encode())


def _table(entry: DeviceEntry) -> str:
    """A device as farm.toml spells it."""
    texts = {name: str(getattr(entry, name)) for name in ("target", "address", "user", "key", "known_hosts", "root")}
    lines = [f"{name} = {_toml(value)}" for name, value in (texts | {"python": entry.python}).items()]
    return "\n".join([f"[devices.{entry.name}]", *lines, f"port = {entry.port}", ""])


def _toml(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
