"""The dashboard of a year: eight devices, eight bundles, a report a model and device every night."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from device_agents.farm.dashboard import Built
from device_agents.farm.figures import show_bytes, show_seconds
from device_agents.farm.ledger.address import FILE
from device_agents.farm.ledger.ledger import Ledger
from device_agents.farm.night.record import Night
from device_agents.farm.report import Report
from pipeline.project import Project
from tests.bench.night.found import Found
from tests.bench.night.setting import Setting
from tests.device_agents.farm.dashboard import year

TITLE = "The dashboard of a year"
DEVICES, VARIANTS = 8, 4
PARTS = ("reports", "samples", "series", "months")
_BATCH = 200

T = TypeVar("T")


def run(setting: Setting, project: Project) -> Found:
    """Pages from nothing before the last night, then after it, then with nothing new."""
    farm = year.Farm(nights=setting.nights, devices=DEVICES, variants=VARIANTS, warm=setting.nights // 2)
    made, nightly = year.reports(farm), DEVICES * len(year.MODELS)
    with tempfile.TemporaryDirectory(prefix="edgewright-night-") as name, Ledger.open(None, Path(name)) as ledger:
        state, out = Path(name), Path(name, "dashboard")
        filed = _file(ledger, islice(made, (setting.nights - 1) * nightly))
        times = {"from_nothing_s": _timed(lambda: year.pages(ledger, out))[0]}
        filed += _file(ledger, made)
        last = year.night(ledger, farm)
        times["one_more_night_s"], built = _timed(lambda: year.pages(ledger, out, last))
        times["nothing_new_s"] = _timed(lambda: year.pages(ledger, out, last))[0]
        sizes = {part: _sizes(out / part) for part in PARTS}
        figures: dict[str, Any] = {
            "nights": setting.nights,
            "devices": DEVICES,
            "bundles": VARIANTS * len(year.MODELS),
            "reports": filed,
            **times,
            "ledger_bytes": (state / FILE).stat().st_size,
            "dashboard_bytes": sum(_sizes(out)),
            "index_bytes": built.index.stat().st_size,
            "files": {part: len(found) for part, found in sizes.items()},
            "bytes": {part: sum(found) for part, found in sizes.items()},
        }
        return Found(figures, _rows(figures, sizes), _problems(last, built, nightly))


def _problems(last: Night, built: Built, nightly: int) -> list[str]:
    problems = [] if built.reports == nightly else [f"{built.reports} new pages for {nightly} new reports"]
    return problems if last.regressions else [*problems, "the planted regression is not on the page"]


def _rows(figures: dict[str, Any], sizes: dict[str, list[int]]) -> list[tuple[str, str]]:
    what = f"{figures['nights']} x {figures['devices']} x {figures['bundles']}, {figures['reports']:,} reports"
    rows = [("nights x devices x bundles", what), ("the ledger", show_bytes(figures["ledger_bytes"]))]
    rows += [("the dashboard", show_bytes(figures["dashboard_bytes"]))]
    rows += [("its first page", show_bytes(figures["index_bytes"]))]
    rows += [
        (f"its {part}", f"{show_bytes(sum(found))} in {len(found):,} files, the largest {show_bytes(max(found))}")
        for part, found in sizes.items()
    ]
    for label, key in (
        ("written from nothing", "from_nothing_s"),
        ("after one more night", "one_more_night_s"),
        ("with nothing new", "nothing_new_s"),
    ):
        rows.append((label, show_seconds(figures[key])))
    return rows


def _file(ledger: Ledger, reports: Iterator[Report]) -> int:
    """Files them in batches; how many."""
    count = 0
    while batch := list(islice(reports, _BATCH)):
        count += ledger.append_all(batch)
    return count


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    began = time.perf_counter()
    found = work()
    return round(time.perf_counter() - began, 2), found


def _sizes(folder: Path) -> list[int]:
    return [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
