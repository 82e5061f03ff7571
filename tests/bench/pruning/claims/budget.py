"""Fine-tuning for 10 to 30 % of the original training brings accuracy back."""

from __future__ import annotations

import itertools

from tests.bench.pruning.cells import Cell
from tests.bench.pruning.found import Found, base, pruned, seeds
from tests.bench.pruning.setting import Setting
from tests.bench.pruning.statements import (
    Finding,
    Plot,
    Statement,
    Table,
    Verdict,
    difference,
    dot,
    larger,
    no_worse,
    percent,
    share_of,
)

CLAIMED = "Fine-tune for 10 to 30 % of the original training; it brings back most of what pruning lost."
SHARE, ORIGINAL = 0.75, 16 * 55_000
"""ORIGINAL: samples that the base has seen in its training (models/resnet8.toml)."""


def _lengths(setting: Setting) -> list[int]:
    return sorted({*setting.budgets, setting.epochs})


def _cells(setting: Setting, epochs: int) -> list[Cell]:
    rounds = None if epochs == setting.epochs else (epochs,)
    return seeds(setting, lambda seed: pruned(setting, seed, ("macs", SHARE), "taylor", rounds=rounds))


def cells(setting: Setting) -> list[Cell]:
    return [base(setting), *(cell for epochs in _lengths(setting) for cell in _cells(setting, epochs))]


def judge(setting: Setting, found: Found) -> Finding:
    finding = Finding("budget", "How long to fine-tune", CLAIMED)
    dense = found.of(base(setting))["after"]
    table = Table(
        f"{share_of(SHARE)} of the MACs removed; unpruned {percent([dense])}", ("share of the training", "top-1")
    )
    before = found.values(_cells(setting, setting.epochs), "before")
    table.rows.append(("0 %", percent(before)))
    plot = Plot("Test top-1 against the length of fine-tuning", "%")
    values = {epochs: found.values(_cells(setting, epochs), "after") for epochs in _lengths(setting)}
    shares = {epochs: share_of(epochs * setting.train / ORIGINAL) for epochs in values}
    for epochs, some in values.items():
        table.rows.append((shares[epochs], percent(some)))
        plot.rows.append((shares[epochs], [dot(some)]))
        back = [(after - lost) / (dense - lost) for after, lost in zip(some, before, strict=True)]
        text = f"{shares[epochs]} of the training brings back most (over 90 %) of the loss"
        said = f"{share_of(min(back))} to {share_of(max(back))} back, n = {len(back)}"
        verdict: Verdict = "reproduced" if min(back) > 0.9 else "refuted" if max(back) < 0.9 else "undecided"
        finding.statements.append(Statement(text, verdict if len(back) > 1 else "undecided", said))
    lengths = _lengths(setting)
    for shorter, longer in itertools.pairwise(lengths):
        gap = difference(values[longer], values[shorter])
        text = f"{shares[longer]} is better than {shares[shorter]}"
        finding.statements.append(Statement(text, larger(gap), str(gap)))
    gap = difference(values[lengths[-1]], [dense] * len(setting.seeds))
    finding.statements.append(Statement(f"{shares[lengths[-1]]}: as good as unpruned", no_worse(gap), str(gap)))
    finding.tables.append(table)
    finding.plots.append(plot)
    return finding
