"""The entry: all metrics of all series, judged together, one verdict each."""

from __future__ import annotations

import math
from collections.abc import Sequence

from device_agents.farm.ledger.points import Series
from device_agents.farm.series import reason
from device_agents.farm.series.blame import canary_says, causes
from device_agents.farm.series.exact import exact_changes, exact_ratio
from device_agents.farm.series.lane import Lane, Step
from device_agents.farm.series.nights import EXACT, Night, nights
from device_agents.farm.series.replay import Track, replay
from device_agents.farm.series.settings import Settings
from device_agents.farm.series.verdict import Change, ChangePoint, SeriesVerdict, Word
from device_agents.farm.student import quantile

METRICS = ("latency", "load_time", "memory", "size", "energy", "accuracy")
"""What is judged, in this order; a series may lack any of them."""

_DEFAULTS = Settings()


def judge(series: Sequence[Series], settings: Settings = _DEFAULTS) -> list[SeriesVerdict]:
    """One verdict for every metric that a series has, in the order of the series and of METRICS.

    The p values of all of them are corrected together, so give all the series of a farm at once. The same for the
    same points, in whatever order they come within a series; of points only the `seq` says which is later.
    """
    read = [
        (one, metric, *nights(one, metric))
        for one in series
        for metric in METRICS
        if any(metric in point.values or (metric == "latency" and point.blocks) for point in one.points)
    ]
    tracks = [None if metric in EXACT else Track(found, settings) for _, metric, found, _ in read]
    watched = [track for track in tracks if track is not None]
    replay(watched, settings)
    verdicts = []
    for (one, metric, found, skipped), track in zip(read, tracks, strict=True):
        draft = _exact(metric, found, settings) if track is None else _noisy(metric, track, len(watched))
        word, ratio, why, changes = draft
        newest = found[-1].point if found else None
        verdicts.append(
            SeriesVerdict(
                key=one.key,
                metric=metric,
                verdict=word,
                worse=word in ("slower", "worse"),
                ratio=ratio,
                reason=why,
                seq=newest.seq if newest else None,
                report=newest.report if newest else None,
                nights=len(found),
                changes=changes,
                skipped=tuple(skipped),
            )
        )
    return verdicts


_Draft = tuple[Word, "Change | None", str, tuple[ChangePoint, ...]]
"""Verdict, ratio, reason and change points."""


def _exact(metric: str, found: Sequence[Night], settings: Settings) -> _Draft:
    if len(found) < 2:
        return "undecided", None, _too_few(len(found)), ()
    changes = exact_changes(metric, found, settings)
    last = changes[-1] if changes else None
    if last and last.nights <= settings.fresh:
        return reason.word(metric, last.ratio.value), last.ratio, reason.changed(metric, last, False), changes
    since = last.nights if last else len(found)
    return "same", exact_ratio(1, 1), f"no change: the same for {since} nights", changes


def _noisy(metric: str, track: Track, tests: int) -> _Draft:
    settings, count = track.settings, len(track.nights)
    changes, steady = _change_points(metric, track)
    last = changes[-1] if changes else None
    if last and last.nights <= settings.fresh:
        return reason.word(metric, last.ratio.value), last.ratio, reason.changed(metric, last, steady), changes
    p, step = track.test((1, *settings.spans))
    if step is not None and p < settings.suspect:
        shown = track.raw.between(track.level, step.place, count) or step
        return "undecided", _change(shown), reason.suspected(metric, _change(shown), count - step.place), changes
    since = count - track.level
    if count <= settings.few:
        return "undecided", None, _too_few(count), changes
    newest = min(settings.fresh, max(1, since // 2))
    recent = track.raw.between(track.level, count - newest, count)
    if recent is None:
        return "undecided", None, _too_few(since), changes
    hidden = quantile(1 - settings.alpha / tests, recent.freedom) * recent.error
    hidden = max(hidden, math.log1p(settings.magnitude))
    return "same", _change(recent), reason.same(_change(recent), newest, _exp(hidden)), changes


def _change_points(metric: str, track: Track) -> tuple[tuple[ChangePoint, ...], bool]:
    """All change points of a track, levels as all nights say; and whether the device was fine at the last."""
    canaries = _canaries(track) if track.found else []
    places = [found.place for found in track.found]
    changes, steady = [], False
    for found, first, last in zip(track.found, [0, *places], [*places[1:], len(track.nights)], strict=False):
        place, point = found.place, track.nights[found.place].point
        step = track.raw.between(first, place, last)
        assert step is not None, "a change point has nights on either side"
        canary, net = _beside(track, step, canaries, first, last)
        steady = canary_says(step.size, canary, net, track.settings) == "still"
        changes.append(
            ChangePoint(
                seq=point.seq,
                report=point.report,
                found=found.seq,
                nights=last - place,
                ratio=_change(step),
                worse=reason.is_worse(metric, _exp(step.size)),
                p=found.p,
                causes=causes(track.nights, place, step.size, canary, net, track.settings),
                canary=_change(canary) if canary else None,
                net=_change(net) if net else None,
            )
        )
    return tuple(changes), steady


def _beside(
    track: Track, step: Step, canaries: Sequence[Lane], first: int, last: int
) -> tuple[Step | None, Step | None]:
    """What the canary did at a step, and the step net of it: the canary model where it ran, else the agent's own."""
    for lane in canaries:
        canary = lane.between(first, step.place, last)
        if canary is not None and canary.place == step.place:
            freedom = min(step.freedom, canary.freedom)
            rest = Step(step.place, step.size - canary.size, math.hypot(step.error, canary.error), freedom)
            # Night by night is better where it can be done: what device and canary share cancels.
            direct = track.net.between(first, step.place, last) if lane is canaries[0] else None
            return canary, direct or rest
    return None, None


def _canaries(track: Track) -> list[Lane]:
    """The lanes of the canary model and of the agent's canary."""
    # Nothing learned: that it drifts is no excuse for a canary, it is what is asked of it.
    model, agent = Lane(track.settings), Lane(track.settings)
    for place, night in enumerate(track.nights):
        for lane, figure in ((model, night.canary), (agent, night.agent_canary)):
            if figure is not None:
                lane.add(place, figure)
    return [model, agent]


def _change(step: Step) -> Change:
    return Change(*(_exp(step.size + way * step.reach) for way in (0, -1, 1)))


def _exp(log: float) -> float:
    """exp, kept finite and above zero."""
    return math.exp(max(-700.0, min(700.0, log)))


def _too_few(nights: int) -> str:
    if not nights:
        return "no night that can be judged"
    return f"only {nights} night{'s' if nights > 1 else ''} so far: too few to tell a change from noise"
