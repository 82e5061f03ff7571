"""One job's events, once they are all in, made into a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from device_agents.farm.identity import identity
from device_agents.farm.intake import Intake
from device_agents.farm.inventory import DeviceEntry
from device_agents.farm.job import Job
from device_agents.farm.prepare import RuntimeInfo
from device_agents.farm.report import Report, now
from device_agents.farm.validity import judge
from device_agents.pack import agent

MEANS = "benchmark_model gives means: p90 and p99 are those of block means"
NO_ACCURACY = "accuracy was not taken on the phone: benchmark_model returns no outputs"


def assemble(
    entry: DeviceEntry,
    job: Job,
    intake: Intake,
    runtimes: Mapping[str, RuntimeInfo],
    report: str,
    started: str,
    commit: str | None = None,
) -> Report:
    """The report of a job that reached its end. runtimes: by name; report: its id; commit: of what measured."""
    found = intake.collector
    results = list(found.results.values())
    share = found.others_cpu_share()
    problems, warnings = judge(
        found.before,
        found.after,
        found.canary,
        results,
        share,
        found.pinned,
        # What only stands in for a board has not the board's sensors.
        sensors=None if entry.stand_in else job.sensors,
        target=job.target,
        emulated=entry.emulated,
    )
    # Why nothing was measured goes before what follows from it.
    problems = list(dict.fromkeys([*found.refused, *found.problems, *_misfits(intake), *problems]))
    if intake.strange:
        warnings.append(f"{intake.strange} lines of the agent's output were not its own and were left out")
    if found.canary_model is not None and found.canary_model["error"]:
        warnings.append(f"the canary model: {found.canary_model['error']}")
    if entry.emulated:
        warnings.append("this device is emulated: its times mean nothing")
    phone = entry.kind == "adb"
    if phone:
        warnings += [MEANS, NO_ACCURACY]
    told = [_told(runtimes[name], results) for name in dict.fromkeys(variant.runtime for variant in job.variants)]
    return Report(
        id=report,
        started=started,
        finished=now(),
        model=job.model,
        target=job.target,
        device={
            "name": entry.name,
            "address": entry.where,
            "stand_in": entry.stand_in,
            "emulated": entry.emulated,
            "identity": identity(found.facts),
        },
        valid=not problems,
        problems=problems,
        warnings=warnings,
        agent={"version": None if phone else found.agent, "sha256": None if phone else agent().sha256},
        runtime={name: told[0][name] for name in ("name", "version", "numpy", "providers")},
        runtimes=told,
        facts=found.facts,
        state_before=found.before,
        state_after=found.after,
        job=job.model_dump(mode="json"),
        results=results,
        canary=found.canary,
        cpus=found.cpus,
        others_cpu_share=share,
        idle_mw=found.idle_mw,
        purpose=job.purpose,
        commit=commit,
        canary_model=found.canary_model,
        waited_s=found.waited_s,
        canary_usual_ns=found.canary_usual_ns,
    )


def _misfits(intake: Intake) -> list[str]:
    """An agent that writes what none writes has not measured as ours does."""
    count = intake.misfits
    return [f"{count} of the agent's events were malformed or out of turn and were left out"] if count else []


def _told(info: RuntimeInfo, results: list[dict[str, Any]]) -> dict[str, Any]:
    """A runtime as its own workers found it, else as it was found before the job; the providers that they ran on."""
    own = [result for result in results if result["runtime"]["name"] == info.name]
    versions: dict[str, Any] = next((result["runtime"] for result in own if result["runtime"]["version"]), {})
    return {
        "name": info.name,
        "version": versions.get("version") or info.version,
        "numpy": versions.get("numpy") or info.numpy,
        "source": info.source,
        "providers": sorted({name for result in own for name in result["providers"]}),
    }
