"""Attention heads of a language model fine-tuned for sentiment: a quarter, half, three quarters."""

from __future__ import annotations

from dataclasses import replace

from tests.bench.pruning.cells import Cell
from tests.bench.pruning.found import TEXT, Found, base, pruned
from tests.bench.pruning.setting import HEADS, TEXT_EVIDENCE, TEXT_TEST, TEXT_TRAIN, TEXT_VALIDATION, Setting
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
    """Only what the best score leaves is fine-tuned: a step costs as much as fifty of the small networks."""
    epochs = int(criterion == HEADS[0])
    short = replace(_few(setting), epochs=epochs, rounds=(epochs,))
    cell = pruned(short, setting.seeds[0], ("heads", share), criterion, model=TEXT, ranking="global")
    return replace(cell, weight=6.0 if epochs else 3.0)


def _base(setting: Setting) -> Cell:
    return replace(base(_few(setting), TEXT), weight=50.0)


def _few(setting: Setting) -> Setting:
    return replace(setting, train=TEXT_TRAIN, evidence=TEXT_EVIDENCE, validation=TEXT_VALIDATION, test=TEXT_TEST)


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
    plot = Plot("Test top-1 before fine-tuning, one seed", "%")
    tones: dict[str, Tone] = {"taylor-gate": "ours", "l2": "other", "random": "control"}
    for share in setting.heads:
        some = {name: found.of(_cell(setting, share, name)) for name in (*HEADS, "random")}
        for name, one in some.items():
            left, had = list(one["heads"].values()), sum(one["had_heads"].values())
            gone, shown = f"{had - sum(left)} of {had}", " ".join(map(str, left))
            after = percent([one["after"]]) if name == HEADS[0] else "not fine-tuned"
            figures = (percent([one["before"]]), after)
            table.rows.append((share_of(share), name, gone, shown, f"{one['params']:,}", *figures))
        plot.rows.append((share_of(share), [dot([one["before"]], tones[name], name) for name, one in some.items()]))
        for other in ("l2", "random"):
            gap = difference([some["taylor-gate"]["before"]], [some[other]["before"]])
            text = f"{share_of(share)}: the gate's Taylor score beats {other} before fine-tuning"
            finding.statements.append(Statement(text, larger(gap), str(gap)))
    finding.tables.append(table)
    finding.plots.append(plot)
    return finding
