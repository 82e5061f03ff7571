"""One real evaluation sample and the bundle's answer to it: what an app, a device or a doubter can try at once."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_agents.agent.accuracy import filled
from device_agents.agent.feeds import fixed_batch, to_file
from device_agents.agent.runtimes import Model, Runtime, open_runtime
from device_agents.bundle import Bundle, Manifest, Tensor
from edgewright.files import pretty_json
from edgewright.progress import Progress, Silent
from edgewright.quiet import quiet
from pipeline.parity import SQNR_DB, TIES
from pipeline.release.content import Content, Sample
from pipeline.release.errors import NoSample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.plan import Plan
    from pipeline.project import Project

    Array = NDArray[Any]

SCHEMA = "edgewright-sample/1"
LOOKED_AT = 64
"""So many samples are tried for one that the model gets right: a wrong answer makes a poor example."""

# What runs a bundle on this machine; a phone's benchmark_model and tflite-runtime take the same files as LiteRT.
_HERE = {"onnxruntime": "onnxruntime", "litert": "litert", "torch": "torch"}
_CPU = ("CPUExecutionProvider",)


def evaluation(
    project: Project, plan: Plan, bundle: Bundle, note: Callable[[str], None], progress: Progress | None = None
) -> tuple[Array, Array]:
    """The recipe's whole test part: x [N, ...], channels first, and y [N, ...]; made where the store lacks it.

    plan: one whose `samples` node leaves it. Raises NoSample, and what loading the data does.
    """
    import numpy as np

    try:
        with np.load(_evaluation(project, plan, note, progress or Silent()), allow_pickle=False) as archive:
            return archive["x"], archive["y"]
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise _none(bundle, f"the evaluation samples can't be read: {error}") from error


def of(bundle: Bundle, x: Array, y: Array, bound: float) -> Sample:
    """The first of the samples x [N, ...] with labels y [N] that the bundle gets right, else the very first; with its
    answer on this machine. Only the first LOOKED_AT are tried. bound: the recipe's check.float_difference. Raises
    NoSample."""
    import numpy as np

    labelled = y.ndim == 1 and np.issubdtype(y.dtype, np.integer)
    tried = list(_tried(bundle, x[: LOOKED_AT if labelled else 1]))
    right = [place for place, (_, outputs) in enumerate(tried) if labelled and _class(outputs) == y[place]]
    place = right[0] if right else 0
    inputs, outputs = tried[place]
    first = next(iter(outputs.values()))
    if not np.isfinite(first).all():
        raise _none(bundle, "the bundle answers it with what is no finite number")
    return Sample(inputs, outputs, int(y[place]) if labelled else None, tolerance(bundle.manifest, first, bound))


def answered(bundle: Bundle, x: Array, progress: Progress) -> Iterator[dict[str, Array]]:
    """The outputs by name, as the file has them, for one sample of x [N, ...] after the other. Raises NoSample."""
    progress.start("metric", len(x))
    for _, outputs in _tried(bundle, x):
        progress.advance()
        yield outputs
    progress.finish()


def tolerance(manifest: Manifest, expected: Array, bound: float) -> float:
    """How far another machine's answer may lie from `expected`: a share of its range; steps where it is integers.

    Float files get the recipe's bound. What is computed in integers throughout gets the steps that kernels round
    another way (pipeline.parity.TIES) within one runtime; other quantised files the noise that parity allows.
    """
    import numpy as np

    spread = float(expected.max()) - float(expected.min()) or abs(float(expected.max()))
    parity = manifest.origin.get("check", {}).get("parity") or {}
    integers = bool(np.issubdtype(expected.dtype, np.integer))
    noise = 10 ** (-SQNR_DB / 20)
    if manifest.precision == "float32" and not integers:
        allowed = bound * spread
    elif parity.get("exact") and manifest.runtime in _HERE and (integers or parity.get("scale")):
        # A step of dequantised floats is the scale, but for float32's own rounding.
        allowed = TIES * (1.0 if integers else 1.001 * parity["scale"])
    else:
        allowed = max(bound, noise) * spread
        allowed = max(TIES, math.ceil(allowed)) if integers else allowed
    return float(f"{max(allowed, 1e-6):.6g}")


def files(content: Content) -> dict[str, bytes]:
    """The folder sample/, by file name: input.npy and expected.npy of the first input and output, further ones with
    their number, and sample.json that names them."""
    sample = content.sample
    inputs = {_numbered("input", place): array for place, array in enumerate(sample.inputs.values())}
    outputs = {_numbered("expected", place): array for place, array in enumerate(sample.expected.values())}
    labels = content.labels
    named = labels[sample.label] if labels and sample.label is not None and sample.label < len(labels) else None
    told = {
        "schema": SCHEMA,
        "inputs": [{"name": name, "file": file} for name, file in zip(sample.inputs, inputs, strict=True)],
        "outputs": [{"name": name, "file": file} for name, file in zip(sample.expected, outputs, strict=True)],
        "label": None if sample.label is None else {"index": sample.label, "name": named},
        "tolerance": sample.tolerance,
    }
    return {name: npy(array) for name, array in {**inputs, **outputs}.items()} | {"sample.json": pretty_json(told)}


def npy(array: Array) -> bytes:
    """An array as an .npy file of version 1.0, little-endian."""
    import numpy as np

    buffer = io.BytesIO()
    plain = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    np.lib.format.write_array(buffer, plain, version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def _numbered(name: str, place: int) -> str:
    return f"{name}.npy" if place == 0 else f"{name}-{place + 1}.npy"


def _evaluation(project: Project, plan: Plan, note: Callable[[str], None], progress: Progress) -> Path:
    from pipeline.build import builder
    from pipeline.steps.samples import FILE

    artifact = project.store.find(plan.nodes[plan.samples].fingerprint)
    if artifact is None:
        done = builder(project, plan, progress, lambda _: None, note).build(plan, [plan.samples])[plan.samples]
        if done.trouble is not None:
            raise done.trouble
        artifact = done.artifact
    assert artifact is not None
    return artifact.path(FILE)


def _loaded(bundle: Bundle) -> Runtime:
    """The bundle's runtime, on one thread of this machine's CPU."""
    manifest = bundle.manifest
    runtime = open_runtime(_HERE.get(manifest.runtime, "litert" if manifest.format == "tflite" else "onnxruntime"))
    runtime.load(
        Model(
            str(bundle.model_file),
            precision=manifest.precision,
            inputs=tuple(tensor.model_dump() for tensor in manifest.inputs),
            outputs=tuple(tensor.model_dump() for tensor in manifest.outputs),
            providers=_CPU if runtime.name == "onnxruntime" else (),
        )
    )
    return runtime


def _tried(bundle: Bundle, x: Array) -> Iterator[tuple[dict[str, Array], dict[str, Array]]]:
    """(inputs, outputs) by name of each sample in turn. Raises NoSample."""
    try:
        with quiet():  # what talks does so once, and progress is to be seen
            runtime = _loaded(bundle)
            first = _answered(runtime, bundle.manifest, x[:1])
        yield first
        for place in range(1, len(x)):
            yield _answered(runtime, bundle.manifest, x[place : place + 1])
    except Exception as error:  # a runtime may raise anything
        raise _none(bundle, f"the bundle does not run on this machine: {error}") from error


def _answered(runtime: Runtime, manifest: Manifest, x: Array) -> tuple[dict[str, Array], dict[str, Array]]:
    """(inputs, outputs) by name, as the file has them, of one sample x [1, ...]."""
    import numpy as np

    given = runtime.inputs()
    if len(given) != 1:
        raise ValueError(f"it takes {len(given)} inputs; a data set gives one")
    raw, tensor = given[0], manifest.inputs[0].model_dump()
    arrays = {raw.name: to_file(x, tensor, raw.dtype)}
    if size := fixed_batch(runtime):
        arrays = filled(arrays, size)
    found = dict(zip(runtime.outputs(), runtime.run(arrays), strict=True))
    names = _names(manifest.outputs, list(found))
    return {manifest.inputs[0].name: arrays[raw.name]}, {name: np.array(found[key]) for name, key in names.items()}


def _names(listed: list[Tensor], found: list[str]) -> dict[str, str]:
    """By the manifest's name, the file's, in the manifest's order."""
    if len(listed) == len(found) == 1:
        return {listed[0].name: found[0]}
    return {tensor.name: tensor.name for tensor in listed if tensor.name in found}


def _class(outputs: dict[str, Array]) -> int:
    return int(next(iter(outputs.values()))[0].argmax(-1).ravel()[0])


def _none(bundle: Bundle, why: str) -> NoSample:
    return NoSample(
        f"No sample can go into the release: {why}.",
        where=str(bundle.folder),
        remedy="build it here first: ./inv build --model "
        f"{bundle.manifest.model} --target {bundle.manifest.target} (it installs what runs such files)",
    )
