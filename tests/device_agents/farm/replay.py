"""A connection that replays what an agent wrote, or what something wrote that only pretends to be one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from device_agents.connect.base import Connection
from device_agents.connect.process import Process
from device_agents.farm.device import Device
from device_agents.farm.inventory import DeviceEntry
from device_agents.farm.job import Job, JobVariant, RemoteBundle
from device_agents.farm.prepare import RuntimeInfo
from edgewright.progress import Progress, Silent

HELLO = {
    "root": "/agent",
    "python": [3, 11, 7],
    "implementation": "CPython",
    "machine": "aarch64",
    "bits": 64,
    "libc": ["glibc", "2.36"],
    "ok": True,
}
ENTRY = DeviceEntry(name="pi", target="raspberry-pi", address="pi.lan")
RUNTIME = RuntimeInfo("onnxruntime", "1.23.0", "0" * 16, "/agent/runtimes/0", False, numpy="2.2.0")


def job_of(*names: str, canary: bool = False, **changes: Any) -> Job:
    """A job over variants that nobody will look for."""
    made = [JobVariant(name=name, bundle=RemoteBundle(digest="0" * 64, path="/x")) for name in names]
    quick = {"model": "m", "target": "raspberry-pi", "variants": made, "processes": 2, "blocks": 2}
    extra = {"canary": made[0].model_copy(update={"name": "(canary)"})} if canary else {}
    return Job(**{**quick, **extra, **changes})


def stream_of(job: Job) -> list[dict[str, Any]]:
    """The events of a sane agent that runs a job."""
    names = [variant.name for variant in job.variants] + (["(canary)"] if job.canary else [])
    state = {"governor": "performance", "freq_khz": 1_800_000, "temperature_c": 41.5, "throttled": 0, "load1": 0.1}
    facts = {"machine": "aarch64", "cores": 4, "boot_id": "b", "identity": "0123456789abcdef"}
    events: list[dict[str, Any]] = [
        {"kind": "start", "agent": "1", "facts": facts, "state": state, "cpus": [3], "idle_mw": None, "steps": 9},
        {"kind": "beat"},
    ]
    for process in range(job.processes):
        for name in names:
            loaded = {"load_ns": 5_000_000, "first_ns": 900_000, "base_bytes": 20_000_000, "pinned": True}
            told = {"providers": ["CPUExecutionProvider"], "versions": {"version": "1.23.0", "numpy": "2.2.0"}}
            events.append({"kind": "loaded", "name": name, "process": process, **loaded, **told})
            warm = {"calls": 10, "seconds": 0.3, "stable": True}
            events.append({"kind": "warmed", "name": name, "process": process, **warm})
        for number in range(job.blocks):
            turn = {"process": process, "round": number}
            events.append({"kind": "canary", **turn, "when": "before", "ns": 1_000_000})
            for position, name in enumerate(names if number % 2 == 0 else names[::-1]):
                times = {"samples_ns": [800_000, 810_000, 805_000], "batch": 1, "wall_ns": 2_500_000}
                others = {"others_ns": 10_000, "watched_ns": 2_500_000, "cpu_ns": 2_400_000}
                tried = {"position": position, "attempt": 0, "canary_ratio": 1.01, "kept": True}
                events.append({"kind": "block", "name": name, **turn, **tried, **times, **others})
            events.append({"kind": "canary", **turn, "when": "after", "ns": 1_010_000})
    for name in names[: len(job.variants)]:
        events.append({"kind": "memory", "name": name, "peak_bytes": 30_000_000, "base_bytes": 20_000_000})
    return [*events, {"kind": "state", "state": state}, {"kind": "end", "ok": True}]


def written(events: Iterable[dict[str, Any]]) -> bytes:
    """Events as an agent writes them."""
    return b"".join(json.dumps(event, separators=(",", ":")).encode() + b"\n" for event in events)


class _Replay(Process):
    def __init__(self, chunks: Iterator[bytes], heard: list[bytes], status: int) -> None:
        self._chunks = chunks
        self._heard = heard
        self._status = status

    def send(self, data: bytes) -> None:
        self._heard.append(data)

    def close_input(self) -> None: ...

    def receive(self, timeout: float) -> bytes | None:
        return next(self._chunks, b"")

    def stderr(self) -> bytes:
        return b""

    def wait(self, timeout: float) -> int:
        return self._status

    def close(self) -> None: ...


class ReplayConnection(Connection):
    """Every command writes `output`; `heard` is what was sent to the last one."""

    def __init__(self, output: bytes | Callable[[], Iterator[bytes]], status: int = 0, alive: bool = True) -> None:
        super().__init__("pi", "python3")
        self.output = output
        self.heard: list[bytes] = []
        self.hello: Any = HELLO
        self._status = status
        self._alive = alive

    def start(self, argv: Sequence[str]) -> Process:
        output, self.heard = self.output, []
        # Cut where no line ends, as a link cuts.
        chunks = (
            (output[at : at + 1000] for at in range(0, len(output), 1000)) if isinstance(output, bytes) else output()
        )
        return _Replay(iter(chunks), self.heard, self._status)

    def place(self, **request: Any) -> dict[str, Any]:
        return self.hello

    def push(self, local: Path, remote: str, sha256: str, progress: Progress | None = None) -> int:
        return 0

    def append(self, local: Path, remote: str, offset: int, moved: Callable[[int], None]) -> None: ...

    def alive(self) -> bool:
        return self._alive

    def close_link(self) -> None: ...


def device_of(connection: Connection, folder: Path) -> Device:
    """A device behind a replay, with its runtime ready. folder: for its state (`folder`/state) and cache."""
    device = Device(ENTRY, connection, "/agent", folder / "cache", Silent(), folder / "state")
    device._runtimes.ready["onnxruntime"] = RUNTIME
    return device
