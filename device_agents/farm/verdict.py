"""Did it pay? Judges every variant by what the device measured, in one sentence with the figures, and names the one to
ship."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from device_agents.farm.candidate import Candidate, Judgement, Limits, Metric, Sparsity
from device_agents.farm.figures import show_bytes, show_drop, show_metric, show_ms, show_ratio
from device_agents.farm.paired import (
    THRESHOLD,
    BlockMedian,
    Comparison,
    Latency,
    Ratio,
    block_medians,
    compare,
    latency,
    speedup,
)

__all__ = [
    "THRESHOLD",
    "BlockMedian",
    "Candidate",
    "Comparison",
    "Judgement",
    "Latency",
    "Limits",
    "Metric",
    "Ratio",
    "Sparsity",
    "block_medians",
    "compare",
    "fallen_back",
    "judge",
    "latency",
    "speedup",
]

_INTEGER = {"int8": "INT8", "dynamic": "dynamic INT8"}
_GPU = ("TensorrtExecutionProvider", "CUDAExecutionProvider")

Between = Callable[[str, str], "Ratio | None"]


def judge(
    candidates: Sequence[Candidate],
    limits: Limits | None = None,
    floor: float | None = None,
    between: Between | None = None,
    threshold: float = THRESHOLD,
) -> tuple[list[Judgement], str | None]:
    """One judgement a candidate, in their order, and the name to ship (None where nothing holds floor and limits).

    Shipped is the fastest of those that pay; of those that the data can't tell apart from it, the smallest download.
    Where nothing pays, the smallest that is as fast as the base, by its file, then by its download; else the base;
    and where the base itself breaks a rule, the fastest that breaks none. What is slower or larger than what it came
    from is never shipped, unless that may not ship itself. Why a variant does not pay is not guessed: those whose cause
    a measurement may find name what they lost `against` (device_agents.farm.why).
    between: time of the first over time of the second, as measured in pairs; without it two variants are told apart
    by their intervals against the base.
    """
    limits = limits or Limits()
    base = next((c for c in candidates if c.parent is None), None)
    broken = {c.name: _broken(c, base, limits, floor) for c in candidates}
    sound = {c.name: c for c in candidates if broken[c.name] is None}
    drafts: dict[str, Judgement] = {}
    for c in candidates:
        drafts[c.name] = broken[c.name] or _pays(c, base, sound, {o.name: o for o in candidates}, threshold)
    whole = {name: c for name, c in sound.items() if _worse(c, sound, threshold) is None}
    shipped, why = _ship(candidates, drafts, base, whole, between, threshold)
    if shipped is not None:
        draft = drafts[shipped]
        label = "holds the limits" if draft.verdict == "does not pay" else draft.verdict
        drafts[shipped] = Judgement(shipped, f"{label}: shipped", f"{draft.reason}; {why}")
    return [drafts[c.name] for c in candidates], shipped


def _broken(c: Candidate, base: Candidate | None, limits: Limits, floor: float | None) -> Judgement | None:
    """The first rule that bars a variant from shipping however fast it is."""
    if c.error:
        return Judgement(c.name, "failed", f"it failed: {' '.join(c.error.split())}")
    if c.latency is None:
        return Judgement(c.name, "failed", "the device gave no sample of it")
    if back := fallen_back(c):
        return Judgement(c.name, "does not pay", back)
    if floor is not None and c.metric is None:
        return Judgement(c.name, "failed", "no metric was measured, so the floor can't be checked")
    if floor is not None and c.metric is not None and not c.metric.value >= floor - 1e-9:
        name = c.metric.name
        return Judgement(
            c.name,
            "below the floor",
            f"{name} is {show_metric(name, c.metric.value)}, the floor {show_metric(name, floor)}",
        )
    over = _over(c, base, limits)
    return Judgement(c.name, "over the limit", "; ".join(over)) if over else None


def fallen_back(c: Candidate) -> str:
    """What to say of a variant that ran on less than the target asks for; "" where it didn't."""
    if not c.wanted_providers or (c.providers and c.providers[0] == c.wanted_providers[0]):
        return ""
    got = c.providers[0] if c.providers else "nothing"
    gpu = next((one for one in c.wanted_providers if one in _GPU), None)
    absent = ": the GPU is absent, or its runtime is" if gpu and not set(_GPU) & set(c.providers) else ""
    return f"it fell back to {got}; the target asks for {c.wanted_providers[0]}{absent}"


