"""`bench BUNDLE...`: finished bundles measured by hand, side by side, kept in the ledger as every measurement is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from device_agents.bundle import Bundle
from device_agents.farm.figures import show_bytes, show_metric, show_ms, show_ratio
from device_agents.farm.paired import latency, speedup
from device_agents.farm.report import Report
from edgewright.errors import BadArgument
from edgewright.progress import for_stream
from pipeline.bundles import ACCEPTED, find_bundle, keep_bundle
from pipeline.keeping import take_up, write_told
from pipeline.measuring import Protocol, bench_for, where_it_runs
from pipeline.project import Project
from pipeline.table import aligned, plain


def bench(
    given: Sequence[str],
    device: str | None,
    data: str | None,
    processes: int,
    wait: float,
    anyway: bool,
    json_file: str | None,
) -> list[Report]:
    """Measures bundles, one job a model; the reports, which are kept. anyway: also on a device in a bad state.

    Raises EdgewrightError.
    """
    if not given:
        raise BadArgument("No bundle was named", where="BUNDLE", remedy="./inv bench --device D BUNDLE [BUNDLE ...]")
    if not 1 <= processes <= 1000:
        raise BadArgument(f"{processes} processes can't be", where="--processes", remedy="give 1 to 1000")
    if wait < 0:
        raise BadArgument(f"{wait:g} seconds can't be waited", where="--wait", remedy="give 0 or more")
    if ACCEPTED in given:
        raise BadArgument("Which accepted bundle?", where="BUNDLE", remedy="./inv compare accepted BUNDLE")
    project = Project.here()
    take_up(project)
    by_model: dict[str, dict[str, Bundle]] = {}
    for bundle in [keep_bundle(project, find_bundle(project, one)) for one in given]:
        by_model.setdefault(bundle.manifest.model, {})[bundle.digest] = bundle
    reports = []
    for model, bundles in by_model.items():
        found = bench_for(
            project, list(bundles.values()), device, data, purpose="bench", wait_s=wait, progress=for_stream()
        )
        target = found.target.name
        print(f"{plain(model)} > {target}     device: {where_it_runs(found.entry, target)}", flush=True)
        named = names(list(bundles.values()))
        report = found.run(named, Protocol(processes=processes, refuse=not anyway))
        reports.append(report)
        print("\n".join(text(report, dict(named))), flush=True)
    if json_file:
        write_told(json_file, [report.to_json() for report in reports])
    return reports


def names(bundles: Sequence[Bundle]) -> list[tuple[str, Bundle]]:
    """Each by its variant's name, which its series goes by; two of one name are told apart by their digests."""
    own = [bundle.manifest.name for bundle in bundles]
    return [
        (name if own.count(name) == 1 else f"{name}:{bundle.digest[:8]}", bundle)
        for name, bundle in zip(own, bundles, strict=True)
    ]


def text(report: Report, bundles: Mapping[str, Bundle]) -> list[str]:
    """What is printed of a report."""
    metric = next((one["accuracy"]["name"] for one in report.results if one.get("accuracy")), "top-1")
    head = ["variant", "bundle", "size", plain(metric), "p50 ms", "p90 ms", "p99 ms", "load ms", "memory", "energy"]
    rows = [[*head, f"beside {plain(report.results[0]['name'])}"]]
    rows += [_row(result, report.results[0], bundles[result["name"]]) for result in report.results]
    lines = ["", *aligned(rows)]
    lines += [f"  {plain(one['name'])}: {plain(one['error'])}" for one in report.results if one["error"]]
    lines += [f"  warning: {plain(warning)}" for warning in report.warnings]
    if not report.valid:
        lines.append(f"  INVALID: these figures can't be trusted: {'; '.join(map(plain, report.problems))}")
    return [*lines, f"  report   {report.id}"]


def _row(result: Mapping[str, Any], first: Mapping[str, Any], bundle: Bundle) -> list[str]:
    times = latency(result)
    accuracy, loads = (
        result.get("accuracy"),
        [load["load_ns"] for load in result.get("loads") or [] if load["load_ns"] is not None],
    )
    ratio = speedup(first, result) if result is not first else None
    energy = result.get("energy_mj")
    return [
        plain(result["name"]),
        bundle.digest[:12],
        show_bytes(bundle.manifest.bytes),
        show_metric(accuracy["name"], accuracy["value"]) if accuracy and accuracy.get("value") is not None else "-",
        *([show_ms(times.p50_ms), show_ms(times.p90_ms), show_ms(times.p99_ms)] if times else ["-"] * 3),
        show_ms(median(loads) / 1e6) if loads else "-",
        show_bytes(result["peak_bytes"]) if result.get("peak_bytes") else "-",
        f"{energy:.3g} mJ" if energy is not None else "-",
        show_ratio(ratio) if ratio else "1.00x" if result is first and times else "-",
    ]
