"""A cell that cuts a trained network, by our own shrink() or by Torch-Pruning, and fine-tunes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.pruning.schedule import share_gone
from pipeline.pruning.shrink import Outcome, Wish, shrink
from tests.bench.pruning.cells import MODEL
from tests.bench.pruning.work.lab import Lab, first

if TYPE_CHECKING:
    from torch import nn

    from models.data.parts import Part


def base(lab: Lab, what: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """The trained network itself: what all others are compared with."""
    net = lab.trained()
    test = lab.accuracy(net, first(lab.parts.test, what["test"]))
    return {**lab.size(net), "after": test, **(lab.export(net, out / MODEL) if what["onnx"] else {})}


def pruned(lab: Lab, what: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """what: by (ours | torch-pruning), criterion, cut ({macs|params|filters|heads: share}), skip (module prefixes),
    rounds (epochs after each), taught, train, test, evidence (samples), seed, onnx (leave the file).

    Gives sizes, what went (units), accuracy on test before fine-tuning (as cut; and with the batch norms' statistics
    taken anew) and after it, and on validation after.
    """
    validation = first(lab.parts.validation, what["validation"])
    part, test = first(lab.parts.train, what["train"]), first(lab.parts.test, what["test"])
    net = lab.trained()
    schedules = [lab.schedule(epochs) for epochs in what["rounds"]]
    teacher = lab.teacher(part, schedules[0]) if what["taught"] else None
    figures: dict[str, Any] = {"original": lab.size(net), "had_heads": lab.heads(net)}
    units: dict[str, list[Any]] = {}
    for number, schedule in enumerate(schedules, 1):
        if what["by"] == "ours":
            outcome = _cut(lab, net, part, what, number)
            for name, (kind, before, after) in outcome.units.items():
                units[name] = [kind, units.get(name, [kind, before])[1], after]
            figures["left_alone"] = outcome.left_alone
        else:
            from tests.bench.pruning.work import peer

            net, said = peer.cut(lab, net, part, what)
            figures |= said
        if number == len(schedules):
            figures["before"] = lab.accuracy(net, test)
            normed = lab.recalibrated(net, part, what["evidence"])
            figures["recalibrated"] = figures["before"] if normed is None else lab.accuracy(normed, test)
        if schedule.epochs:
            lab.fine_tune(net, part, schedule, what["seed"], validation, teacher)
    figures |= {**lab.size(net), "units": units, "heads": lab.heads(net), "validation": lab.accuracy(net, validation)}
    figures["after"] = lab.accuracy(net, test)
    return figures | (lab.export(net, out / MODEL) if what["onnx"] else {})


def _cut(lab: Lab, net: nn.Module, part: Part, what: Mapping[str, Any], number: int) -> Outcome:
    """One round with our own parts; the share that has gone after round `number` grows linearly."""
    rounds = len(what["rounds"])
    ((kind, final),) = what["cut"].items()
    share = share_gone(final, number, rounds)
    asked: dict[str, Any] = {"budget": (kind, share)} if kind in ("macs", "params", "bytes") else {kind: share}
    if kind != "heads":
        asked["structures"] = ("filters",)
    wish = Wish(
        **asked,
        criterion=what["criterion"],
        ranking=what.get("ranking", "local"),
        min_width=1,
        skip=tuple(what["skip"]),
        final=number == rounds,
    )
    start = lab.initial() if what["criterion"] == "displacement" else None
    return shrink(net, lab.trained(), lab.example, wish, lab.evidence(part, what["evidence"], what["seed"], start))
