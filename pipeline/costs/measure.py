"""Times layers on a device, each in a small file of its own, a dozen of them side by side in a job."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from device_agents.bundle import Bundle, Manifest, Tensor, write_bundle
from device_agents.farm.paired import latency
from edgewright.errors import EdgewrightError
from edgewright.progress import piece
from pipeline.costs.cache import Cache, key_of
from pipeline.costs.form import Form, Ports, copies_of
from pipeline.costs.layers import Layer
from pipeline.costs.table import CostTable, Entry
from pipeline.keeping import keep
from pipeline.measuring import Bench, Protocol

if TYPE_CHECKING:
    from device_agents.farm.opening import AnyDevice
    from device_agents.farm.report import Report
    from targets.schema import Runtime

SHORT = Protocol(
    processes=1,
    blocks=5,
    samples=5,
    block_seconds=0.01,
    warmup_seconds=0.03,
    memory_passes=1,
    block_limit_seconds=2.0,
    refuse=False,
)
"""A layer's graph takes a fraction of a millisecond, and a prediction adds up dozens: each need not be exact. A busy
device is measured too, for what is chosen by predictions is measured itself; the table says what was taken so."""
MOST_PER_JOB, LEAST_PER_JOB = 24, 4
_PROCESS_BYTES = 100 << 20
"""Of Python with a runtime; a job has one for each of its layers at a time, which may fill half of the memory."""
MODEL = "layers"

Wanted = tuple[Layer, str]
Timed = tuple[Layer | None, str]
Make = Callable[[Layer | None, Form], tuple[bytes, Ports]]


class CostsNotMeasured(EdgewrightError):
    """The device can't tell what layers cost there."""


def measure_costs(
    bench: Bench,
    device: AnyDevice,
    wanted: Iterable[Wanted],
    runtime: Runtime,
    *,
    protocol: Protocol = SHORT,
    per_job: int | None = None,
) -> CostTable:
    """A table of (layer, precision) on an open device in one of the target's runtimes, with all that was known before.

    Only what is not known is measured (points.points says what a network needs). After each job its times are on the
    disk and its report in the ledger, so whatever ends this, the next call goes on. What the device can't run is in
    `failed`. per_job: layers a job, by default as many as fit the device's memory.

    Raises CostsNotMeasured, DeviceError, ReportNotKept, BadCosts.
    """
    if bench.entry.emulated:
        raise CostsNotMeasured(
            "The device is emulated, so its times mean nothing",
            where=bench.entry.name,
            remedy="name another device: --device host, or one of farm.toml",
        )
    make = _maker(runtime)
    infos, why_not = device.available([runtime])
    if runtime.name not in infos:
        raise CostsNotMeasured(
            f"{runtime.name} can't be had on this device: {why_not.get(runtime.name, 'it does not say why')}",
            where=bench.entry.name,
            remedy="./inv farm.doctor says more, or name another device",
        )
    facts = device.probe()["facts"]
    cache = Cache(bench.project.state, key_of(facts, bench.target, runtime, infos[runtime.name]))
    per_job = per_job or _fitting(facts.get("memory_bytes"))
    asked = list(dict.fromkeys(wanted))
    known = {one.key: one for one in cache.read()}
    missing: list[Timed] = [one for one in [*_empties(asked), *_order(asked)] if one not in known]
    failed: dict[str, str] = {}
    with piece(bench.progress, f"costs of layers in {runtime.name}", max(1, len(missing))) as progress:
        for start in range(0, len(missing), per_job):
            part = missing[start : start + per_job]
            report, forms = _job(bench, device, part, runtime, make, protocol)
            keep(bench.project, report, bench.note)
            found, broken = _told(report, part, forms)
            cache.add(found)
            known |= {one.key: one for one in found}
            failed |= broken
            if not found and not broken:
                raise CostsNotMeasured(
                    f"The device measured nothing: {'; '.join(report.problems) or 'it does not say why'}",
                    where=bench.entry.name,
                    remedy="end what else runs there, then run the same command again: it goes on from here",
                )
            progress.advance(len(part))
    return CostTable(list(known.values()), failed=failed)


