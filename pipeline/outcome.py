"""What a deploy found: builds and report put together, judged, as the one object that table, page and --json show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from device_agents.farm.report import Report
from device_agents.farm.verdict import (
    Candidate,
    Judgement,
    Latency,
    Limits,
    Metric,
    Ratio,
    Sparsity,
    fallen_back,
    judge,
    latency,
    speedup,
)
from device_agents.farm.why import Cause, explained
from edgewright.files import sha256_file
from pipeline.build import Done
from pipeline.parity import Parity, sentence
from pipeline.plan import Plan, Variant
from pipeline.project import Project


@dataclass(frozen=True)
class Measured:
    """One variant: how it was built, and its result in the report (None where it was not measured).

    parity: its answers on the device beside this machine's, None where the device gave none.
    """

    variant: Variant
    manifest: Mapping[str, Any] | None
    result: Mapping[str, Any] | None
    metric: Metric | None
    trouble: str | None
    parity: Parity | None = None


def candidates(measured: list[Measured], patterns: tuple[str, ...] = ()) -> list[Candidate]:
    """The variants as `judge` wants them, with speed-ups from paired blocks. patterns: zeros that the target skips."""
    results = {one.variant.name: one.result for one in measured}
    base = next((one.result for one in measured if one.variant.parent is None), None)
    found = []
    for one in measured:
        manifest, result = one.manifest or {}, one.result or {}
        parent = results.get(one.variant.parent or "")
        found.append(
            Candidate(
                name=one.variant.name,
                parent=one.variant.parent,
                precision=one.variant.precision,
                bytes=manifest.get("bytes", 0),
                macs=manifest.get("macs"),
                metric=one.metric,
                latency=latency(result) if result else None,
                speedup=speedup(base, result) if base and result and one.variant.parent else None,
                speedup_parent=speedup(parent, result) if parent and result else None,
                peak_bytes=result.get("peak_bytes"),
                error=one.trouble or result.get("error") or _strays(one.parity),
                providers=result.get("providers") or (),
                wanted_providers=one.variant.runtime.providers if result else (),
                download_bytes=manifest.get("download"),
                sparsity=_sparsity(manifest, one.variant.precision, patterns),
                weight_bits=manifest.get("origin", {}).get("check", {}).get("weight_bits"),
                stage=not _sibling(one.variant),
            )
        )
    return found


def _sibling(variant: Variant) -> bool:
    """Whether a variant is its parent's network as it is, in another runtime."""
    return variant.parent is not None and variant.name.partition("@")[0] == variant.parent.partition("@")[0]


def _strays(parity: Parity | None) -> str | None:
    """What bars a variant whose answers on the device are not those that were checked here."""
    return None if parity is None or parity.same else f"the device gives other answers: {sentence(parity)}"


def proven(measured: list[Measured]) -> tuple[list[Candidate], list[Judgement], str | None]:
    """As `judged`, for an emulated device: no time counts, nothing is shipped; what is shown is that it runs there and
    gives the same answers."""
    judgements = []
    given = [
        replace(one, latency=None, speedup=None, speedup_parent=None, peak_bytes=None) for one in candidates(measured)
    ]
    for one, entry in zip(given, measured, strict=True):
        if one.error:
            judgements.append(Judgement(one.name, "failed", f"it failed: {' '.join(one.error.split())}"))
        elif back := fallen_back(one):
            answers = f"; {sentence(entry.parity)}" if entry.parity else ""
            judgements.append(Judgement(one.name, "does not pay", f"{back}{answers}"))
        elif entry.parity is None:
            judgements.append(Judgement(one.name, "failed", "the device gave no outputs to compare"))
        else:
            judgements.append(Judgement(one.name, "same answers", sentence(entry.parity)))
    return given, judgements, None


def judged(plan: Plan, measured: list[Measured]) -> tuple[list[Candidate], list[Judgement], str | None]:
    """Candidates, their judgements, and which one to ship."""
    given = candidates(measured, plan.target.sparsity)
    limits = plan.target.limits
    results = {one.variant.name: one.result for one in measured if one.result}

    def between(first: str, second: str) -> Ratio | None:
        return speedup(results[first], results[second]) if first in results and second in results else None

    judgements, shipped = judge(
        given,
        Limits(
            latency_ms=limits.latency_ms,
            memory_bytes=_bytes(limits.memory_mb, 1e6),
            size_bytes=_bytes(limits.size_kb, 1e3),
            metric_drop=limits.accuracy_drop,
        ),
        plan.recipe.metric.floor,
        between,
    )
    return given, judgements, shipped


Why = Callable[[Sequence[Judgement]], Mapping[str, Cause]]
"""Finds out why variants do not pay, by name."""


