"""Every file of every recipe, asked of every runtime on every kind of machine: what the parity tests and page judge."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from device_agents.farm.device import open_device
from device_agents.farm.inventory import DeviceEntry
from edgewright.errors import EdgewrightError
from tests.arm.answers import Answer, Question, ask
from tests.arm.made import PRECISIONS, Made

RUNTIMES = {"onnxruntime": "onnx", "litert": "tflite", "tflite-runtime": "tflite"}
"""What runs there, and which format it loads."""

Cell = tuple[str, str, str, str]
"""Machine, runtime, recipe, precision."""


@dataclass
class Answers:
    """answers: what each cell answered; refused: why it did not; seconds: by (machine, runtime)."""

    answers: dict[Cell, Answer] = field(default_factory=dict)
    refused: dict[Cell, str] = field(default_factory=dict)
    seconds: dict[tuple[str, str], float] = field(default_factory=dict)


def ask_everywhere(
    mades: Sequence[Made],
    machines: Mapping[str, DeviceEntry],
    wanted: Mapping[str, Sequence[str]],
    state: Path,
    cache: Path,
    say: Callable[[str], None] = lambda text: None,
) -> Answers:
    """Asks, two runtimes at a time. machines: a device each; wanted: the runtimes that each is asked.

    A runtime that a device can't have is a refusal with its reason, for each of its cells.
    """
    found, lock = Answers(), threading.Lock()

    def one(machine: str, runtime: str) -> None:
        format_ = RUNTIMES[runtime]
        cells: dict[Cell, Question] = {}
        refused: dict[Cell, str] = {}
        for made in mades:
            for precision in PRECISIONS:
                cell = (machine, runtime, made.name, precision)
                if (bundle := made.bundles.get((format_, precision))) is not None:
                    cells[cell] = Question(bundle, made.evaluation)
                else:
                    refused[cell] = made.refused.get((format_, precision), "not made")
        began = time.monotonic()
        answers: list[Answer] = []
        try:
            with open_device(machines[machine], state=state / machine, cache=cache) as device:
                answers = ask(device, runtime, list(cells.values()))
        except EdgewrightError as error:
            refused |= dict.fromkeys(cells, error.what)
        with lock:
            found.answers |= dict(zip(cells, answers, strict=False))
            found.refused |= refused
            found.seconds[machine, runtime] = time.monotonic() - began
            say(f"{machine}: {runtime} answered in {time.monotonic() - began:.1f} s")

    for machine, entry in machines.items():
        # One after another: two at once remove each other's wheels.
        with open_device(entry, state=state / machine, cache=cache) as device:
            for runtime in wanted[machine]:
                with suppress(EdgewrightError):  # asked below, and told there
                    device.prepare(runtime)
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(one, machine, runtime) for machine in machines for runtime in wanted[machine]]
        for future in asked:
            future.result()
    return found
