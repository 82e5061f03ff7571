"""Tables beside the series: whether all devices give the same answers, and what the last benches came to, as far as
there are any."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device_agents.farm.figures import show_bytes, show_metric, show_ms, show_ratio
from device_agents.farm.ledger.entries import ResultEntry
from device_agents.farm.paired import Ratio

Json = Mapping[str, Any]

COMPRESSION, PARITY = "*/*/bench.json", "parity*.json"
"""Where under <state>/bench the benches leave their JSON."""

_SCHEMA = "edgewright-bench-compression/1"
_HOME = "x86-64"
_WRONG = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, StopIteration, RecursionError)
"""What a file raises that is of another version, or no such file at all: it has no table then."""


@dataclass(frozen=True)
class Table:
    """A table as text. The first cell of a row is its head."""

    title: str
    lead: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables(folder: Path, results: Sequence[ResultEntry]) -> list[Table]:
    """All tables that there are. folder: <state>/bench; results: the newest of the ledger, oldest first."""
    found = [answers(results)]
    for make, pattern in ((_parity, PARITY), (_compression, COMPRESSION)):
        for file in sorted(folder.glob(pattern)):
            try:
                found.append(make(json.loads(file.read_bytes())))
            except _WRONG:
                continue
    return [table for table in found if table is not None]


def answers(results: Iterable[ResultEntry]) -> Table | None:
    """Of each variant's newest bundle that several devices have evaluated: whether their answers are the same."""
    newest: dict[tuple[str, str, str], ResultEntry] = {}
    told: dict[tuple[str | None, int | None], dict[str, ResultEntry]] = {}
    for one in results:
        if one.valid and not one.canary and one.outputs_sha256 and one.metric_value is not None:
            newest[one.model, one.name, one.target] = one
            told.setdefault((one.bundle, one.metric_n), {})[one.device] = one
    rows = []
    for (model, variant, target), last in sorted(newest.items()):
        by_device = told[last.bundle, last.metric_n]
        if len(by_device) > 1:
            rows.append((f"{model} {variant}", target, str(len(by_device)), _metrics(by_device), _agreed(by_device)))
    if not rows:
        return None
    lead = "The newest bundle of each variant, over the same samples on every device."
    head = ("bundle", "target", "devices", "metric", "answers")
    return Table("The same answers everywhere?", lead, head, tuple(rows))


def _metrics(by_device: Mapping[str, ResultEntry]) -> str:
    least, *_, most = sorted(by_device.values(), key=lambda one: one.metric_value or 0.0)
    return " to ".join(
        dict.fromkeys(show_metric(one.metric_name or "", one.metric_value or 0.0) for one in (least, most))
    )


def _agreed(by_device: Mapping[str, ResultEntry]) -> str:
    groups: dict[str, list[str]] = {}
    for device, one in sorted(by_device.items()):
        groups.setdefault(one.outputs_sha256 or "", []).append(device)
    if len(groups) == 1:
        return "the same to the bit"
    return "differ: " + " | ".join(", ".join(devices) for devices in groups.values())


def _parity(found: Json) -> Table:
    """What `./inv bench.parity --out <state>/bench/parity.md` leaves beside the page."""
    cells = found["cells"]
    machines = tuple(dict.fromkeys(cell["machine"] for cell in cells))
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    for cell in cells:
        rows.setdefault((cell["model"], cell["runtime"], cell["precision"]), {})[cell["machine"]] = _cell(cell)
    lead = (
        "Against torch on x86-64: of float32 the largest difference as a share of the spread; of INT8 how often the "
        "class is the same, the noise, and the difference from the same runtime on x86-64 (=: none)."
    )
    texts = tuple((*names, *(shown.get(machine, "-") for machine in machines)) for names, shown in rows.items())
    return Table("Parity", lead, ("model", "runtime", "precision", *machines), texts)


def _cell(cell: Json) -> str:
    if cell["worst"] is None:
        return "-"
    if cell["precision"] == "float32":
        return f"{cell['worst']:.1e}"
    told = f"{cell['agreement'] * 100:.0f} %, {cell['sqnr_db']:.1f} dB"
    if cell["machine"] == _HOME or cell["home_worst"] is None:
        return told
    if cell["home_worst"] == 0:
        return f"{told}, ="
    steps = cell["home_steps"]
    return f"{told}, " + (f"{max(1, round(steps))} LSB" if steps is not None else f"{cell['home_worst']:.1e}")


def _compression(found: Json) -> Table:
    """What `./inv bench.compression` leaves."""
    if found["schema"] != _SCHEMA:
        raise ValueError("another schema")
    base = found["lines"][0]
    rows = tuple(_compressed(line, base) for line in found["lines"])
    setting = found["setting"]
    title = f"Compression: {Path(setting['model']).name.removesuffix('.toml')}, {setting['name']} run"
    lead = f"Begun {found['started'][:10]}. Sizes and speed-ups are against the first row."
    if found["problems"]:
        lead += f" Its times are invalid: {'; '.join(map(str, found['problems']))}."
    return Table(title, lead, ("row", "runtime", "file", "package", "metric", "p50 ms", "speed-up"), rows)


def _compressed(line: Json, base: Json) -> tuple[str, ...]:
    ran = f"{line['runtime']} {line['precision']}".strip()
    if line["error"]:
        return (line["label"], ran, "-", "-", "-", "-", line["error"])
    sizes = [
        f"{show_bytes(line[name])} ({base['plain'] / line[name]:.1f}x)" if line[name] else "-"
        for name in ("plain", "package")
    ]
    return (
        line["label"],
        ran,
        *sizes,
        "-" if line["metric"] is None else show_metric("top-1", line["metric"]),
        "-" if line["p50_ms"] is None else show_ms(line["p50_ms"]),
        show_ratio(Ratio(**line["speedup"])) if line["speedup"] else "-",
    )
