"""Times every row in one session of the project's own agent on this machine, in pairs, and takes their metric there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from device_agents.bundle import Bundle, read_bundle
from device_agents.farm.inventory import HOST, stand_in
from device_agents.farm.paired import latency, speedup
from edgewright.files import write_atomically
from edgewright.progress import Progress
from pipeline.measuring import Bench, Protocol
from pipeline.project import Project
from targets.schema import read_target
from tests.bench.compression.lines import Line
from tests.bench.compression.rows import BASE

SAMPLES = "evaluation.npz"
MORE_S = 240.0
"""What a bundle may take beyond a job's usual share: its metric on the whole test part, a sample at a time."""


def measure(
    bundles: Mapping[str, Path], data: Path, protocol: Protocol, project: Project, progress: Progress
) -> tuple[dict[str, Any], dict[str, str]]:
    """bundles: row > folder; data: .npz with x and y. The session's report, and row > name in it (a file occurs once).

    Raises EdgewrightError as `./inv bench` does.
    """
    read = {key: read_bundle(folder) for key, folder in bundles.items()}
    named: dict[str, tuple[str, Bundle]] = {}
    for key, bundle in read.items():
        named.setdefault(bundle.digest, (key, bundle))
    bench = Bench(project, stand_in(HOST), read_target(HOST, project.root), data=data, progress=progress)
    allowed = {**vars(protocol), "more_s": MORE_S * len(named)}
    # Not filed: peers' files are no history of the user's own models.
    with bench.open() as device:
        report = bench.measured(device, list(named.values()), Protocol(**allowed))
    return report.to_json(), {key: named[bundle.digest][0] for key, bundle in read.items()}


def put_in(lines: list[Line], report: Mapping[str, Any], names: Mapping[str, str]) -> None:
    """Metric, latency and ratios of the session into the lines."""
    results = {one["name"]: one for one in report["results"]}
    found = {key: results[name] for key, name in names.items() if name in results}
    for line in lines:
        result = found.get(line.key)
        if result is None:
            continue
        if not result.get("blocks"):
            line.error = f"the runtime gave no sample: {result.get('error') or 'it says no more'}"
            continue
        timed, told = latency(result), result.get("accuracy")
        line.p50_ms = timed.p50_ms if timed else None
        line.metric = float(told["value"]) if told else None
        line.speedup = speedup(found[BASE], result) if BASE in found else None
        line.beside = speedup(found[line.parent], result) if line.parent in found else None


def write_samples(x: Any, y: Any, path: Path) -> None:
    """The test part as a device takes it."""
    import io

    import numpy as np

    stream = io.BytesIO()
    np.savez_compressed(stream, x=x, y=y)
    write_atomically(path, stream.getvalue())
