"""Attention heads of a language model fine-tuned for sentiment: a quarter, half, three quarters."""

from __future__ import annotations

from tests.bench.pruning.cells import Cell
from tests.bench.pruning.found import Found
from tests.bench.pruning.setting import HEADS, Setting
from tests.bench.pruning.statements import Finding, Plot, Table, dot, percent

CLAIMED = (
    "In BERT-like models most heads can go before accuracy suffers: half of them cost little after a short fine-tuning."
)
MODEL = "minilm-sentiment"


def _cell(setting: Setting, share: float, criterion: str) -> Cell:
    what = {
        "model": MODEL, "share": share, "criterion": criterion, "seed": setting.seeds[0],
        "test": setting.test, "train": 2_000, "epochs": 1,
    }  # fmt: skip
    return Cell("text-heads", what, 8.0)


def cells(setting: Setting) -> list[Cell]:
    if not setting.text:
        return []
    return [_cell(setting, share, name) for share in setting.heads for name in (*HEADS, "random")]


def judge(setting: Setting, found: Found) -> Finding:
    finding = Finding("text", "Attention heads of MiniLM", CLAIMED)
    if not setting.text:
        finding.notes.append("Only in the full run.")
        return finding
    table = Table("Sentiment of film snippets", ("asked", "score", "heads gone", "before", "after"))
    plot = Plot("Test accuracy after fine-tuning", "%")
    for share in setting.heads:
        some = {name: found.of(_cell(setting, share, name)) for name in (*HEADS, "random")}
        for name, one in some.items():
            table.rows.append((f"{share:.0%}", name, one["gone"], percent([one["before"]]), percent([one["after"]])))
        plot.rows.append((f"{share:.0%}", [dot([one["after"]], "ours", name) for name, one in some.items()]))
    finding.tables.append(table)
    finding.plots.append(plot)
    return finding