def outcome_of(
    plan: Plan,
    built: Mapping[str, Done],
    measured: list[Measured],
    report: Report,
    bundles: Mapping[str, Path],
    paths: Mapping[str, Any],
    project: Project,
    why: Why | None = None,
    warned: Sequence[str] = (),
) -> dict[str, Any]:
    """The object that `deploy --json` writes. paths: where `report` (JSON) and `page` (HTML) lie.

    why: is asked once all are judged; warned: what to warn of besides the report's own, read after that.
    """
    emulated = bool(report.device["emulated"])
    given, judgements, shipped = proven(measured) if emulated else judged(plan, measured)
    if why is not None:
        judgements = explained(judgements, why(judgements))
    return {
        "model": plan.recipe.name,
        "target": plan.target.name,
        "device": report.device["name"],
        "stand_in": report.device["stand_in"],
        "emulated": emulated,
        "valid": report.valid,
        "variants": [
            _variant(one, judgement, entry) for one, judgement, entry in zip(given, judgements, measured, strict=True)
        ],
        "shipped": shipped,
        "bundle": str(bundles[shipped]) if shipped else None,
        "report": str(paths["report"]),
        "page": str(paths["page"]),
        "problems": report.problems,
        "warnings": [*report.warnings, *warned],
        "floor": {"name": plan.recipe.metric.name, "value": plan.recipe.metric.floor},
        "skipped": dict(plan.skipped),
        "limits": plan.target.limits.model_dump(exclude_none=True),
        "steps": [step_of(done) for done in built.values()],
        "provenance": _provenance(plan, project),
    }


def step_of(done: Done) -> dict[str, Any]:
    """One step as the lines and the page show it."""
    summary = (
        done.artifact.summary.get("figure", "")
        if done.artifact
        else f"failed: {done.trouble.what if done.trouble else ''}"
    )
    return {
        "variant": done.node.variant,
        "step": done.node.step,
        "label": done.node.label,
        "cached": done.cached,
        "seconds": done.seconds,
        "summary": summary,
        "fingerprint": done.node.fingerprint,
    }


def _variant(candidate: Candidate, judgement: Judgement, entry: Measured) -> dict[str, Any]:
    result = entry.result or {}
    return {
        "name": candidate.name,
        "runtime": entry.variant.runtime.name,
        "format": entry.variant.runtime.format,
        "precision": candidate.precision,
        "bytes": candidate.bytes,
        "download": candidate.download_bytes,
        "params": (entry.manifest or {}).get("params"),
        "macs": candidate.macs,
        "sparsity": _zeros(candidate.sparsity),
        "metric": _metric(candidate.metric),
        "latency_ms": _latency(candidate.latency),
        "speedup": _ratio(candidate.speedup),
        "energy_mj": result.get("energy_mj"),
        "second_opinion": result.get("second_opinion"),
        "providers": list(result.get("providers") or ()),
        "parity": asdict(entry.parity) if entry.parity else None,
        "verdict": judgement.verdict,
        "reason": judgement.reason,
        "instead": judgement.instead,
    }


def _sparsity(manifest: Mapping[str, Any], precision: str, patterns: tuple[str, ...]) -> Sparsity | None:
    """What the check step found of held zeros in the file that is shipped."""
    found = manifest.get("origin", {}).get("check", {}).get("sparsity")
    if not found:
        return None
    share = found.get(precision, found["float"])
    return Sparsity(found["pattern"], share, found["pattern"] in patterns)


def _zeros(found: Sparsity | None) -> dict[str, Any] | None:
    return {"pattern": found.pattern, "share": found.share} if found else None


def _metric(found: Metric | None) -> dict[str, Any] | None:
    return {"name": found.name, "value": found.value, "on_device": found.on_device} if found else None


def _latency(found: Latency | None) -> dict[str, Any] | None:
    return {"p50": found.p50_ms, "p90": found.p90_ms, "p99": found.p99_ms, "n": found.n} if found else None


def _ratio(found: Ratio | None) -> dict[str, Any] | None:
    return {"value": found.value, "low": found.low, "high": found.high} if found else None


def _bytes(value: float | None, unit: float) -> int | None:
    return None if value is None else int(value * unit)


def _provenance(plan: Plan, project: Project) -> dict[str, Any]:
    recipe = plan.recipe.folder / f"{plan.recipe.name}.toml"
    first = next(node for node in plan.nodes.values() if node.step == "train")
    versions = {
        name: version for node in plan.nodes.values() for name, version in node.ingredients["libraries"].items()
    }
    data = first.ingredients["data"]
    return {
        "recipe": project.shown(recipe),
        "recipe_sha256": sha256_file(recipe),
        "target": plan.target.model_dump(mode="json"),
        "data": {"name": data["name"], "digest": str(data.get("digest") or data.get("code"))},
        "commit": project.commit(),
        "versions": dict(sorted(versions.items())),
        "seed": plan.recipe.seed,
    }
