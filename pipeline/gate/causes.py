"""From what was measured and counted to a cause in words: pure, and careful to say what no figure shows."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from device_agents.farm.figures import show_bytes, show_ms, show_ratio
from device_agents.farm.paired import THRESHOLD, Ratio
from device_agents.farm.why import UNKNOWN, Cause

DISPATCH = 0.7
"""A variant is bound by dispatch where its operators would take this share of its time if they computed nothing, or
this share of the time of what it came from."""
STREAMING = 0.7
"""Bound by memory: its weights alone come at this share of the rate at which the device streams."""
LEFT = 0.1
"""Share of the operators above which what stayed float, or was not delegated, counts as a cause."""
CONVERTING = 0.25
"""The same of what only converts: one float mean in a small INT8 graph is no cause."""
ENDS = 2
"""Conversions that every INT8 file with float inputs and outputs has."""
HEAVY = 2.0
"""A layer's time over that of an empty graph below which the layer says nothing of its channels."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Dispatch(_Frozen):
    """empty_ms: an inference of a graph with one tiny operator; operator_ms: one more, on average over the variant's
    kinds; share: of the variant's time that both make, with its interval."""

    empty_ms: float
    operator_ms: float
    share: Ratio


class Alignment(_Frozen):
    """A layer of the variant as it is and with more channels, at the next multiple of what chips take at once.

    layers: how many of the variant's are like it; ratio: its time over the wider one's, above 1 where the wider one is
    faster; empty_ms: of an empty graph, which both times hold.
    """

    layer: str
    wider: str
    layers: int
    layer_ms: float
    wider_ms: float
    empty_ms: float
    ratio: Ratio


class Kernel(_Frozen):
    """The layer that holds most of an INT8 variant's MACs, in integers and in float.

    layers: how many are like it; ratio: its time in float over that in integers, above 1 where integers are faster.
    """

    layer: str
    layers: int
    integer_ms: float
    float_ms: float
    empty_ms: float
    ratio: Ratio


class Streaming(_Frozen):
    """weight_bytes: of the variant; device_rate: bytes a second that weights too large for a cache come at."""

    weight_bytes: int
    device_rate: float


class Figures(_Frozen):
    """All that is known of one variant. None: was not, or could not be, measured.

    operators, weighted, floats, conversions, partitions, outside: as in pipeline.gate.graph.Graph; integers: whether
    its weighted operators are meant to compute in integers, dynamic: with activations that are quantised as they come;
    elsewhere: the graph was optimised on another machine.
    """

    p50_ms: float
    operators: int
    weighted: int
    floats: int
    conversions: int
    partitions: int = 0
    outside: int = 0
    integers: bool = False
    dynamic: bool = False
    elsewhere: bool = False
    dispatch: Dispatch | None = None
    alignment: tuple[Alignment, ...] = ()
    kernel: Kernel | None = None
    streaming: Streaming | None = None


def cause_of(figures: Figures, against: str = "", speed: Ratio | None = None) -> Cause:
    """Everything that the figures show, the most telling first; a Cause of the kind UNKNOWN where they show nothing.

    against: what the variant came from; speed: the time of that over its own.
    """
    looks = (
        _left(figures),
        _partitions(figures),
        _dispatch(figures, against, speed),
        *_alignment(figures),
        _kernel(figures),
        _memory(figures),
    )
    found = [cause for cause in looks if cause is not None]
    if not found:
        return Cause(UNKNOWN, f"no cause found: {_looked_at(figures)}")
    return Cause(
        "+".join(dict.fromkeys(cause.kind for cause in found)),
        "; ".join(cause.text for cause in found),
        "; ".join(dict.fromkeys(cause.instead for cause in found)),
    )


def _where(figures: Figures) -> str:
    return "the graph optimised here" if figures.elsewhere else "its optimised graph"


def _left(figures: Figures) -> Cause | None:
    """What an INT8 variant still does in float."""
    if not figures.integers:
        return None
    extra = max(0, figures.conversions - ENDS)
    if figures.floats <= LEFT * figures.weighted and extra <= CONVERTING * figures.operators:
        return None
    said = []
    if figures.floats:
        said.append(f"{figures.floats} of {figures.weighted} operators with weights stayed float")
    if extra:
        said.append(f"{figures.conversions} of {figures.operators} operators only convert")
    instead = "quantise so that this runtime fuses it (other activations: int8.activations in the target)"
    if figures.dynamic:
        instead = "take static INT8 (int8 among quantise.precisions in the recipe)"
    return Cause("conversions", f"{' and '.join(said)} in {_where(figures)}", f"{instead}, or stay in float")


