"""Attention heads can go: a quarter, half, three quarters of those of a small vision transformer."""

from __future__ import annotations

from dataclasses import replace

from tests.bench.pruning.cells import Cell
from tests.bench.pruning.found import Found, base, pruned, seeds
from tests.bench.pruning.setting import HEADS, Setting
from tests.bench.pruning.statements import (
    Finding,
    Plot,
    Statement,
    Table,
    Tone,
    below,
    difference,
    dot,
    faster,
    larger,
    percent,
    share_of,
    speed_text,
)

CLAIMED = (
    "Many attention heads are redundant: with a good importance score a quarter to half of them can go with little "
    "loss, and the network gets faster."
)
MODEL = "vit-tiny"
LITTLE = 0.01


def _cells(setting: Setting, share: float, criterion: str) -> list[Cell]:
    short = replace(setting, train=setting.heads_train, epochs=setting.heads_epochs, rounds=(setting.heads_epochs,))
    return seeds(setting, lambda seed: pruned(short, seed, ("heads", share), criterion, model=MODEL, ranking="global"))


def cells(setting: Setting) -> list[Cell]:
    ways = [(share, name) for share in setting.heads for name in (*HEADS, "random")]
    return [base(setting, MODEL), *(cell for share, name in ways for cell in _cells(setting, share, name))]


def judge(setting: Setting, found: Found) -> Finding:
    finding = Finding("heads", "Attention heads of a vision transformer", CLAIMED)
    whole = base(setting, MODEL)
    dense = found.of(whole)
    table = Table(
        f"Heads really removed, {setting.heads_epochs} epoch of fine-tuning; unpruned {percent([dense['after']])}",
        ("asked", "score", "heads gone", "left in each layer", "MACs gone", "speed-up", "top-1 before", "top-1 after"),
    )
    plot = Plot("Test top-1 before fine-tuning, mean and range of the seeds", "%")
    after = Plot("Test top-1 after fine-tuning, mean and range of the seeds", "%")
    for share in setting.heads:
        for name in (*HEADS, "random"):
            some = _cells(setting, share, name)
            ratio = found.ratio(whole, some[0])
            left, had = list(found.of(some[0])["heads"].values()), sum(found.of(some[0])["had_heads"].values())
            macs = share_of(1 - found.of(some[0])["macs"] / found.of(some[0])["original"]["macs"])
            before, done = found.values(some, "before"), found.values(some, "after")
            gone = f"{had - sum(left)} of {had}"
            shown = speed_text(ratio) if ratio else ""
            table.rows.append(
                (
                    share_of(share),
                    name,
                    gone,
                    " ".join(map(str, left)),
                    macs,
                    shown,
                    percent(before),
                    percent(done),
                )
            )
            if ratio:
                text = f"{share_of(share)} of the heads ({macs} of the MACs): faster"
                finding.statements.append(Statement(text, faster(ratio), shown, timed=True))
        scores = {name: _cells(setting, share, name) for name in (*HEADS, "random")}
        for when, drawn in (("before", plot), ("after", after)):
            values = {name: found.values(some, when) for name, some in scores.items()}
            for other in ("l2", "random"):
                gap = difference(values["taylor-gate"], values[other])
                text = f"{share_of(share)}: the gate's Taylor score beats {other} {when} fine-tuning"
                finding.statements.append(Statement(text, larger(gap), str(gap)))
            tones: dict[str, Tone] = {"taylor-gate": "ours", "l2": "other", "random": "control"}
            drawn.rows.append((share_of(share), [dot(values[name], tones[name], name) for name in values]))
        lost = difference([dense["after"]] * len(setting.seeds), found.values(scores["taylor-gate"], "after"))
        finding.statements.append(
            Statement(f"{share_of(share)}: costs less than a point", below(lost, LITTLE), f"lost {lost}")
        )
    finding.tables.append(table)
    finding.plots += [plot, after]
    finding.notes.append(
        "Heads are ranked over all layers; one stays in each. The base gets no fine-tuning of its own."
    )
    return finding
