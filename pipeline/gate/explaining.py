"""Asks a device why variants do not pay there: figures that are kept, else one short job of probes beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from device_agents.bundle import Bundle
from device_agents.farm.candidate import Judgement
from device_agents.farm.opening import AnyDevice
from device_agents.farm.paired import speedup
from device_agents.farm.report import Report
from device_agents.farm.why import UNKNOWN, Cause, asked
from edgewright.errors import EdgewrightError
from pipeline.gate.causes import Figures, cause_of
from pipeline.gate.graph import Graph, Unreadable, read_graph
from pipeline.gate.measure import Questions, kept_at, recall, remember
from pipeline.measuring import Bench

RUNTIMES = ("onnxruntime", "litert", "tflite-runtime")
"""Those that there are probes for."""
CPU = {"CPUExecutionProvider", "XNNPACK"}


def explain(
    bench: Bench,
    device: AnyDevice,
    bundles: Mapping[str, Bundle],
    report: Report,
    judgements: Sequence[Judgement],
) -> dict[str, Cause]:
    """By name, why those of `judgements` that ask for it do not pay; nothing is measured where none does.

    bench: on the same device and target, purpose "gate"; device: open; bundles, report: what was judged. Raises
    nothing that a device or a probe may do: what can't be measured is said in the causes and by a warning through
    bench.note.
    What an invalid report says needs no cause.
    """
    if not report.valid:
        return {}
    parents = {one.name: one.against for one in judgements}
    results = {one["name"]: one for one in report.results}

    def concluded(name: str, figures: Figures) -> Cause:
        against, own = results.get(parents[name]), results.get(name)
        return cause_of(figures, parents[name], speedup(against, own) if against and own else None)

    causes: dict[str, Cause] = {}
    graphs: dict[str, Graph] = {}
    for name in asked(judgements):
        if name not in bundles:
            continue
        why_not = _unfit(bench, bundles[name])
        if why_not is None and (figures := recall(kept_at(bench, report, bundles[name]))) is not None:
            causes[name] = concluded(name, figures)
        elif why_not is None:
            try:
                graphs[name] = _graph(bench, bundles[name])
            except Unreadable as error:
                why_not = error.what
        if why_not is not None:
            causes[name] = _nothing(why_not)
    if graphs:
        questions = Questions(bench, {name: bundles[name] for name in graphs}, graphs, bench.entry.kind != "local")
        found, why_not = _measured(questions, device, report)
        causes |= {name: concluded(name, found[name]) if name in found else _nothing(why_not) for name in graphs}
    return causes


def _measured(questions: Questions, device: AnyDevice, report: Report) -> tuple[dict[str, Figures], str]:
    """Figures by name, and why there are none of the others."""
    bench = questions.bench
    found: dict[str, Figures] = {}
    why_not = "the probes gave no samples"
    try:
        found, probed = questions.put(device)
        if not probed.valid:
            why_not = f"the probes' measurement is invalid: {'; '.join(probed.problems)}"
        for name, figures in found.items():
            remember(kept_at(bench, report, questions.bundles[name]), figures)
    except Exception as error:  # whatever it is: the result that is to be explained stands without
        said = f"{type(error).__name__}: {error}"
        if isinstance(error, (EdgewrightError, OSError)):
            said = error.what if isinstance(error, EdgewrightError) else error.strerror or str(error)
        why_not = f"probing failed: {said}"
        bench.note(f"warning: why variants do not pay was not found out: {said}")
    return found, why_not


def _nothing(why: str) -> Cause:
    return Cause(UNKNOWN, f"no cause found: {why}")


def _graph(bench: Bench, bundle: Bundle) -> Graph:
    """Raises Unreadable."""
    try:
        data = bundle.model_file.read_bytes()
    except OSError as error:
        raise Unreadable(
            f"the bundle's file can't be read: {error.strerror}",
            where=str(bundle.model_file),
            remedy="build the bundle again: ./inv deploy",
        ) from error
    return read_graph(data, bundle.manifest.format, bench.target.threads)


def _unfit(bench: Bench, bundle: Bundle) -> str | None:
    """Why nothing is probed for a bundle, or None."""
    entry, runtime = bench.entry, bundle.manifest.runtime
    if entry.kind == "adb":
        return "a phone by adb runs no probes"
    if entry.emulated:
        return "the device is emulated"
    if runtime not in RUNTIMES:
        return f"there are no probes for {runtime}"
    asked_for = next((one.providers for one in bench.target.runtime if one.name == runtime), ())
    if beyond := [name for name in asked_for if name not in CPU]:
        return f"there are no probes for {beyond[0]}"
    return None
