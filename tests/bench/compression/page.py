"""All runs as one HTML file that needs no network and runs no script; looks like the report of a deploy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device_agents.farm.page import readable_json, template
from tests.bench.compression import table
from tests.bench.compression.lines import Line
from tests.bench.compression.rows import BASE
from tests.bench.compression.run import Bench

OWN = Path(__file__).parent / "templates"
TONE = {"base": "kept", "peer": "kept", "control": "rejected", "ours": "shipped"}
WIDTH, HEIGHT = 1000.0, 420.0
_STEPS = ((1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9), (1, 2, 3, 4, 5, 6, 8), (1, 2, 5), (1,))
_MOST_TICKS = 9


def render(benches: Sequence[Bench]) -> str:
    """The page as text; everything reaches it through an autoescaping template."""
    return template("compression.html.j2", OWN).render(
        runs=[_view(bench) for bench in benches], head=table.HEAD, stage_head=table.STAGES, aim_head=table.AIMS
    )


def _view(bench: Bench) -> dict[str, Any]:
    base = next(line for line in bench.lines if line.key == BASE)
    return {
        "bench": bench,
        "described": table.described(bench),
        "rows": list(zip(table.cells(bench), (TONE[line.family] for line in bench.lines), strict=True)),
        "stages": table.stage_cells(bench),
        "aims": [(row, row[-1].startswith("met")) for row in table.aim_cells(bench)],
        "notes": table.notes(bench),
        "plots": [
            plot("Test error against speed-up", "faster than FP32 in onnxruntime", bench.lines, speed_up),
            plot(
                "Test error against the package",
                "smaller than the FP32 file",
                bench.lines,
                lambda line: (line.smaller(base, "package"),) * 3,
            ),
        ],
        "raw": readable_json(bench.to_json()),
    }


def speed_up(line: Line) -> tuple[float | None, float | None, float | None]:
    ratio = line.speedup
    return (ratio.value, ratio.low, ratio.high) if ratio else (None, None, None)


Across = Callable[[Line], tuple[float | None, float | None, float | None]]


def plot(title: str, across: str, lines: Sequence[Line], of: Across) -> dict[str, Any]:
    """Rows as numbered dots: right is better, down is better (share of wrong answers); both axes are logarithmic.

    Places are in a box of WIDTH by HEIGHT.
    """
    points = []
    for number, line in enumerate(lines, 1):
        value, low, high = of(line)
        if value and low and high and line.metric is not None:
            points.append((number, line, value, low, high, max(1e-4, 1 - line.metric)))
    xs, ys = [one[2] for one in points], [one[5] * 100 for one in points]
    right, down = log_axis(xs, "x"), log_axis(ys, " %")
    dots = [
        {
            "number": number,
            "tone": TONE[line.family],
            "x": WIDTH * right.share(value),
            "low": WIDTH * right.share(low),
            "high": WIDTH * right.share(high),
            "y": HEIGHT * (1 - down.share(error * 100)),
            "text": f"{number}: {line.label}, {value:.2f}x, {error * 100:.2f} % wrong",
        }
        for number, line, value, low, high, error in points
    ]
    x_ticks = [(WIDTH * right.share(value), label) for value, label in right.ticks]
    y_ticks = [(HEIGHT * (1 - down.share(value)), label) for value, label in down.ticks]
    return {"title": title, "across": across, "x": x_ticks, "y": y_ticks, "dots": dots}


@dataclass(frozen=True)
class LogAxis:
    """A logarithmic axis from `low` to `high`; ticks: value and what it says."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]

    def share(self, value: float) -> float:
        """Where a value lies, 0 to 1, held within the axis."""
        place = math.log(value / self.low) / math.log(self.high / self.low)
        return min(1.0, max(0.0, place))


def log_axis(values: Sequence[float], unit: str) -> LogAxis:
    """An axis over all values, with a little air, and round ticks: fewer where it spans more."""
    low, high = (min(values), max(values)) if values else (1.0, 10.0)
    low, high = low / 1.12, high * 1.12
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in _STEPS:
        ticks = [step * 10.0**power for power in decades for step in steps if low <= step * 10.0**power <= high]
        if len(ticks) <= _MOST_TICKS:
            break
    return LogAxis(low, high, tuple((tick, f"{tick:g}{unit}") for tick in ticks))
