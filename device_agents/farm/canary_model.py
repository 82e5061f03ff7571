"""The canary model: a fixed small network that races along in every job, so that a slower device is told from a slower
model. Its files are as old as the project's ledger, and stay (pipeline/export/canary.py has made them)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from importlib.resources import as_file, files
from pathlib import Path

from device_agents.bundle import Manifest, Tensor, write_bundle
from device_agents.farm.job import CANARY, Job, JobVariant, RemoteBundle

_FORMATS = {"onnxruntime": "onnx", "litert": "tflite", "tflite-runtime": "tflite", "benchmark_model": "tflite"}
"""What each runtime loads of it. torch brings no fixed file: what it loads depends on its version."""


def with_canary(job: Job, install: Callable[[Path], RemoteBundle]) -> Job:
    """The job with a canary model for the runtime of its first variant, put on the device by `install`.

    As it was where the job times nothing, has a canary already, or its runtime has none.
    """
    first = job.variants[0]
    format_ = _FORMATS.get(first.runtime)
    if not job.processes or job.canary is not None or format_ is None:
        return job
    with (
        tempfile.TemporaryDirectory(prefix="edgewright-canary-") as folder,
        as_file(files("device_agents.farm") / "canary" / f"canary.{format_}") as file,
    ):
        bundle = write_bundle(Path(folder, "canary"), file, _manifest(format_, first.runtime))
        canary = JobVariant(
            name=CANARY,
            bundle=install(bundle.folder),
            format=format_,
            runtime=first.runtime,
            # The same processor as the model's: a canary on the CPU says nothing of a GPU.
            providers=first.providers,
            options=first.options,
        )
    return job.model_copy(update={"canary": canary})


def _manifest(format_: str, runtime: str) -> Manifest:
    return Manifest(
        name="canary",
        model="canary",
        target="any",
        format=format_,
        runtime=runtime,
        precision="float32",
        file=f"canary.{format_}",
        sha256="0" * 64,
        bytes=0,
        inputs=[
            Tensor(
                name="input",
                dtype="float32",
                shape=[1, 16, 16, 16],
                layout="channels-last" if format_ == "tflite" else None,
            )
        ],
        outputs=[Tensor(name="output", dtype="float32", shape=[1, 16])],
    )
