"""What a deploy prints: one line a step while it builds, and the table of variants with their verdicts at the end."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from device_agents.farm.figures import a_or_an, show_bytes, show_count, show_metric, show_ms, show_ratio, show_seconds
from device_agents.farm.paired import Ratio

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 120
_MISSING = "-"
_DISPENSABLE = ("params", "p90 ms", "download", "MACs")
_QUIET = {"the base", "pays", "same answers"}
"""Verdicts that need no sentence: the figures beside them say it all."""


def step_line(step: Mapping[str, Any]) -> str:
    """One step of the plan, as `  prune      24 s       taylor, 61 % of the MACs left out`."""
    took = "cached" if step.get("cached") else show_seconds(float(step.get("seconds") or 0.0))
    label = plain(step.get("label") or step.get("step") or "")
    return f"  {label:<10} {took:<10} {plain(step.get('summary') or '')}".rstrip()


def show(outcome: Mapping[str, Any], console: Console) -> None:
    """Prints the outcome: in colour and as wide as the terminal, or as plain text of at most 120 columns."""
    if not console.is_terminal:
        console.file.write("\n".join(lines(outcome)) + "\n")
        return
    from rich.text import Text

    for text, style in _layout(outcome, min(console.width, WIDTH)):
        console.print(Text(text, style=style), no_wrap=True, crop=False, overflow="ignore")


def lines(outcome: Mapping[str, Any]) -> list[str]:
    """The whole outcome as plain lines, without any control character."""
    return [text for text, _ in _layout(outcome, WIDTH)]


def _layout(outcome: Mapping[str, Any], width: int) -> list[tuple[str, str]]:
    """Every line with its rich style. A narrow terminal loses the columns that it can best do without."""
    table = [_head(outcome), *(_row(variant, not i) for i, variant in enumerate(outcome["variants"]))]
    if all(row[2] == _MISSING for row in table[1:]):  # an outcome of an earlier version
        table = [row[:2] + row[3:] for row in table]
    for title in _DISPENSABLE:
        if title not in table[0]:
            continue
        if sum(_widths(table)) + 2 * len(table[0]) <= width:
            break
        at = table[0].index(title)
        table = [row[:at] + row[at + 1 :] for row in table]
    widths = _widths(table)
    spare = width - 2 * len(widths) - sum(widths[1:])
    widths[0] = max(8, min(max(len(row[0]) for row in table), spare))
    styles = ["bold", *(_style(variant["verdict"]) for variant in outcome["variants"])]
    shown = [("  " + _line(row, widths), style) for row, style in zip(table, styles, strict=True)]
    for text, style in _notes(outcome):
        # Paths stay whole, so that they can be copied.
        wrapped = textwrap.wrap(
            text,
            width,
            initial_indent="  ",
            subsequent_indent="      ",
            break_on_hyphens=False,
            break_long_words=False,
        )
        shown += [(line, style) for line in wrapped]
    return shown


def _widths(table: list[list[str]]) -> list[int]:
    """The width of each column; the name's is the least that is still of use."""
    columns = list(zip(*table, strict=True))
    return [min(24, max(map(len, columns[0]))), *(max(map(len, column)) for column in columns[1:])]


