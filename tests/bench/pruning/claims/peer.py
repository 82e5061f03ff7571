"""The same network and budget through Torch-Pruning: ours must be at least as good at each ratio."""

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
    no_worse,
    not_slower,
    percent,
    share_of,
    speed_text,
)

CLAIMED = "No claim of an article: Torch-Pruning 1.6 on the same network, budget, data, seeds and fine-tuning."
CRITERIA = ("l1", "l2", "taylor")
THEIRS = "torch-pruning"


def _cells(setting: Setting, share: float, criterion: str, by: str) -> list[Cell]:
    return seeds(setting, lambda seed: pruned(setting, seed, ("macs", share), criterion, by=by))


def _heads(setting: Setting) -> Cell:
    what = {
        "model": "vit-tiny", "share": 0.5, "epochs": setting.heads_epochs, "train": setting.heads_train,
        "validation": setting.validation, "test": setting.test, "seed": setting.seeds[0],
    }  # fmt: skip
    return Cell("peer-heads", what, 4.0)


def cells(setting: Setting) -> list[Cell]:
    ways = [(share, name, by) for share in setting.ratios for name in CRITERIA for by in ("ours", THEIRS)]
    return [base(setting), _heads(setting), *(cell for way in ways for cell in _cells(setting, *way))]


def judge(setting: Setting, found: Found) -> Finding:
    finding = Finding("peer", "Against Torch-Pruning", CLAIMED)
    table = Table(
        f"One-shot, local ranking, {setting.epochs} epochs",
        ("MACs asked", "criterion", "by", "MACs gone", "params", "speed-up", "top-1 before", "top-1 after"),
    )
    plot = Plot("Test top-1 after fine-tuning, mean and range of the seeds", "%")
    whole = base(setting)
    best: dict[float, dict[str, list[float]]] = {}
    for share in setting.ratios:
        for name in CRITERIA:
            ours, theirs = (_cells(setting, share, name, by) for by in ("ours", THEIRS))
            for by, some in (("ours", ours), (THEIRS, theirs)):
                one = found.of(some[0])
                values = [found.values(some, when) for when in ("before", "after")]
                best.setdefault(share, {}).setdefault(by, [])
                if not best[share][by] or sum(values[1]) > sum(best[share][by]):
                    best[share][by] = values[1]
                gone = share_of(1 - one["macs"] / one["original"]["macs"], 1)
                speed = speed_text(found.ratio(whole, some[0]))
                shown = (share_of(share), name, by, gone, f"{one['params']:,}", speed)
                table.rows.append((*shown, *(percent(some) for some in values)))
            gap = difference(found.values(ours, "after"), found.values(theirs, "after"))
            finding.statements.append(
                Statement(f"{share_of(share)}, {name}: at least as good", no_worse(gap), str(gap))
            )
            dots = [
                dot(found.values(ours, "after"), "ours", "ours"),
                dot(found.values(theirs, "after"), "other", THEIRS),
            ]
            plot.rows.append((f"{share_of(share)} {name}", dots))
            pair = found.ratio(theirs[0], ours[0])
            if pair:
                text = f"{share_of(share)}, {name}: no slower"
                finding.statements.append(
                    Statement(text, not_slower(pair), f"{speed_text(pair)} of its speed", timed=True)
                )
        gap = difference(best[share]["ours"], best[share][THEIRS])
        finding.statements.append(
            Statement(f"{share_of(share)}, the best of each: at least as good", no_worse(gap), str(gap))
        )
    finding.tables += [table, _heads_table(setting, found)]
    finding.plots.append(plot)
    return finding


def _heads_table(setting: Setting, found: Found) -> Table:
    """What happened when Torch-Pruning was asked for half of the heads of the vision transformer."""
    table = Table(
        "Torch-Pruning asked for 50 % of the heads of vit-tiny",
        ("asked", "heads left", "embedding", "what happened", "top-1 before", "top-1 after"),
    )
    for name, way in found.of(_heads(setting))["ways"].items():
        said = way.get("crashed", "ran")
        if "crashed_again" in way:
            said += f"; after the patch by hand: {way['crashed_again']}"
        elif way.get("patched"):
            said += "; ran after its head count and head size were patched by hand"
        elif way.get("heads") and way["params"] == way["original"]["params"]:
            said = "nothing was removed, and nothing said so"
        figures = [percent([way[when]]) if when in way else "" for when in ("before", "after")]
        table.rows.append((name, " ".join(map(str, way.get("heads", []))), str(way.get("width", "")), said, *figures))
    return table
