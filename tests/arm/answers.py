"""What a runtime on a device answers to samples, with no timing: one worker of the agent takes model after model.

A whole job starts each variant three times, and under emulation a start takes seconds: here it is paid once a runtime.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_agents.bundle import read_bundle
from device_agents.farm.device import Device

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Question:
    """A bundle's folder and the .npz whose x it is asked."""

    bundle: Path
    evaluation: Path


@dataclass(frozen=True)
class Answer:
    """outputs: float32 [N, ...], None where the runtime could not, with its words in `failed`; providers and versions
    as the runtime tells them."""

    outputs: NDArray[Any] | None
    providers: tuple[str, ...] = ()
    version: str = ""
    failed: str = ""


def ask(device: Device, runtime: str, questions: Sequence[Question], timeout: float = 600.0) -> list[Answer]:
    """An answer each, in order. Raises device_agents.errors, RuntimeUnavailable where the device can't have it."""
    import numpy as np

    folder = device.prepare(runtime).folder
    cores = sorted(os.sched_getaffinity(0))  # an emulated device runs on this machine's
    requests: list[dict[str, Any]] = []
    saved = []
    for number, question in enumerate(questions):
        manifest = read_bundle(question.bundle).manifest
        remote = device.install(question.bundle)
        evaluation = device.push_data(question.evaluation)
        saved.append(f"{device.root}/outputs/{runtime}-{number}.npy")
        content = manifest.model_dump(mode="json")
        requests.append(
            {
                "do": "load", "model": f"{remote.path}/{manifest.file}", "runtime": runtime, "runtime_folder": folder,
                "precision": manifest.precision, "providers": [], "options": {}, "inputs": content["inputs"],
                "outputs": content["outputs"], "engines": "", "board": "", "threads": 1, "cpus": cores,
                "data": evaluation,
            }
        )  # fmt: skip
        requests.append({"do": "accuracy", "data": evaluation, "batch": 1, "save": saved[-1]})
    # The requests that a session sends to its workers; end of input ends it.
    lines = "".join(json.dumps(request) + "\n" for request in requests)
    done = device.connection.run(device.argv("worker", "--root", device.root), lines.encode(), timeout=timeout)
    replies = [json.loads(line) for line in done.stdout.splitlines()]
    found = []
    for number, place in enumerate(saved):
        told = replies[2 * number : 2 * number + 2]
        failed = next((reply["message"] for reply in told if reply["kind"] != "reply"), "")
        if failed or len(told) < 2:
            found.append(Answer(None, failed=failed or f"the worker died: {done.stderr.decode()[-300:]}"))
            continue
        with tempfile.TemporaryDirectory() as here:
            device.connection.pull(place, Path(here, "outputs.npy"))
            outputs = np.load(Path(here, "outputs.npy"), allow_pickle=False)
        loaded = told[0]
        found.append(Answer(outputs, tuple(loaded["providers"]), loaded["versions"]["version"]))
    return found
