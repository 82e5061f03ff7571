"""A network holds a winning ticket: the same mask trains well from its own weights, and worse from random ones."""

from __future__ import annotations

from tests.bench.pruning.cells import Cell
from tests.bench.pruning.found import Found, seeds
from tests.bench.pruning.setting import Setting
from tests.bench.pruning.statements import (
    Finding,
    Plot,
    Statement,
    Table,
    Tone,
    difference,
    dot,
    larger,
    no_worse,
    percent,
    share_of,
)

CLAIMED = (
    "A dense network holds a sparse one that trains alone to the same accuracy from its own first weights (a winning "
    "ticket); the same mask over fresh random weights, or a random mask, does worse."
)
ROWS = {
    "dense": "dense",
    "early": "ticket, weights of the first epoch",
    "initial": "ticket, initial weights",
    "fresh": "the ticket's mask, fresh random weights",
    "random_mask": "random mask, weights of the first epoch",
}


def _cells(setting: Setting) -> list[Cell]:
    def one(seed: int) -> Cell:
        what = {
            "model": "resnet8", "share": setting.ticket_share, "rounds": setting.ticket_rounds,
            "epochs": setting.ticket_epochs, "train": setting.ticket_train, "validation": setting.validation,
            "test": setting.test, "seed": seed,
        }  # fmt: skip
        steps = setting.ticket_train * setting.ticket_epochs * (setting.ticket_rounds + 4)
        return Cell("ticket", what, 1.6 * steps / (setting.train * setting.epochs))

    return seeds(setting, one)


def cells(setting: Setting) -> list[Cell]:
    return _cells(setting)


def judge(setting: Setting, found: Found) -> Finding:
    finding = Finding("tickets", "Winning ticket against random ticket", CLAIMED)
    some = _cells(setting)
    values = {name: found.values(some, name) for name in ROWS}
    share = share_of(setting.ticket_share)
    table = Table(
        f"{share} zeros after {setting.ticket_rounds} rounds; every training {setting.ticket_epochs} epochs of "
        f"{setting.ticket_train:,} samples",
        ("network", "top-1"),
        [(text, percent(values[name])) for name, text in ROWS.items()],
    )
    plot = Plot("Test top-1 after training, mean and range of the seeds", "%")
    for name, text in ROWS.items():
        tone: Tone = "ours" if name in ("early", "initial") else "other" if name == "dense" else "control"
        plot.rows.append((text, [dot(values[name], tone)]))
    for one, other in (("early", "fresh"), ("early", "random_mask"), ("initial", "fresh"), ("early", "initial")):
        gap = difference(values[one], values[other])
        finding.statements.append(Statement(f"{ROWS[one]} beats: {ROWS[other]}", larger(gap), str(gap)))
    for name in ("early", "initial"):
        gap = difference(values[name], values["dense"])
        finding.statements.append(Statement(f"{ROWS[name]}: as good as dense", no_worse(gap), str(gap)))
    finding.tables.append(table)
    finding.plots.append(plot)
    return finding
