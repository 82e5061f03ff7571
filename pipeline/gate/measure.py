"""Puts variants and probes into one short job, and makes figures of its report; figures are kept for the next time."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from device_agents.bundle import Bundle
from device_agents.farm.opening import AnyDevice
from device_agents.farm.paired import Ratio, latency, speedup
from device_agents.farm.report import Report
from edgewright.files import canonical_json, sha256_bytes, write_atomically
from pipeline.gate.causes import Alignment, Dispatch, Figures, Kernel, Streaming
from pipeline.gate.graph import Graph
from pipeline.gate.layers import Kind, Layer
from pipeline.gate.probes import (
    CHAIN,
    REPEATED,
    TINY,
    WORTH_STREAMING,
    Kit,
    dearest,
    families,
    streaming_layer,
    suspects,
)
from pipeline.keeping import keep
from pipeline.measuring import Bench, Protocol
from targets.schema import Target

VERSION = 3
"""Of the probes and of what is made of them: other ones don't find these figures."""
PROTOCOL = Protocol(
    processes=1, blocks=8, samples=8, block_seconds=0.02, warmup_seconds=0.05, memory_passes=1, refuse=False
)
USUAL_ALIGNMENT = 8
DYNAMIC = "dynamic"
INTEGERS = ("int8", DYNAMIC)


@dataclass
class Questions:
    """What one job asks of a device. graphs: by variant, for those in `bundles`; elsewhere: they were optimised on
    another machine than the device; anyway: figures also of a measurement that calls itself invalid."""

    bench: Bench
    bundles: Mapping[str, Bundle]
    graphs: Mapping[str, Graph]
    elsewhere: bool
    anyway: bool = False
    plans: dict[str, _Plan] = field(default_factory=dict)

    def put(self, device: AnyDevice) -> tuple[dict[str, Figures], Report]:
        """Figures by variant out of one job, and its report, which is kept; none where the report is invalid.

        Raises DeviceError, ReportNotKept, OSError.
        """
        with tempfile.TemporaryDirectory(prefix="edgewright-") as folder:
            kit = Kit(Path(folder), self.bench.target.name)
            self.plans = {name: self._plan(kit, name) for name in self.bundles}
            named = [*kit.bundles.items(), *self.bundles.items()]
            # Layers and their likes are told apart by little: by more than one process's memory layout.
            close = any(plan.pairs or plan.main for plan in self.plans.values())
            protocol = replace(PROTOCOL, processes=PROTOCOL.processes + close)
            report = self.bench.measured(device, named, protocol)
        keep(self.bench.project, report, self.bench.note)
        if not (report.valid or self.anyway):
            return {}, report
        results = {one["name"]: one for one in report.results}
        found = {name: self._figures(name, results) for name in self.bundles}
        return {name: figures for name, figures in found.items() if figures is not None}, report

    def _plan(self, kit: Kit, name: str) -> _Plan:
        manifest, graph = self.bundles[name].manifest, self.graphs[name]
        activations = None
        if manifest.precision in INTEGERS:
            runtimes = {one.name: one for one in self.bench.target.runtime}
            activations = runtimes[manifest.runtime].int8.activations if manifest.runtime in runtimes else "uint8"

        def probe(layer: Layer, count: int) -> str:
            return kit.add(manifest.runtime, activations, layer, count)

        main = None
        # The probes' integers are static INT8's: what they say of kernels is not true of dynamic ones.
        if activations and manifest.precision != DYNAMIC and (found := dearest(graph)) is not None:
            layer, count = found
            in_float = kit.add(manifest.runtime, None, layer, REPEATED)
            main = _Main(layer, count, probe(layer, REPEATED), in_float)

        multiple = alignment(self.bench.target)
        return _Plan(
            empty=probe(TINY["sum"], 1),
            chains={kind: probe(TINY[kind], CHAIN) for kind in families(graph)},
            pairs=[
                _Pair(layer, wider, count, times, probe(layer, times), probe(wider, times))
                for layer, wider, count in suspects(graph, multiple)
                # Both the same number of times: a wider layer may follow itself where the narrow one can't.
                for times in [REPEATED if layer.repeatable and wider.repeatable else 1]
            ],
            main=main,
            stream=probe(streaming_layer(activations is not None), 1) if graph.weight_bytes >= WORTH_STREAMING else "",
            integers=activations is not None,
        )

    def _figures(self, name: str, results: Mapping[str, Any]) -> Figures | None:
        plan, graph, timed = self.plans[name], self.graphs[name], _Timed(results)
        p50 = timed.ms(name)
        if p50 is None:
            return None
        return Figures(
            p50_ms=p50,
            operators=graph.count,
            weighted=graph.weighted,
            floats=graph.floats,
            conversions=graph.conversions,
            partitions=graph.partitions,
            outside=graph.outside,
            integers=plan.integers,
            dynamic=self.bundles[name].manifest.precision == DYNAMIC,
            elsewhere=self.elsewhere,
            dispatch=_dispatch(plan, families(graph), name, timed),
            alignment=tuple(_alignments(plan, timed)),
            kernel=_kernel(plan, timed),
            streaming=_streaming(plan, graph, timed),
        )


@dataclass(frozen=True)
class _Pair:
    """A layer and a wider one, how many of the variant's are like it, and the names of both probes, which hold it
    `repeated` times."""

    layer: Layer
    wider: Layer
    count: int
    repeated: int
    narrow_probe: str
    wide_probe: str