def _over(c: Candidate, base: Candidate | None, limits: Limits) -> list[str]:
    over = []
    if limits.latency_ms is not None and c.latency is not None and c.latency.p50_ms > limits.latency_ms:
        over.append(f"p50 is {show_ms(c.latency.p50_ms)} ms, the limit {show_ms(limits.latency_ms)} ms")
    if limits.memory_bytes is not None and c.peak_bytes is not None and c.peak_bytes > limits.memory_bytes:
        over.append(f"peak memory is {show_bytes(c.peak_bytes)}, the limit {show_bytes(limits.memory_bytes)}")
    if limits.size_bytes is not None and c.bytes > limits.size_bytes:
        over.append(f"the file is {show_bytes(c.bytes)}, the limit {show_bytes(limits.size_bytes)}")
    if limits.metric_drop is not None and c.metric is not None and base is not None and base.metric is not None:
        drop = base.metric.value - c.metric.value
        if drop > limits.metric_drop + 1e-9:
            lost, allowed = show_drop(c.metric.name, drop), show_drop(c.metric.name, limits.metric_drop)
            over.append(f"{c.metric.name} lost {lost}, the limit is {allowed}")
    return over


def _pays(
    c: Candidate, base: Candidate | None, sound: dict[str, Candidate], known: dict[str, Candidate], threshold: float
) -> Judgement:
    """The verdict on a variant that holds floor and limits."""
    if base is None or c.parent is None:
        return Judgement(c.name, "the base", "what the others are compared with")
    if c.speedup is None:
        return Judgement(c.name, "does not pay", f"too few paired blocks to compare it with {base.name}")
    if worse := _worse(c, sound, threshold):
        return Judgement(c.name, "does not pay", worse[0], against=worse[1])
    figure = f"{show_ratio(c.speedup)} against {base.name}"
    smaller = base.bytes > c.bytes * (1 + threshold)
    size = f", {base.bytes / max(c.bytes, 1):.1f}x smaller" if base.bytes > c.bytes * 1.05 else ""
    verdict = compare(c.speedup, threshold)
    lighter = base.download_bytes / max(c.download_bytes, 1) if base.download_bytes and c.download_bytes else 1.0
    download = f"; the download is {lighter:.1f}x smaller" if _light(c) and lighter > 1 + threshold else ""
    if verdict == "faster":
        return Judgement(c.name, "pays", f"{figure}{size}{_draw(c, sound, threshold)}{download}")
    if verdict == "same" and smaller:
        said = f"as fast as {base.name} ({show_ratio(c.speedup)}){size}{download}"
        return Judgement(c.name, "pays in size only", said)
    said = {"slower": "slower", "same": "no faster", "undecided": "not shown to be faster"}[verdict]
    parent = known.get(c.parent)
    ratio = _against(c, parent) if parent else None
    # What is faster than its parent lags behind the base by its runtime, and no stage is to blame.
    helped = parent is None or ratio is None or compare(ratio, threshold) == "faster"
    fewer = "" if parent is None or helped else _fewer(c, parent)
    against = parent.name if parent is not None and c.stage and not helped else ""
    if _light(c) and not fewer:
        gained = "pays in download only" if verdict == "same" and download else "does not pay"
        return Judgement(c.name, gained, f"{_light(c)}: {said} ({show_ratio(c.speedup)}){download}")
    return Judgement(c.name, "does not pay", f"{said}: {figure}{size}{fewer}{download}", against=against)


def _light(c: Candidate) -> str:
    """What makes the download smaller and nothing else; "" where nothing does."""
    if c.sparsity:
        return _zeros(c.sparsity)
    return f"weights of {c.weight_bits} bits, as large as others here" if c.weight_bits else ""


def _zeros(sparsity: Sparsity) -> str:
    """What zeros are worth to a runtime that is no faster with them."""
    share = f"{sparsity.share * 100:.0f} % zeros"
    if sparsity.skipped:
        return f"{share} in the pattern {sparsity.pattern}, which gained nothing here"
    return f"{share}, but this runtime computes them all"


