"""The ledger played back in its order, all series together: on which night was which change found?

A change is found on the first night on which it stands after the correction for all that was judged by then. From
there on the new level is what is compared with. Nothing later takes it back: judging a longer ledger finds the same
changes and perhaps more, so an alarm that was raised once can be looked up for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from device_agents.farm.series.correct import cut
from device_agents.farm.series.lane import Lane, Step
from device_agents.farm.series.nights import Figure, Night
from device_agents.farm.series.settings import Settings


@dataclass(frozen=True)
class Found:
    """A change point: the place of its first night, the `seq` of the night that found it, its p before correction."""

    place: int
    seq: int
    p: float


class Track:
    """One metric of one series while it is played back.

    Where there is a canary model, two lanes are tested, each at half the p: the raw one, and the one net of the
    canary, which sees through drifts of the device. A step net of the canary alone counts only where the raw figure
    moved with it: otherwise the canary did something that the model didn't.
    """

    def __init__(self, nights: Sequence[Night], settings: Settings) -> None:
        self.nights = nights
        self.settings = settings
        self.raw, self.net = Lane(settings, settings.spans), Lane(settings, settings.spans)
        self.found: list[Found] = []
        self.p = 1.0
        self.step: Step | None = None
        self._next = 0

    @property
    def next_seq(self) -> int | None:
        """The seq of the night that comes next; None after the last one."""
        return self.nights[self._next].point.seq if self._next < len(self.nights) else None

    @property
    def level(self) -> int:
        """The place of the first night on the newest level."""
        return self.found[-1].place if self.found else 0

    @property
    def started(self) -> bool:
        return self._next > 0

    def play(self, seq: int) -> None:
        """Takes the nights of this seq, and tests."""
        while self.next_seq == seq:
            night = self.nights[self._next]
            self.raw.add(self._next, night.figure)
            if night.canary is not None:
                self.net.add(self._next, less(night.figure, night.canary))
            self._next += 1
        self.p, self.step = self.test(self.settings.spans)

    def test(self, spans: Sequence[int]) -> tuple[float, Step | None]:
        """p and step of the newest nights; 1.0 and None where no change is seen."""
        raw = self.raw.newest(spans)
        if not self.net.places:
            return (raw.p, raw) if raw else (1.0, None)
        net = self.net.newest(spans)
        if net is not None and not self._follows(net):
            net = None
        lanes = [step for step in (raw, net) if step is not None]
        best = min(lanes, key=lambda step: step.p, default=None)
        return (min(1.0, 2 * best.p), best) if best else (1.0, None)

    def accept(self, seq: int) -> None:
        """The step under test is one: its first night begins a new level."""
        assert self.step is not None
        self.found.append(Found(self.step.place, seq, self.p))
        # What the device alone did leaves the net level as it was, with all that is known of it.
        moved = self.net.size(self.step.place)
        if moved is None or abs(moved) >= self.settings.magnitude / 2:
            self.net.begin(self.step.place)
        self.raw.begin(self.step.place)
        self.p, self.step = 1.0, None

    def _follows(self, net: Step) -> bool:
        raw = self.raw.size(net.place)
        return raw is not None and raw * net.size > 0 and abs(raw) >= self.settings.magnitude


def less(figure: Figure, canary: Figure) -> Figure:
    """The figure net of the canary's."""
    return Figure(figure.log - canary.log, (figure.spread**2 + canary.spread**2) ** 0.5)


def replay(tracks: Sequence[Track], settings: Settings) -> None:
    """Plays all tracks to their end, in the order of `seq`; what they find is in their `found`."""
    due: dict[int, list[Track]] = {}
    for track in tracks:
        for seq in {night.point.seq for night in track.nights}:
            due.setdefault(seq, []).append(track)
    suspects: dict[int, Track] = {}
    judged = 0
    for seq in sorted(due):
        for track in due[seq]:
            judged += not track.started
            track.play(seq)
            suspects.pop(id(track), None)
            if track.p <= settings.alpha:
                suspects[id(track)] = track
        if suspects:
            bound = cut([track.p for track in suspects.values()], judged, settings.alpha)
            for name, track in list(suspects.items()):
                if track.p <= bound:
                    track.accept(seq)
                    del suspects[name]
