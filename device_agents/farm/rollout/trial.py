"""The host's end of a trial (agent/trial.py): a release is current on a device, and this says what becomes of it."""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from types import TracebackType

from device_agents.connect.base import PING_S
from device_agents.connect.process import Completed, Process
from device_agents.errors import DeviceError
from device_agents.farm.device import Device
from device_agents.farm.endings import garbled, lost
from device_agents.farm.events import closing
from device_agents.farm.rollout.errors import TrialLost
from device_agents.farm.rollout.told import Back, Kept, Switched, badly, read, words

SILENCE_S = 60.0
"""So long without a word from here, and the device goes back by itself."""
_ANSWER_S = 600.0
_MOST_BYTES = 1 << 20


class Trial:
    """`with Trial(...) as trial:` switches; `keep` or `back` ends it, and so does leaving the block in any other way.

    before: the name of the release that was current, None where there was none. Raises RolloutBusy, ReleaseRefused,
    DeviceReserved, TrialLost, and what a connection raises.
    """

    def __init__(
        self, device: Device, model: str, name: str, *, silence_s: float = SILENCE_S, wait_s: float = 0.0
    ) -> None:
        self.before: str | None = None
        self._device = device
        self._name = device.entry.name
        self._given = ("--model", model, "--name", name, "--silence", str(silence_s), "--wait", str(wait_s))
        self._ping_s = min(PING_S, silence_s / 4)
        self._process: Process | None = None
        self._rest = b""
        self._over = threading.Event()

    def __enter__(self) -> Trial:
        self._process = self._device.connection.start(words(self._device, "trial", *self._given))
        try:
            self.before = read(Switched, self._name, "trial", self._line()).before
        except BaseException:
            self._end()
            raise
        threading.Thread(target=self._show_life, daemon=True).start()
        return self

    def keep(self) -> list[str]:
        """The release is good; the names of older ones that went. Raises TrialLost where the device has left it."""
        self._say(True)
        line = self._line()
        if b'"back"' in line:
            left = read(Back, self._name, "trial", line)
            raise TrialLost(
                f"{self._name} has left the release by itself: {left.why}.",
                where=f"{self._name}: {left.current or 'no release'} is current",
                remedy="./inv rollout --resume",
            )
        return read(Kept, self._name, "trial", line).removed

    def back(self, why: str) -> str | None:
        """The release before is current again; its name, None for none. Raises AgentLost where the trial has died."""
        self._say(False, why)
        return read(Back, self._name, "trial", self._line()).current

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._over.is_set():
            # The device does the same by itself where this can't reach it any more.
            with suppress(DeviceError, OSError):
                self.back(_why(error))
        self._end()

    def _say(self, keep: bool, why: str = "") -> None:
        assert self._process is not None
        self._over.set()
        with suppress(OSError):  # where it has ended, what it wrote says why
            self._process.send(json.dumps({"keep": keep, "why": why}).encode() + b"\n")

    def _show_life(self) -> None:
        assert self._process is not None
        while not self._over.wait(self._ping_s):
            with suppress(OSError):
                self._process.send(b"\n")

    def _line(self) -> bytes:
        """The next line. Raises what a closing marker says that isn't well, AgentLost where none comes any more."""
        assert self._process is not None
        deadline = time.monotonic() + _ANSWER_S
        while b"\n" not in self._rest:
            data = self._process.receive(1.0)
            if data == b"" or time.monotonic() > deadline:
                status = self._process.wait(10.0)
                raise lost(self._name, Completed(status, b"", self._process.stderr()))
            self._rest += data or b""
            if len(self._rest) > _MOST_BYTES:
                raise garbled(self._name, "wrote a line that no agent writes", self._rest)
        line, _, self._rest = self._rest.partition(b"\n")
        end = closing(line)
        if end is not None and not end["ok"]:
            badly(self._device, end, "could not switch to the release")
        return line

    def _end(self) -> None:
        self._over.set()
        if self._process is not None:
            self._process.close()


def _why(error: BaseException | None) -> str:
    if isinstance(error, DeviceError):
        return error.what
    return "the rollout was stopped" if error is None else f"the rollout was stopped ({type(error).__name__})"
