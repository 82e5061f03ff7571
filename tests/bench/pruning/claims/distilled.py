"""Distillation from the unpruned network helps fine-tuning."""

from __future__ import annotations

from tests.bench.pruning.cells import Cell
from tests.bench.pruning.found import Found, pruned, seeds
from tests.bench.pruning.setting import Setting
from tests.bench.pruning.statements import Finding, Plot, Statement, Table, difference, dot, larger, percent, share_of

CLAIMED = "Fine-tuning taught by the unpruned network gives more accuracy than fine-tuning alone."
SHARE = 0.75


def _cells(setting: Setting, taught: bool) -> list[Cell]:
    return seeds(setting, lambda seed: pruned(setting, seed, ("macs", SHARE), "taylor", taught=taught))


def cells(setting: Setting) -> list[Cell]:
    return [*_cells(setting, False), *_cells(setting, True)]


def judge(setting: Setting, found: Found) -> Finding:
    finding = Finding("distilled", "Distillation on and off", CLAIMED)
    alone, taught = (found.values(_cells(setting, on), "after") for on in (False, True))
    gap = difference(taught, alone)
    finding.statements.append(Statement(f"{share_of(SHARE)} of the MACs: distillation helps", larger(gap), str(gap)))
    rows: list[tuple[str, ...]] = [("off", percent(alone)), ("on (T = 4, weight 0.7)", percent(taught))]
    title = f"{share_of(SHARE)} of the MACs removed, {setting.epochs} epochs"
    finding.tables.append(Table(title, ("distillation", "top-1 after"), rows))
    dots = [("off", [dot(alone, "other")]), ("on", [dot(taught)])]
    finding.plots.append(Plot("Test top-1 after fine-tuning, mean and range of the seeds", "%", dots))
    return finding
