"""Error rates of the verdicts on series: years of made-up nights with known noise, judged as the ledger's are.

`python -m tests.bench.verdicts.series [--quick]` prints how often a series is said to have changed when it hadn't, and
how many nights pass until a step is seen.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from device_agents.farm.ledger.points import Key, Point, Series
from device_agents.farm.series import ChangePoint, judge

YEAR = 365
LEARNING = 100
"""Nights after which a series has shown what its device does over weeks."""

PATIENCE = 30
"""A step that isn't seen within so many nights counts as never seen."""

STEPS = (0.03, 0.05, 0.10)

KINDS = {
    "white 1 %": "independent nights, sd 1 %",
    "white 2 %": "independent nights, sd 2 %",
    "walk": "random walk, 0.3 % a night, and white 1 %",
    "season": "a sine of 2 % over 60 nights, and white 1 %",
    "two modes": "one of two modes 3 % apart, drawn every night, and white 1 %",
    "sticky modes": "the same modes, kept for 10 nights on average, and white 1 %",
}

_CANARY_SD = 0.01


@dataclass(frozen=True)
class Outcome:
    """What `simulate` found over all its years.

    alarms: false alarms that aren't put down to the device; early: those of them in the first LEARNING nights.
    device: false alarms that are, the canary having moved along. delays: nights from the step until it was found,
    the night itself included; infinite where it wasn't within PATIENCE.
    """

    years: int
    alarms: int = 0
    early: int = 0
    device: int = 0
    delays: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Rates per series and year of nights, or delays as median, p90 and shares, None for never."""
        if not self.delays:
            rates = {"alarms": self.alarms, "early": self.early, "device": self.device}
            return {"years": self.years} | {name: round(count / self.years, 4) for name, count in rates.items()}
        ordered = sorted(self.delays)
        middle, late = median(ordered), ordered[math.ceil(0.9 * len(ordered)) - 1]
        return {
            "years": self.years,
            "median": middle if math.isfinite(middle) else None,
            "p90": late if math.isfinite(late) else None,
            "within_3": round(sum(delay <= 3 for delay in ordered) / len(ordered), 4),
            "never": round(sum(math.isinf(delay) for delay in ordered) / len(ordered), 4),
        }


def simulate(kind: str, years: int, step: float, seed: int, canary: bool = False) -> Outcome:
    """Judges `years` series of one of KINDS, each alone.

    step: 0.0 for years in which nothing happens; else the model slows by it once, after LEARNING nights or more.
    canary: every night has a canary model too, which the device moves as it moves the model.
    """
    alarms: list[ChangePoint] = []
    delays: list[float] = []
    for number in range(years):
        rng = random.Random(f"{kind} {step} {seed} {canary} {number}")
        place = rng.randrange(LEARNING, YEAR - PATIENCE) if step else YEAR
        nights = place + PATIENCE if step else YEAR
        given = made_up(kind, rng, nights, step=step, place=place, canary=canary)
        (verdict,) = judge([given])
        if not step:
            alarms += [_as_told(given, change.found) for change in verdict.changes]
        else:
            seen = [change.found - place + 1 for change in verdict.changes if change.found >= place and change.worse]
            delays.append(min(seen, default=math.inf))
    theirs = [change for change in alarms if not _device(change)]
    early = sum(change.found < LEARNING for change in theirs)
    return Outcome(years, len(theirs), early, len(alarms) - len(theirs), tuple(delays))


def made_up(
    kind: str,
    rng: random.Random,
    nights: int,
    *,
    step: float = 0.0,
    place: int = 0,
    canary: bool = False,
    name: str = "",
) -> Series:
    """A series with one night a point, slower by `step` (0.05: 5 %) from night `place` on, the device being fine."""
    sd = 0.02 if kind == "white 2 %" else 0.01
    points = []
    for night, shared in zip(range(nights), _device_moves(kind, rng), strict=False):
        changed = math.log1p(step) if night >= place else 0.0
        ns = 1e6 * math.exp(shared + changed + rng.gauss(0, sd))
        beside = (2e5 * math.exp(shared + rng.gauss(0, _CANARY_SD)),) if canary else ()
        points.append(Point(night, f"night {night}", "", {"latency": ns}, (), None, beside, {}))
    return Series(Key("model", name, "target", "device", "runtime", "precision"), tuple(points))


def together(series: int, seed: int) -> dict[str, float]:
    """False alarms per series and year of white nights: each series judged alone, and all corrected together."""
    rng = random.Random(f"together {seed}")
    given = [made_up("white 1 %", rng, YEAR, name=str(number)) for number in range(series)]
    alone = sum(len(judge([one])[0].changes) for one in given)
    corrected = sum(len(verdict.changes) for verdict in judge(given))
    return {"series": series, "alone": round(alone / series, 4), "together": round(corrected / series, 4)}


def run(quick: bool) -> dict[str, Any]:
    """All error rates as JSON; the same for every run. quick: too few years for a figure, enough to see it work."""
    years, trials = (6, 6) if quick else (200, 100)
    rows = [
        {"kind": kind, "canary": canary, "none": simulate(kind, years, 0.0, 1, canary).to_json()}
        | {f"{step:.0%}": simulate(kind, trials, step, 2, canary).to_json() for step in STEPS}
        for kind in KINDS
        for canary in (False, True)
    ]
    return {"quick": quick, "rows": rows, "together": together(16 if quick else 256, 3)}


def table(found: dict[str, Any]) -> str:
    """What `run` found, as Markdown."""
    lines = [
        "| noise | canary | false alarms a year | in its first 100 nights | put down to the device "
        + "".join(f"| {step:.0%} step: nights, p90, never " for step in STEPS)
        + "|",
        "| --- | --- " + "| ---: " * (3 + len(STEPS)) + "|",
    ]
    for row in found["rows"]:
        none = row["none"]
        cells = [row["kind"], "yes" if row["canary"] else "no", *(f"{none[name]:.2f}" for name in _RATES)]
        cells += [_delay(row[f"{step:.0%}"]) for step in STEPS]
        lines.append(f"| {' | '.join(cells)} |")
    both = found["together"]
    lines += [
        "",
        "Noise: " + "; ".join(f"{kind}: {what}" for kind, what in KINDS.items()) + ".",
        f"Nights: median and p90 until a step is seen, its own night included, and the share never seen in {PATIENCE}.",
        f"Of {both['series']} series of white 1 %, false alarms per series and year: {both['alone']:.3f} each judged "
        f"alone, {both['together']:.3f} judged together.",
    ]
    if found["quick"]:
        lines.append("Quick: too few years to rely on.")
    return "\n".join(lines)


_RATES = ("alarms", "early", "device")


def _delay(found: dict[str, Any]) -> str:
    middle, late = (f"> {PATIENCE}" if found[name] is None else f"{found[name]:g}" for name in ("median", "p90"))
    return f"{middle}, {late}, {found['never']:.0%}"


def _as_told(given: Series, night: int) -> ChangePoint:
    """The change that this night found, as it was told then: later nights know better who was to blame."""
    (verdict,) = judge([Series(given.key, given.points[: night + 1])])
    return verdict.changes[-1]


def _device(change: ChangePoint) -> bool:
    return change.canary is not None and change.causes[0].what == "device"


def _device_moves(kind: str, rng: random.Random) -> Iterator[float]:
    """What the device does to all that runs on it, night by night, in logs."""
    level, phase, mode, night = 0.0, rng.uniform(0, 2 * math.pi), False, 0
    while True:
        if kind == "walk":
            level += rng.gauss(0, 0.003)
        elif kind == "season":
            level = 0.02 * math.sin(2 * math.pi * night / 60 + phase)
        elif kind == "two modes":
            level = rng.choice((0.0, 0.03))
        elif kind == "sticky modes":
            mode ^= rng.random() < 0.1
            level = 0.03 * mode
        yield level
        night += 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.verdicts.series", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few years: shows that everything runs")
    print(table(run(parser.parse_args(arguments).quick)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