def _worse(c: Candidate, sound: dict[str, Candidate], threshold: float) -> tuple[str, str] | None:
    """What a variant has lost to what it came from, and against what, where to ask why; None where it lost nothing.

    A parent that may not ship is no alternative: losing to it costs nothing.
    """
    parent = sound.get(c.parent or "")
    if parent is None:
        return None
    ratio = _against(c, parent)
    if ratio is None:
        return f"too few paired blocks to compare it with {parent.name}, which it came from", ""
    name, times = _precision(c, parent), f"{ratio.value:.2f}x of {parent.name}"
    step = compare(ratio, threshold)
    if step == "slower" and name:
        return f"{name} is slower here ({times})", parent.name
    if step == "slower" and not _is_base(parent):
        return f"slower than what it came from ({times})", parent.name if c.stage else ""
    if name and step == "same" and c.bytes * (1 + threshold) >= parent.bytes:
        return f"{name} gains no time here ({times}) and no size", parent.name
    # The same network in another runtime's format came from no smaller file.
    if c.stage and c.bytes > parent.bytes:
        return f"its file is larger than that of {parent.name}: {c.bytes} bytes, not {parent.bytes}", ""
    return None


def _draw(c: Candidate, sound: dict[str, Candidate], threshold: float) -> str:
    """What to note of an integer variant that is only as fast as its float parent."""
    parent = sound.get(c.parent or "")
    ratio = _against(c, parent) if parent else None
    if parent is None or ratio is None or not (name := _precision(c, parent)) or compare(ratio, threshold) != "same":
        return ""
    times, smaller = f"{ratio.value:.2f}x of {parent.name}", parent.bytes / max(c.bytes, 1)
    return f"; {name} gains no time here ({times}), but a file {smaller:.1f}x smaller"


def _against(c: Candidate, parent: Candidate) -> Ratio | None:
    """The parent's time over the variant's."""
    return c.speedup_parent or (c.speedup if _is_base(parent) else None)


def _precision(c: Candidate, parent: Candidate) -> str:
    """What to call the precision of an integer variant of a float parent; "" of any other."""
    return _INTEGER.get(c.precision, "") if parent.precision not in _INTEGER else ""


def _fewer(c: Candidate, parent: Candidate) -> str:
    """How much less a variant computes than what it came from, where that has not made it faster."""
    if not c.macs or not parent.macs or c.macs >= parent.macs:
        return ""
    return f"; {(1 - c.macs / parent.macs) * 100:.0f} % fewer MACs did not help"


def _ship(
    candidates: Sequence[Candidate],
    drafts: dict[str, Judgement],
    base: Candidate | None,
    sound: dict[str, Candidate],
    between: Between | None,
    threshold: float,
) -> tuple[str | None, str]:
    """The name to ship and why it and no other. sound: those that break no rule and lost nothing to their parents."""

    def of(verdict: str) -> list[Candidate]:
        return [c for c in candidates if c.name in sound and drafts[c.name].verdict == verdict]

    if paying := of("pays"):
        return _fastest(paying, between, threshold)
    if smaller := of("pays in size only"):
        return min(smaller, key=lambda c: c.bytes).name, "nothing that may ship is faster"
    if lighter := of("pays in download only"):
        return min(lighter, key=_download).name, "nothing that may ship is faster or smaller"
    if base is not None and base.name in sound:
        return base.name, "nothing that may ship is faster or as fast and smaller"
    if sound:
        name, _ = _fastest(list(sound.values()), between, threshold)
        return name, "the base itself may not ship"
    return None, ""


def _fastest(contenders: list[Candidate], between: Between | None, threshold: float) -> tuple[str, str]:
    """The fastest, or the smallest file among those that can't be told from it."""
    first = max(contenders, key=_speed)
    level = [first]
    for c in contenders:
        ratio = between(first.name, c.name) if between and c is not first else None
        if c is not first and (compare(ratio, threshold) != "slower" if ratio else _overlap(first, c)):
            level.append(c)
    chosen = min(level, key=lambda c: (_download(c), -_speed(c)))
    if len(contenders) == 1:
        return chosen.name, "nothing else may ship" if not _is_base(chosen) else ""
    if chosen is first:
        return chosen.name, "the fastest that may ship"
    smaller = "file" if chosen.bytes < first.bytes else "download"
    return chosen.name, f"not told apart from {first.name} by time, and the smaller {smaller}"


def _speed(c: Candidate) -> float:
    return c.speedup.value if c.speedup else 1e3 / c.latency.p50_ms if c.latency else 0.0


def _download(c: Candidate) -> int:
    """What tells files of equal speed apart: their download, where it is known."""
    return c.download_bytes or c.bytes


def _overlap(one: Candidate, other: Candidate) -> bool:
    return one.speedup is not None and other.speedup is not None and other.speedup.high >= one.speedup.low


def _is_base(c: Candidate) -> bool:
    return c.parent is None
