"""Which filters go matters: importance criteria against each other and against chance, at equal MACs."""

from __future__ import annotations

from tests.bench.pruning.cells import Cell
from tests.bench.pruning.found import Found, base, pruned, seeds
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
    percent,
    share_of,
)

CLAIMED = (
    "Importance criteria help: Taylor and movement beat magnitude, all of them beat a random choice, "
    "before and after fine-tuning."
)
SHARE = 0.5
WHEN = {"before": "before", "recalibrated": "with norms recalibrated, before", "after": "after"}


def _cells(setting: Setting, criterion: str) -> list[Cell]:
    return seeds(setting, lambda seed: pruned(setting, seed, ("macs", SHARE), criterion))


def cells(setting: Setting) -> list[Cell]:
    return [base(setting), *(cell for name in (*setting.criteria, "random") for cell in _cells(setting, name))]


def judge(setting: Setting, found: Found) -> Finding:
    finding = Finding("criteria", "Importance criteria", CLAIMED)
    table = Table(
        f"{share_of(SHARE)} of the MACs removed, one-shot, {setting.epochs} epochs",
        ("criterion", "top-1 before", "before, norms recalibrated", "top-1 after", "after, against random"),
    )
    before = Plot("Test top-1 before fine-tuning, batch norms recalibrated", "%")
    after = Plot("Test top-1 after fine-tuning, mean and range of the seeds", "%")
    chance = _cells(setting, "random")
    for name in (*setting.criteria, "random"):
        some = _cells(setting, name)
        ones, others = found.values(some, "before"), found.values(some, "after")
        gap = difference(others, found.values(chance, "after"))
        normed = percent(found.values(some, "recalibrated"))
        table.rows.append((name, percent(ones), normed, percent(others), "" if name == "random" else str(gap)))
        tone: Tone = "control" if name == "random" else "ours"
        before.rows.append((name, [dot(found.values(some, "recalibrated"), tone)]))
        after.rows.append((name, [dot(others, tone)]))
    for name in setting.criteria:
        for when in ("before", "recalibrated", "after"):
            gap = difference(found.values(_cells(setting, name), when), found.values(chance, when))
            finding.statements.append(Statement(f"{name} beats random {WHEN[when]} fine-tuning", larger(gap), str(gap)))
    for name in ("taylor", "movement"):
        gap = difference(found.values(_cells(setting, name), "after"), found.values(_cells(setting, "l1"), "after"))
        finding.statements.append(Statement(f"{name} beats magnitude (l1) after fine-tuning", larger(gap), str(gap)))
    finding.tables.append(table)
    finding.plots += [before, after]
    return finding
