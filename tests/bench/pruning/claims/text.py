"""Attention heads of a language model fine-tuned for sentiment: a quarter, half, three quarters."""

from __future__ import annotations

from dataclasses import replace

from tests.bench.pruning.cells import Cell
from tests.bench.pruning.found import TEXT, Found, base, pruned
from tests.bench.pruning.setting import HEADS, TEXT_EVIDENCE, TEXT_TRAIN, Setting
from tests.bench.pruning.statements import (
    Finding,
    Plot,
    Statement,
    Table,
    Tone,
    difference,
    dot,
    larger,
    percent,
    share_of,
)

CLAIMED = (
    "In BERT-like models most heads can go before accuracy suffers: half of them cost little after a short fine-tuning."
)


def _cell(setting: Setting, share: float, criterion: str) -> Cell:
    few = replace(setting, train=TEXT_TRAIN, evidence=TEXT_EVIDENCE, test=2_000, epochs=1, rounds=(1,))
    cell = pruned(few, setting.seeds[0], ("heads", share), criterion, model=TEXT, ranking="global")
    return replace(cell, weight=8.0)


def _base(setting: Setting) -> Cell:
    return replace(base(replace(setting, test=2_000), TEXT), weight=20.0)


def cells(setting: Setting) -> list[Cell]:
    if not setting.text:
        return []
    ways = [(share, name) for share in setting.heads for name in (*HEADS, "random")]
    return [_base(setting), *(_cell(setting, *way) for way in ways)]


def judge(setting: Setting, found: Found) -> Finding:
    finding = Finding("text", "Attention heads of MiniLM", CLAIMED)
    if not setting.text:
        finding.notes.append("Only in the full run.")
        return finding
    dense = found.of(_base(setting))
    table = Table(
        f"Sentiment of film snippets, one seed; {TEXT_TRAIN:,} samples of fine-tuning; unpruned "
        f"{percent([dense['after']])}",
        ("asked", "score", "heads gone", "left in each layer", "params", "top-1 before", "top-1 after"),
    )
    plots = {when: Plot(f"Test top-1 {when} fine-tuning, one seed", "%") for when in ("before", "after")}
    tones: dict[str, Tone] = {"taylor-gate": "ours", "l2": "other", "random": "control"}
    for share in setting.heads:
        some = {name: found.of(_cell(setting, share, name)) for name in (*HEADS, "random")}
        for name, one in some.items():
            heads = [units for units in one["units"].values() if units[0] == "heads"]
            left, had = [units[2] for units in heads], sum(units[1] for units in heads)
            gone, shown = f"{had - sum(left)} of {had}", " ".join(map(str, left))
            figures = (percent([one["before"]]), percent([one["after"]]))
            table.rows.append((share_of(share), name, gone, shown, f"{one['params']:,}", *figures))
        for when, plot in plots.items():
            plot.rows.append((share_of(share), [dot([one[when]], tones[name], name) for name, one in some.items()]))
            gap = difference([some["taylor-gate"][when]], [some["l2"][when]])
            text = f"{share_of(share)}: the gate's Taylor score beats l2 {when} fine-tuning"
            finding.statements.append(Statement(text, larger(gap), str(gap)))
    finding.tables.append(table)
    finding.plots += plots.values()
    return finding