@dataclass(frozen=True)
class _Main:
    """An INT8 variant's dearest layer, how many are like it, and the names of its probes."""

    layer: Layer
    count: int
    integer_probe: str
    float_probe: str


@dataclass(frozen=True)
class _Plan:
    """The names of one variant's probes; main: None in float; stream: "" where its weights fit into a cache."""

    empty: str
    chains: Mapping[Kind, str]
    pairs: list[_Pair]
    main: _Main | None
    stream: str
    integers: bool


@dataclass(frozen=True)
class _Timed:
    """Times and ratios out of a report's results, by name; None where a probe failed."""

    results: Mapping[str, Any]

    def ms(self, name: str) -> float | None:
        found = latency(self.results[name]) if name in self.results else None
        return found.p50_ms if found else None

    def ratio(self, one: str, other: str) -> Ratio | None:
        """The time of one over that of the other."""
        if one not in self.results or other not in self.results:
            return None
        return speedup(self.results[one], self.results[other])


def alignment(target: Target) -> int:
    """The multiple that is tried first: the target's, or the usual one where it names none."""
    return target.alignment if target.alignment > 1 else USUAL_ALIGNMENT


def _dispatch(plan: _Plan, counts: Mapping[Kind, int], name: str, timed: _Timed) -> Dispatch | None:
    """What the variant's operators would take if they computed nothing, as a share of its time.

    An operator more costs (chain - empty) / (CHAIN - 1); intervals are added at their worst ends.
    """
    empty, empty_ms = timed.ratio(plan.empty, name), timed.ms(plan.empty)
    if empty is None or empty_ms is None:
        return None
    value, low, high, cost = empty.value, empty.low, empty.high, 0.0
    total = sum(counts.values())
    for kind, count in counts.items():
        chain, chain_ms = timed.ratio(plan.chains[kind], name), timed.ms(plan.chains[kind])
        if chain is None or chain_ms is None:
            return None
        share = count / (CHAIN - 1)
        value += max(0.0, chain.value - empty.value) * share
        low += max(0.0, chain.low - empty.high) * share
        high += max(0.0, chain.high - empty.low) * share
        cost += max(0.0, chain_ms - empty_ms) * share
    return Dispatch(empty_ms=empty_ms, operator_ms=cost / max(1, total), share=Ratio(value, low, high))


def _alignments(plan: _Plan, timed: _Timed) -> list[Alignment]:
    found = []
    for pair in plan.pairs:
        ratio = timed.ratio(pair.narrow_probe, pair.wide_probe)
        narrow, wide, empty = timed.ms(pair.narrow_probe), timed.ms(pair.wide_probe), timed.ms(plan.empty)
        if ratio is None or narrow is None or wide is None or empty is None:
            continue
        found.append(
            Alignment(
                layer=str(pair.layer),
                wider=f"{pair.wider.inputs} to {pair.wider.outputs} channels",
                layers=pair.count,
                layer_ms=narrow / pair.repeated,
                wider_ms=wide / pair.repeated,
                empty_ms=empty / pair.repeated,
                ratio=ratio,
            )
        )
    return found


def _kernel(plan: _Plan, timed: _Timed) -> Kernel | None:
    if plan.main is None:
        return None
    ratio = timed.ratio(plan.main.float_probe, plan.main.integer_probe)
    integer, in_float, empty = (timed.ms(name) for name in (plan.main.integer_probe, plan.main.float_probe, plan.empty))
    if ratio is None or integer is None or in_float is None or empty is None:
        return None
    repeated = REPEATED if plan.main.layer.repeatable else 1
    return Kernel(
        layer=str(plan.main.layer),
        layers=plan.main.count,
        integer_ms=integer / repeated,
        float_ms=in_float / repeated,
        empty_ms=empty / repeated,
        ratio=ratio,
    )


def _streaming(plan: _Plan, graph: Graph, timed: _Timed) -> Streaming | None:
    took, empty = timed.ms(plan.stream), timed.ms(plan.empty)
    if took is None or empty is None or took <= empty:
        return None
    layer = streaming_layer(plan.integers)
    held = layer.inputs * layer.outputs * (1 if plan.integers else 4)
    return Streaming(weight_bytes=graph.weight_bytes, device_rate=held / ((took - empty) / 1e3))


def kept_at(bench: Bench, report: Report, bundle: Bundle) -> Path:
    """Where the figures of a bundle on this device and runtime are kept."""
    manifest = bundle.manifest
    versions = {one["name"]: one.get("version") for one in report.runtimes}
    told = {
        "version": VERSION,
        "device": report.device.get("identity") or [report.device["name"], report.device.get("address")],
        "runtime": [manifest.runtime, versions.get(manifest.runtime)],
        "model": manifest.sha256,
        "threads": bench.target.threads,
        "alignment": alignment(bench.target),
    }
    return bench.project.state / "gate" / f"{sha256_bytes(canonical_json(told))}.json"


def recall(path: Path) -> Figures | None:
    """Figures that were kept; None where there are none, or damaged ones."""
    try:
        return Figures.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def remember(path: Path, figures: Figures) -> None:
    """Keeps figures. Raises OSError."""
    write_atomically(path, canonical_json(figures.model_dump(mode="json")))
