"""The aims that were set before the work began, and how near each row comes: met, or short by how much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, Literal

from tests.bench.compression.lines import Line
from tests.bench.compression.rows import BASE

Kind = Literal["speed", "plain", "package"]


@dataclass(frozen=True)
class Aim:
    """role: which of a search's artifacts is judged; kind: what of it; floor: points that it may lose on the test part;
    bar, stretch: times faster or smaller than the FP32 model; of_peer: than the best peer within the floor instead;
    known: the best that peers were measured at before this bench was written."""

    model: str
    what: str
    role: str
    kind: Kind
    floor: float
    bar: float
    stretch: float | None = None
    known: float | None = None
    of_peer: bool = False


AIMS = (
    Aim("resnet20", "speed-up, best runtime", "fastest", "speed", 1.0, 9.0, 12.0, 4.5),
    Aim("resnet20", "speed-up, onnxruntime alone", "onnxruntime", "speed", 1.0, 3.0, 4.0, 1.4),
    Aim("resnet20", "plain file, times smaller", "smallest", "plain", 1.0, 13.0, 20.0, 5.5),
    Aim("resnet20", "compressed package, times smaller", "lightest", "package", 1.0, 30.0, 45.0, 19.5),
    Aim("mobilenetv2", "speed-up beside the best peer", "fastest", "speed", 1.0, 1.5, of_peer=True),
    Aim("minilm-sentiment", "plain file, times smaller", "smallest", "plain", 2.0, 6.0),
    Aim("minilm-sentiment", "speed-up, best runtime", "fastest", "speed", 2.0, 2.0),
)


@dataclass(frozen=True)
class Reached:
    """An aim and what became of it. value, low, high: mean and range over the seeds; lost: points of test top-1, mean
    over the seeds; worst: of the seed that lost most; peer: the best peer of this run within the floor."""

    aim: Aim
    value: float | None
    low: float | None
    high: float | None
    lost: float | None
    worst: float | None
    peer: float | None
    peer_label: str
    verdict: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def reached(model: str, lines: Sequence[Line]) -> list[Reached]:
    """Every aim of the model against the rows; [] for a model without aims."""
    return [_against(aim, lines) for aim in AIMS if aim.model == model]


def _against(aim: Aim, lines: Sequence[Line]) -> Reached:
    base = next(line for line in lines if line.key == BASE)
    peer, label = _best_peer(aim, lines, base)
    ours = [line for line in lines if line.role == aim.role and line.floor is not None and line.floor <= aim.floor]
    nearest = max((line.floor for line in ours if line.floor is not None), default=None)
    taken = [line for line in ours if line.floor == nearest]
    values = [value for line in taken if (value := _value(aim.kind, line, base)) is not None]
    drops = [drop for line in taken if (drop := line.lost(base)) is not None]
    if not values or len(values) < len(taken) or len(drops) < len(taken) or (aim.of_peer and not peer):
        why = next((line.error for line in taken if line.error), "not measured")
        return Reached(aim, None, None, None, None, None, peer, label, f"not reached: {why}")
    scale = peer if aim.of_peer and peer else 1.0
    values = [value / scale for value in values]
    mean, lost = fmean(values), fmean(drops)
    verdict = _verdict(aim, mean, lost)
    return Reached(aim, mean, min(values), max(values), lost, max(drops), peer, label, verdict)


def _verdict(aim: Aim, value: float, lost: float) -> str:
    over = f"but {lost:.2f} points were lost, {aim.floor:g} allowed" if lost > aim.floor + 1e-9 else ""
    if value < aim.bar:
        short = f"short by {aim.bar - value:.2f}x ({(1 - value / aim.bar) * 100:.0f} %)"
        return f"{short}, {over.replace('but', 'and')}" if over else short
    if over:
        return f"not met: {value:.2f}x, {over}"
    if aim.stretch is None:
        return "met"
    return "met, stretch too" if value >= aim.stretch else f"met; stretch short by {aim.stretch - value:.2f}x"


def _value(kind: Kind, line: Line, base: Line) -> float | None:
    if kind == "speed":
        return line.speedup.value if line.speedup else None
    return line.smaller(base, kind)


def _best_peer(aim: Aim, lines: Sequence[Line], base: Line) -> tuple[float | None, str]:
    """The best that a peer reaches within the floor, seen on the test part: that is kind to them. None where no network
    was cut: those are the best of them."""
    if aim.of_peer and not any(line.key.startswith("tp-") for line in lines):
        return None, "run without networks that peers cut"
    found = [
        (value, line.label)
        for line in lines
        if line.family == "peer"
        and (aim.role != "onnxruntime" or line.runtime == "onnxruntime")
        and (lost := line.lost(base)) is not None
        and lost <= aim.floor
        and (value := _value(aim.kind, line, base)) is not None
    ]
    return max(found) if found else (None, "")