def _partitions(figures: Figures) -> Cause | None:
    """What a delegate left to the slower kernels."""
    if not figures.partitions or figures.outside <= LEFT * figures.operators:
        return None
    parts = f"{figures.partitions} part{'s' if figures.partitions > 1 else ''}"
    return Cause(
        "fallback",
        f"{figures.outside} of {figures.operators} operators run outside of the delegate, which took {parts} "
        f"of {'the graph here' if figures.elsewhere else 'the graph'}",
        "do without the operators that the delegate refuses, or quantise the linear layers alone",
    )


def _dispatch(figures: Figures, against: str, speed: Ratio | None) -> Cause | None:
    """Operators that would take most of its time if they computed nothing, or of the time that it had to beat."""
    found = figures.dispatch
    if found is None:
        return None
    instead = "remove layers (blocks), or stay in float" if figures.integers else "remove layers (blocks), not channels"
    if found.share.low >= DISPATCH:
        return Cause("dispatch", f"bound by dispatch: {_operators(figures, found)}", instead)
    beaten = _of_parent(found, speed)
    if beaten is None or beaten.low < DISPATCH:
        return None
    return Cause(
        "dispatch", f"bound by dispatch: {_operators(figures, found)}, {_share(beaten)} of that of {against}", instead
    )


def _of_parent(found: Dispatch, speed: Ratio | None) -> Ratio | None:
    """The operators' share of the parent's time, at the worst ends of both intervals."""
    if speed is None:
        return None
    share = found.share
    return Ratio(share.value / speed.value, share.low / speed.high, share.high / speed.low)


def _operators(figures: Figures, found: Dispatch) -> str:
    each, empty = found.operator_ms * 1e3, found.empty_ms * 1e3
    return (
        f"{figures.operators} operators at {show_ms(each)} us and {show_ms(empty)} us for an empty graph are "
        f"{_share(found.share)} of its {show_ms(figures.p50_ms)} ms"
    )


def _alignment(figures: Figures) -> list[Cause]:
    """One cause a layer, however many wider ones are no slower: that with the fewest channels."""
    shown: dict[str, Alignment] = {}
    for one in figures.alignment:
        # Of two graphs that are all overhead the wider one is no slower either.
        if one.ratio.low >= 1 - THRESHOLD and one.layer_ms >= HEAVY * one.empty_ms:
            shown.setdefault(one.layer, one)
    return [
        Cause(
            "alignment",
            f"channels off the alignment: a {one.layer} ({one.layers} like it) takes {show_ms(one.layer_ms)} ms, "
            f"one of {one.wider} no more than {show_ms(one.wider_ms)} ms ({show_ratio(one.ratio)})",
            f"give such layers {one.wider}",
        )
        for one in shown.values()
    ]


def _kernel(figures: Figures) -> Cause | None:
    """An INT8 variant whose main layer is no faster in integers."""
    found = figures.kernel
    if found is None or found.ratio.high > 1 + THRESHOLD or found.float_ms < HEAVY * found.empty_ms:
        return None
    return Cause(
        "kernels",
        f"this runtime is no faster in integers: a {found.layer} ({found.layers} like it) takes "
        f"{show_ms(found.integer_ms)} ms, in float {show_ms(found.float_ms)} ms ({show_ratio(found.ratio)})",
        "stay in float, or take another runtime for INT8",
    )


def _memory(figures: Figures) -> Cause | None:
    found = figures.streaming
    if found is None:
        return None
    rate = found.weight_bytes / (figures.p50_ms / 1e3)
    if rate < STREAMING * found.device_rate:
        return None
    return Cause(
        "memory",
        f"bound by memory: its {show_bytes(found.weight_bytes)} of weights come at {rate / 1e9:.1f} GB/s, "
        f"{rate / found.device_rate * 100:.0f} % of what this device streams",
        "make the weights fewer or smaller (INT8), not the operations",
    )


def _looked_at(figures: Figures) -> str:
    """What was measured and shows nothing."""
    said = []
    if figures.integers:
        said.append(f"{figures.weighted - figures.floats} of {figures.weighted} operators with weights are in integers")
    if figures.dispatch:
        said.append(f"operators by themselves are {_share(figures.dispatch.share)} of its time")
    said += [f"a {one.layer} is {show_ratio(one.ratio)} as fast with {one.wider}" for one in figures.alignment]
    if figures.kernel:
        said.append(f"a {figures.kernel.layer} is {show_ratio(figures.kernel.ratio)} as fast in integers")
    if figures.streaming:
        rate = figures.streaming.weight_bytes / (figures.p50_ms / 1e3) / figures.streaming.device_rate
        said.append(f"weights come at {rate * 100:.0f} % of what the device streams")
    return ", ".join(said) or "nothing could be measured"


def _share(share: Ratio) -> str:
    """In percent. A sum of tiny operators may come to a little more than the whole, which is all of it."""
    value, low, high = (min(one, 1.0) * 100 for one in (share.value, share.low, share.high))
    return f"{value:.0f} % [{low:.0f} {high:.0f}]"