def _fitting(memory_bytes: object) -> int:
    """Layers a job on a device of that memory."""
    if not isinstance(memory_bytes, int):
        return LEAST_PER_JOB
    return max(LEAST_PER_JOB, min(MOST_PER_JOB, memory_bytes // 2 // _PROCESS_BYTES))


def _maker(runtime: Runtime) -> Make:
    """What writes a layer in the runtime's format."""
    if runtime.format == "tflite":
        from pipeline.costs.tflite_layer import one_layer_tflite

        return one_layer_tflite
    from pipeline.costs.onnx_layer import one_layer_onnx

    if runtime.format == "onnx":
        return one_layer_onnx
    if runtime.format == "ort":
        from pipeline.export.to_ort import to_ort

        def converted(layer: Layer | None, form: Form) -> tuple[bytes, Ports]:
            data, ports = one_layer_onnx(layer, form)
            return to_ort(data), ports

        return converted
    raise CostsNotMeasured(
        f"Single layers can't be written as {runtime.format}",
        where=runtime.name,
        remedy="give the target a runtime that loads onnx, ort or tflite",
    )


def _empties(asked: Sequence[Wanted]) -> list[Timed]:
    return [(None, precision) for precision in sorted({precision for _, precision in asked})]


def _order(asked: Sequence[Wanted]) -> list[Wanted]:
    """Sums first: others' times are read with them. The rest as asked."""
    return sorted(asked, key=lambda one: one[0].kind != "add")


def _job(
    bench: Bench,
    device: AnyDevice,
    part: Sequence[Timed],
    runtime: Runtime,
    make: Make,
    protocol: Protocol,
) -> tuple[Report, list[Form]]:
    """The report of one job over some layers, its results in their order."""
    forms = [
        Form(
            precision,
            copies_of(layer) if layer else 1,
            runtime.int8.activations,
            runtime.int8.per_channel,
            runtime.int8.symmetric_activations,
        )
        for layer, precision in part
    ]
    with tempfile.TemporaryDirectory(prefix="edgewright-") as folder:
        named = []
        for place, ((layer, precision), form) in enumerate(zip(part, forms, strict=True)):
            data, ports = make(layer, form)
            name = _name(layer, precision)
            named.append((name, _bundle(Path(folder) / str(place), name, data, ports, precision, bench, runtime)))
        return bench.measured(device, named, protocol), forms


def _name(layer: Layer | None, precision: str) -> str:
    return f"{layer.label if layer else 'empty'} {precision}"


def _bundle(
    folder: Path, name: str, data: bytes, ports: Ports, precision: str, bench: Bench, runtime: Runtime
) -> Bundle:
    file = folder.with_suffix(f".{runtime.format}")
    file.write_bytes(data)
    manifest = Manifest(
        schema="edgewright-bundle/1",
        name=name,
        model=MODEL,
        target=bench.target.name,
        format=runtime.format,
        runtime=runtime.name,
        precision=precision,
        file=f"model.{runtime.format}",
        sha256="0" * 64,
        bytes=0,
        inputs=[Tensor.model_validate(one) for one in ports["inputs"]],
        outputs=[Tensor.model_validate(one) for one in ports["outputs"]],
    )
    return write_bundle(folder, file, manifest)


def _told(report: Report, part: Sequence[Timed], forms: Sequence[Form]) -> tuple[list[Entry], dict[str, str]]:
    """(what was timed, what could not be run and why)."""
    results = {result["name"]: result for result in report.results}
    found, failed = [], {}
    for (layer, precision), form in zip(part, forms, strict=True):
        name = _name(layer, precision)
        result = results[name]
        time = latency(result)
        if result["error"] is not None:
            failed[name] = str(result["error"])
        elif time is not None:
            found.append(Entry(layer, precision, form.copies, time.p50_ms, report.id, report.valid))
    return found, failed
