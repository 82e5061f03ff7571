"""What a deploy prints: one line a step while it builds, and the table of variants with their verdicts at the end."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from device_agents.farm.figures import show_bytes, show_count, show_metric, show_ms, show_ratio, show_seconds
from device_agents.farm.paired import Ratio

if TYPE_CHECKING:
    from rich.console import Console

WIDTH = 120
_MISSING = "-"
_QUIET = {"the base", "pays"}
"""Verdicts that need no sentence: the figures beside them say it all."""


def step_line(step: Mapping[str, Any]) -> str:
    """One step of the plan, as `  prune      24 s       taylor, 61 % of the MACs left out`."""
    took = "cached" if step.get("cached") else show_seconds(float(step.get("seconds") or 0.0))
    label = plain(step.get("label") or step.get("step") or "")
    return f"  {label:<10} {took:<10} {plain(step.get('summary') or '')}".rstrip()


def show(outcome: Mapping[str, Any], console: Console) -> None:
    """Prints the outcome: a coloured table on a terminal, plain aligned text of at most 120 columns elsewhere."""
    if console.is_terminal:
        _show_rich(outcome, console)
    else:
        console.file.write("\n".join(lines(outcome)) + "\n")


def lines(outcome: Mapping[str, Any]) -> list[str]:
    """The whole outcome as plain lines, without any control character."""
    head, rows = _head(outcome), _rows(outcome)
    table = [head, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]
    widths[0] = max(8, min(widths[0], WIDTH - 2 - sum(widths[1:]) - 2 * (len(widths) - 1)))
    shown = []
    for row in table:
        name = row[0] if len(row[0]) <= widths[0] else row[0][: widths[0] - 2] + ".."
        figures = [row[i].rjust(widths[i]) for i in range(1, len(row) - 2)]
        # A ratio and a verdict are read from their left edge, a bare figure by its last digit.
        shown.append("  " + "  ".join([name.ljust(widths[0]), *figures, row[-2].ljust(widths[-2]), row[-1]]).rstrip())
    for text, _ in _notes(outcome):
        shown += textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="      ", break_on_hyphens=False)
    return shown


def plain(value: object) -> str:
    """Text for one line of a terminal: a name or an error may hold line breaks and escape codes, we print none."""
    return "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in str(value))


def _head(outcome: Mapping[str, Any]) -> list[str]:
    metric = next((v["metric"]["name"] for v in outcome["variants"] if v.get("metric")), None)
    metric = metric or (outcome.get("floor") or {}).get("name") or "metric"
    return ["variant", "size", "params", "MACs", plain(metric), "p50 ms", "p90 ms", "speed-up", "verdict"]


def _rows(outcome: Mapping[str, Any]) -> list[list[str]]:
    return [_row(variant) for variant in outcome["variants"]]


def _row(variant: Mapping[str, Any]) -> list[str]:
    metric, latency, speedup = variant.get("metric"), variant.get("latency_ms"), variant.get("speedup")
    if variant["verdict"].startswith("the base"):
        ratio = "1.00x"
    else:
        ratio = show_ratio(Ratio(speedup["value"], speedup["low"], speedup["high"])) if speedup else _MISSING
    return [
        plain(variant["name"]),
        show_bytes(variant["bytes"]) if variant.get("bytes") is not None else _MISSING,
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
            notes.append((f"{plain(variant['name'])}: {plain(variant['reason'])}", style))
    if any(v.get("metric") and not v["metric"]["on_device"] for v in outcome["variants"]):
        notes.append(("* taken on the host, not on the device", "dim"))
    if outcome.get("shipped") is None:
        notes.append(("nothing is shipped: no variant holds the floor and the limits", "bold red"))
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
    if not outcome.get("stand_in"):
        return device
    article = "an" if target[:1].lower() in set("aeiou") else "a"
    return f"{device}, standing in for {article} {target}: its figures are not the board's"


def _show_rich(outcome: Mapping[str, Any], console: Console) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    head = _head(outcome)
    for i, title in enumerate(head):
        left = i in (0, len(head) - 2, len(head) - 1)
        fold = "fold" if i in (0, len(head) - 1) else "ellipsis"
        table.add_column(Text(title), justify="left" if left else "right", overflow=fold, no_wrap=i != 0)  # type: ignore[arg-type]
    for variant, row in zip(outcome["variants"], _rows(outcome), strict=True):
        table.add_row(*(Text(cell) for cell in row), style=_style(variant["verdict"]))
    console.print(table)
    for text, style in _notes(outcome):
        console.print(Text("  " + text, style=style), soft_wrap=True)


def _style(verdict: str) -> str:
    if verdict.endswith(": shipped"):
        return "bold green"
    rejected: Sequence[str] = ("does not pay", "below the floor", "over the limit", "failed")
    return "dim" if verdict in rejected else ""
