"""The rows as cells of text, and all of a run as plain lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from device_agents.farm.figures import show_bytes, show_count, show_ms, show_ratio
from pipeline.table import aligned
from tests.bench.compression.lines import Line
from tests.bench.compression.rows import BASE
from tests.bench.compression.run import Bench

HEAD = (
    "",
    "row",
    "runtime",
    "epochs",
    "params",
    "MACs",
    "file",
    "lean",
    "package",
    "top-1 (lost)",
    "p50 ms",
    "speed-up",
)
STAGES = ("artifacts", "in all", "slower than its origin", "larger", "either")
AIMS = ("aim", "bar", "stretch", "best peer here", "ours", "points lost", "verdict")


def described(bench: Bench) -> str:
    """What was run, in a line."""
    setting = bench.setting
    seeds = f"{len(setting['seeds'])} seed{'s' if len(setting['seeds']) > 1 else ''}"
    cut = f"peers fine-tune for {bench.epochs} epoch{'' if bench.epochs == 1 else 's'}"
    return (
        f"{bench.model}, {setting['name']} run: floors {', '.join(f'{one:g}' for one in setting['floors'])}, {seeds}, "
        f"searches of {setting['budget']}, {cut if setting['cuts'] else 'without networks that peers cut'}"
    )


def cells(bench: Bench) -> list[tuple[str, ...]]:
    """A row of text for every line, numbered from 1."""
    base = next(line for line in bench.lines if line.key == BASE)
    return [_cells(number, line, base) for number, line in enumerate(bench.lines, 1)]


def stage_cells(bench: Bench) -> list[tuple[str, ...]]:
    """Whose artifacts, how many, and how many lose against what they came from."""
    return [
        (one["said"], str(one["artifacts"]), *(str(len(one[key])) for key in ("slower", "larger")), _either(one))
        for one in bench.stages
    ]


def aim_cells(bench: Bench) -> list[tuple[str, ...]]:
    """Every aim, what was reached and the verdict."""
    return [_aim(one) for one in bench.reached]


def lines(bench: Bench) -> list[str]:
    """All of it, for a terminal."""
    found = ["", f"  bench.compression: {described(bench)}", ""]
    found += [f"  {line}" for line in aligned([list(HEAD), *(list(row) for row in cells(bench))])]
    found += ["", *(f"  {line}" for line in aligned([list(STAGES), *(list(row) for row in stage_cells(bench))]))]
    if bench.reached:
        found += ["", *(f"  {line}" for line in aligned([list(AIMS), *(list(row) for row in aim_cells(bench))]))]
    if bench.problems:
        found += ["", f"  the speeds are invalid: {'; '.join(bench.problems)}"]
        found += ["  next:  the same command with --resume on a quiet machine: it only times"]
    return found


def _cells(number: int, line: Line, base: Line) -> tuple[str, ...]:
    what = f"{line.runtime} {line.precision}".strip()
    if line.error:
        return (str(number), line.label, what, *[""] * 8, line.error)
    lost, p50 = line.lost(base), line.p50_ms
    metric = f"{line.metric * 100:.2f}" if line.metric is not None else "not measured"
    return (
        str(number),
        line.label,
        what,
        str(line.epochs) if line.epochs else "",
        show_count(line.params) if line.params is not None else "",
        show_count(line.macs) if line.macs is not None else "",
        _size(line, base, "plain"),
        _size(line, base, "lean"),
        _size(line, base, "package"),
        metric if lost is None or line is base else f"{metric} ({lost:+.2f})",
        show_ms(p50) if p50 is not None else "",
        show_ratio(line.speedup) if line.speedup else "",
    )


def _size(line: Line, base: Line, name: str) -> str:
    count: int | None = getattr(line, name)
    times = line.smaller(base, name)
    return "" if count is None or times is None else f"{show_bytes(count)} ({times:.1f}x)"


def _either(one: Mapping[str, Any]) -> str:
    return str(len({*one["slower"], *one["larger"]}))


def _aim(one: Mapping[str, Any]) -> tuple[str, ...]:
    aim = one["aim"]
    return (
        f"{aim['what']}, within {aim['floor']:g} point{'' if aim['floor'] == 1 else 's'}",
        f"{aim['bar']:g}x",
        f"{aim['stretch']:g}x" if aim["stretch"] else "",
        f"{one['peer']:.2f}x ({one['peer_label']})" if one["peer"] else "none",
        _spread(one["value"], one["low"], one["high"], "x"),
        _spread(one["lost"], None, one["worst"], ""),
        one["verdict"],
    )


def _spread(value: float | None, low: float | None, high: float | None, unit: str) -> str:
    if value is None:
        return ""
    text = f"{value:.2f}{unit}"
    if low is not None and high is not None and high - low > 5e-3:
        return f"{text} ({low:.2f} to {high:.2f})"
    return f"{text} (at most {high:.2f})" if low is None and high is not None and high - value > 5e-3 else text


def notes(bench: Bench) -> Sequence[str]:
    """What a reader must know of the figures."""
    base = next(line for line in bench.lines if line.key == BASE)
    found = [
        "Sizes: the file as its tool wrote it; lean, without metadata and long names; as a package, the lean "
        f"file compressed. All are held against the FP32 file of {base.plain or 0:,} bytes that torch's exporter "
        f"writes; lean, that one is {base.lean or 0:,} bytes, as a package {base.package or 0:,}.",
        "Top-1 is of the test part, taken once, on the device, by the very file that was timed; what was chosen was "
        "chosen on the validation part, where it had to lose less by a standard error (30 % at most). Points lost are "
        "against the FP32 row; in brackets, + is a loss.",
        "Speed-ups are times of the FP32 model in onnxruntime over the row's, in interleaved pairs of one session, one "
        "thread, batch 1, with their 95 % interval.",
        "Peers' networks were trained by this project's loop on the same data, for as many epochs as the search gives "
        "its best candidates; LiteRT files of theirs were converted and quantised by this project's parts. Rows with "
        "our distillation are a control, no peer.",
    ]
    found += [f"Row {line.label}: {line.error}." for line in bench.lines if line.error]
    return found
