"""What decides when a series has changed: few numbers, each chosen by `python -m tests.bench.verdicts.series`."""

from __future__ import annotations

from dataclasses import dataclass

from device_agents.farm.paired import THRESHOLD


@dataclass(frozen=True)
class Settings:
    """How series are judged. Logs and their spreads are natural ones: 0.02 is 2 %.

    magnitude: the smallest change that is called one.
    alpha: how often all judged series together may raise a false alarm on one night (p after correction).
    suspect: p below which a change is suspected, which makes a verdict undecided.
    spans: how many newest nights are compared with those before; a change is never told from one night alone.
    before: how many nights before them give the level (twice the span where that is more).
    history: how many nights the noise is learned from.
    short, few: below `short` night-to-night changes the fence decides, below `few` with the default noise alone.
    default_noise: standard deviation of a night's log figure where nothing is known of it yet.
    floor: no night's figure is trusted to less than this.
    fresh: nights for which a change that was found stays the verdict; then it is the new level.
    canary: p below which the canary is said to have moved.
    """

    magnitude: float = THRESHOLD
    alpha: float = 1e-4
    suspect: float = 0.01
    spans: tuple[int, ...] = (2, 3, 4, 5, 7, 10, 14, 20)
    before: int = 14
    history: int = 120
    short: int = 20
    few: int = 6
    default_noise: float = 0.01
    floor: float = 0.001
    fresh: int = 7
    canary: float = 0.01