def _line(row: list[str], widths: list[int]) -> str:
    name = row[0] if len(row[0]) <= widths[0] else row[0][: widths[0] - 2] + ".."
    figures = [cell.rjust(width) for cell, width in zip(row[1:-2], widths[1:-2], strict=True)]
    # A ratio and a verdict are read from their left edge, a bare figure by its last digit.
    return "  ".join([name.ljust(widths[0]), *figures, row[-2].ljust(widths[-2]), row[-1]]).rstrip()


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of a table as lines, every cell whole."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def plain(value: object) -> str:
    """Text for one line of a terminal: a name or an error may hold line breaks and escape codes, we print none."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in str(value))


def _head(outcome: Mapping[str, Any]) -> list[str]:
    metric = next((v["metric"]["name"] for v in outcome["variants"] if v.get("metric")), None)
    metric = metric or (outcome.get("floor") or {}).get("name") or "metric"
    return ["variant", "size", "download", "params", "MACs", plain(metric), "p50 ms", "p90 ms", "speed-up", "verdict"]


def _row(variant: Mapping[str, Any], base: bool) -> list[str]:
    """One row; the base is compared with itself."""
    metric, latency, speedup = variant.get("metric"), variant.get("latency_ms"), variant.get("speedup")
    if base and latency:
        ratio = "1.00x"
    else:
        ratio = show_ratio(Ratio(speedup["value"], speedup["low"], speedup["high"])) if speedup else _MISSING
    return [
        plain(variant["name"]),
        show_bytes(variant["bytes"]) if variant.get("bytes") else _MISSING,
        show_bytes(variant["download"]) if variant.get("download") else _MISSING,
        show_count(variant["params"]) if variant.get("params") is not None else _MISSING,
        show_count(variant["macs"]) if variant.get("macs") is not None else _MISSING,
        show_metric(metric["name"], metric["value"]) + ("" if metric["on_device"] else "*") if metric else _MISSING,
        show_ms(latency["p50"]) if latency else _MISSING,
        show_ms(latency["p90"]) if latency else _MISSING,
        ratio,
        plain(variant["verdict"]),
    ]


def _notes(outcome: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What stands under the table, each with a rich style."""
    notes = []
    for variant in outcome["variants"]:
        if variant["verdict"] not in _QUIET and variant.get("reason"):
            style = "green" if variant["name"] == outcome.get("shipped") else "yellow"
            instead = f"; instead: {plain(variant['instead'])}" if variant.get("instead") else ""
            notes.append((f"{plain(variant['name'])}: {plain(variant['reason'])}{instead}", style))
    if any(v.get("metric") and not v["metric"]["on_device"] for v in outcome["variants"]):
        notes.append(("* taken on the host, not on the device", "dim"))
    if outcome.get("emulated"):
        same = [v for v in outcome["variants"] if (v.get("parity") or {}).get("same")]
        said = f"{len(same)} of {len(outcome['variants'])} variants give the answers there that they give here"
        notes.append((f"{said}; no time was judged and nothing is shipped: the device is emulated", "bold"))
    elif outcome.get("shipped") is None:
        notes.append(("nothing is shipped: no variant holds the floor and the limits", "bold red"))
    if runtimes := list(dict.fromkeys(v["runtime"] for v in outcome["variants"] if v.get("runtime"))):
        beside = ", where a name has no @" if len(runtimes) > 1 else ""
        notes.append((f"runtime  {plain(runtimes[0])}{beside}", "dim"))
    notes.append((f"device  {device_line(outcome)}", "bold yellow" if outcome.get("stand_in") else "dim"))
    if not outcome.get("valid"):
        found = "; ".join(map(plain, outcome.get("problems") or ["no reason was given"]))
        notes.append((f"INVALID: these figures can't be trusted: {found}", "bold white on red"))
    notes += [(f"warning: {plain(warning)}", "yellow") for warning in outcome.get("warnings") or ()]
    if outcome.get("bundle"):
        notes.append((f"bundle  {plain(outcome['bundle'])}", "dim"))
    if outcome.get("report"):
        notes.append((f"report  {plain(outcome['report'])} (open it in a browser)", "dim"))
    return notes


def device_line(outcome: Mapping[str, Any]) -> str:
    """What the figures were taken on; a stand-in is never named without saying that it is one."""
    device, target = plain(outcome["device"]), plain(outcome["target"])
    if outcome.get("emulated"):
        return f"{device}, an emulated {target}: its times mean nothing"
    if not outcome.get("stand_in"):
        return device
    return f"{device}, standing in for {a_or_an(target)}: its figures are not the board's"


def _style(verdict: str) -> str:
    if verdict.endswith(": shipped"):
        return "bold green"
    return "dim" if verdict in ("does not pay", "below the floor", "over the limit", "failed") else ""
