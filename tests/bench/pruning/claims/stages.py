"""Early layers are the sensitive ones: the same cut in the first stage only, or in the last only."""

from __future__ import annotations

from tests.bench.pruning.cells import Cell
from tests.bench.pruning.found import Found, base, pruned, seeds
from tests.bench.pruning.setting import Setting
from tests.bench.pruning.statements import (
    Finding,
    Plot,
    Statement,
    Table,
    difference,
    dot,
    larger,
    percent,
    share_of,
    speed_text,
)

CLAIMED = "Early layers are more sensitive than late ones: prune the late ones harder."
WAYS = {"equal MACs": ("macs", 0.2), "equal share of filters": ("filters", 0.5)}
PARTS = {"early": ("blocks.1", "blocks.2"), "late": ("stem", "blocks.0", "blocks.1")}
"""What is left alone where only the early, or only the late part is cut."""


def _cells(setting: Setting, way: str, where: str) -> list[Cell]:
    return seeds(setting, lambda seed: pruned(setting, seed, WAYS[way], "taylor", skip=PARTS[where]))


def cells(setting: Setting) -> list[Cell]:
    ways = [(way, where) for way in WAYS for where in PARTS]
    return [base(setting), *(cell for way, where in ways for cell in _cells(setting, way, where))]


def judge(setting: Setting, found: Found) -> Finding:
    finding = Finding("stages", "Early against late layers", CLAIMED)
    table = Table(
        "Only the first stage (16 filters, 14x14), or only the last (64 filters, 4x4)",
        ("way", "where", "MACs gone", "params gone", "speed-up", "top-1 before", "top-1 after"),
    )
    plots = {when: Plot(f"Test top-1 {when} fine-tuning", "%") for when in ("before", "after")}
    for way in WAYS:
        some = {where: _cells(setting, way, where) for where in PARTS}
        for where, group in some.items():
            one = found.of(group[0])
            gone = [share_of(1 - one[name] / one["original"][name]) for name in ("macs", "params")]
            ratio = found.ratio(base(setting), group[0])
            before, after = found.values(group, "before"), found.values(group, "after")
            shown = speed_text(ratio) if ratio else ""
            table.rows.append((way, where, *gone, shown, percent(before), percent(after)))
        for when, plot in plots.items():
            values = {where: found.values(group, when) for where, group in some.items()}
            gap = difference(values["late"], values["early"])
            text = f"{way}: cutting late costs less than cutting early, {when} fine-tuning"
            finding.statements.append(Statement(text, larger(gap), str(gap)))
            plot.rows.append((way, [dot(values["late"], "ours", "late"), dot(values["early"], "other", "early")]))
    finding.tables.append(table)
    finding.plots += plots.values()
    return finding
