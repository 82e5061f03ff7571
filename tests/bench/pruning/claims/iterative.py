"""Iterative pruning keeps accuracy where one-shot pruning loses it, above all beyond 50 %."""

from __future__ import annotations

from tests.bench.pruning.cells import Cell
from tests.bench.pruning.found import Found, pruned, seeds
from tests.bench.pruning.setting import Setting
from tests.bench.pruning.statements import Finding, Plot, Statement, Table, difference, dot, larger, percent, share_of

CLAIMED = (
    "Pruning a share at a time with fine-tuning between keeps accuracy beyond 50 %, where one-shot pruning loses it."
)


def _cells(setting: Setting, share: float, rounds: tuple[int, ...] | None) -> list[Cell]:
    return seeds(setting, lambda seed: pruned(setting, seed, ("macs", share), "taylor", rounds=rounds))


def cells(setting: Setting) -> list[Cell]:
    return [cell for share in setting.ratios for way in (None, setting.rounds) for cell in _cells(setting, share, way)]


def judge(setting: Setting, found: Found) -> Finding:
    finding = Finding("iterative", "Iterative against one-shot", CLAIMED)
    table = Table(
        f"The same {setting.epochs} epochs in all; Taylor; MACs removed",
        ("MACs asked", "one-shot: MACs gone", "top-1 after", f"{len(setting.rounds)} rounds: MACs gone", "top-1 after"),
    )
    plot = Plot("Test top-1 after fine-tuning, mean and range of the seeds", "%")
    for share in setting.ratios:
        once, often = _cells(setting, share, None), _cells(setting, share, setting.rounds)
        ones, others = found.values(once, "after"), found.values(often, "after")
        gap = difference(others, ones)
        finding.statements.append(
            Statement(f"{share_of(share)} of the MACs: iterative is better", larger(gap), str(gap))
        )
        gone = [share_of(1 - found.of(c)["macs"] / found.of(c)["original"]["macs"], 1) for c in (once[0], often[0])]
        table.rows.append((share_of(share), gone[0], percent(ones), gone[1], percent(others)))
        plot.rows.append((share_of(share), [dot(others, "ours", "iterative"), dot(ones, "other", "one-shot")]))
    finding.tables.append(table)
    finding.plots.append(plot)
    epochs = ", ".join(str(one) for one in setting.rounds)
    finding.notes.append(f"Iterative: {len(setting.rounds)} rounds with {epochs} epochs, equal parts of the share.")
    return finding
