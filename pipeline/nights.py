"""`ledger.verdicts`: every series of the ledger judged over its nights."""

from __future__ import annotations

import json
from collections.abc import Sequence

from device_agents.farm.series.verdict import SeriesVerdict
from pipeline.ledger import open_ledger
from pipeline.nightly.judging import is_regression, judged
from pipeline.project import Project
from pipeline.table import aligned, plain


def verdicts(model: str | None, target: str | None, device: str | None, everything: bool, as_json: bool) -> bool:
    """Prints what there is to say of the chosen series; whether a model got worse in the newest nights of any, which a
    device that got slower as a whole is not.

    All series of the ledger are judged together, so that the correction for their number holds whatever is shown.
    """
    with open_ledger(Project.here()) as ledger:
        found = judged(ledger)
        where = ledger.where
    chosen = [
        one
        for one in found
        if model in (None, one.key.model) and target in (None, one.key.target) and device in (None, one.key.device)
    ]
    if as_json:
        print(json.dumps([one.to_json() for one in chosen], indent=2))
    else:
        print("\n".join(text(chosen, everything)))
        print(f"  {len(chosen)} series judged, of {len(found)} in {where}")
    return any(is_regression(one) for one in chosen)


def text(verdicts: Sequence[SeriesVerdict], everything: bool) -> list[str]:
    """A row a series, worst first, and a sentence below for each that isn't the same; everything: rows for all."""
    shown = sorted(
        (one for one in verdicts if everything or one.verdict != "same" or one.changes),
        key=lambda one: (not one.worse, one.verdict == "same", one.key.model, one.key.variant, one.metric),
    )
    if not shown:
        return ["  all of them are the same as ever" if verdicts else "  nothing to judge yet"]
    rows = [["model", "variant", "target", "device", "metric", "nights", "verdict"]]
    lines = []
    for one in shown:
        key = one.key
        names = [plain(name) for name in (key.model, key.variant, key.target, key.device)]
        rows.append([*names, one.metric.replace("_", " "), str(one.nights), one.verdict])
        if one.verdict != "same" or one.changes:
            lines.append(f"  {plain(key.variant)} on {plain(key.device)}, {one.metric}: {plain(one.reason)}")
    return [*aligned(rows), *lines]
