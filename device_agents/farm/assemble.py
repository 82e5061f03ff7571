"""One job's events, once they are all in, made into a report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from device_agents.farm.inventory import DeviceEntry
from device_agents.farm.job import Job
from device_agents.farm.prepare import RuntimeInfo
from device_agents.farm.report import Collector, Report, new_id, now
from device_agents.farm.validity import judge
from device_agents.pack import agent


def assemble(
    entry: DeviceEntry, job: Job, found: Collector, runtimes: Mapping[str, RuntimeInfo], started: str, strange: int
) -> Report:
    """The report of a job that reached its end. runtimes: by name; strange: lines that the agent didn't write."""
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
    if strange:
        warnings.append(f"{strange} lines of the agent's output were not its own and were left out")
    if entry.emulated:
        warnings.append("this device is emulated: its times mean nothing")
    told = [_told(runtimes[name], results) for name in dict.fromkeys(variant.runtime for variant in job.variants)]
    return Report(
        id=new_id(started, job.model, job.target),
        started=started,
        finished=now(),
        model=job.model,
        target=job.target,
        device={
            "name": entry.name,
            "address": entry.where,
            "stand_in": entry.stand_in,
            "emulated": entry.emulated,
        },
        valid=not problems,
        problems=problems,
        warnings=warnings,
        agent={"version": found.agent, "sha256": agent().sha256},
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
    )


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
