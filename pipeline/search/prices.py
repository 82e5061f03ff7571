"""Prices of layers on this device: measured one by one where that is possible, else by rule of thumb."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pipeline.search.looking import Looking
from pipeline.search.notes import Notes
from pipeline.search.pricing import Prices, Thumb, Way
from pipeline.search.space import Choice, Space

if TYPE_CHECKING:
    from device_agents.farm.opening import AnyDevice
    from pipeline.costs.layers import Layer

AT_ONCE = 12
"""Layers that are asked for together; between two lots the time is looked at."""
NOTE = "costs"


@dataclass
class Measured:
    """A table of costs. Where it lacks a kind of layer the rule of thumb answers, brought to the table's scale; for all
    networks, where the table can't say what the whole one takes."""

    table: Prices
    thumb: Thumb

    def __post_init__(self) -> None:
        whole = self.thumb.whole
        self._scales = {
            precision: told / self.thumb.predict(whole, precision)
            for precision in self.thumb.ms
            if (told := self._told(whole, precision)) is not None
        }

    def predict(self, layers: Sequence[Layer], precision: str) -> float:
        scale = self._scales.get(precision)
        told = self._told(layers, precision) if scale is not None else None
        return self.thumb.predict(layers, precision) * (scale or 1.0) if told is None else told

    def _told(self, layers: Sequence[Layer], precision: str) -> float | None:
        from pipeline.costs.table import NotMeasured

        try:
            return self.table.predict(layers, precision)
        except NotMeasured:
            return None


def prices_for(
    space: Space, ways: Sequence[Way], looking: Looking, alignment: int, seconds: float, notes: Notes
) -> tuple[Mapping[str, Prices], int, list[str]]:
    """(prices by runtime, how many layers were measured, warnings).

    What an earlier search measured on the device costs nothing. What was known when this search began to propose is
    noted: it goes on with that, whatever others measure meanwhile. Raises DeviceError, ReportNotKept.
    """
    from pipeline.costs.table import CostTable

    content: dict[str, Any] = notes.once(NOTE, lambda: _measured(space, ways, looking, alignment, seconds, notes))
    prices, entries = dict[str, Prices](), 0
    for runtime, thumb in rule_of_thumb(space, ways).items():
        prices[runtime] = thumb
        if runtime in content["tables"]:
            table = CostTable.from_json(content["tables"][runtime])
            entries += len(table.entries)
            prices[runtime] = Measured(table, thumb)
    return prices, entries, list(content["warnings"])


def rule_of_thumb(space: Space, ways: Sequence[Way]) -> dict[str, Thumb]:
    """Prices by runtime from the trained network's own times."""
    found: dict[str, dict[str, float]] = {}
    for way in ways:
        found.setdefault(way.runtime, {})[way.precision] = way.ms
    return {runtime: Thumb(space.left(Choice()), times) for runtime, times in found.items()}


def _measured(
    space: Space, ways: Sequence[Way], looking: Looking, alignment: int, seconds: float, notes: Notes
) -> dict[str, Any]:
    from pipeline.costs.measure import CostsNotMeasured

    tables, warnings = {}, []
    until = notes.spent_s + seconds
    with looking.bench.open() as device:
        for runtime in dict.fromkeys(way.runtime for way in ways):
            precisions = [way.precision for way in ways if way.runtime == runtime]
            try:
                tables[runtime] = _table(space, looking, device, runtime, precisions, alignment, until, notes)
            except CostsNotMeasured as error:
                warnings.append(f"{runtime}: costs by rule of thumb: {error.what.partition(';')[0]}")
    return {"tables": tables, "warnings": warnings}


def _table(
    space: Space,
    looking: Looking,
    device: AnyDevice,
    runtime: str,
    precisions: Sequence[str],
    alignment: int,
    until: float,
    notes: Notes,
) -> dict[str, Any]:
    """The table of one runtime as JSON: the whole network's own layers first, then the grid around them."""
    from pipeline.costs.measure import SHORT, CostsNotMeasured, measure_costs
    from pipeline.costs.points import grid, points

    anyway = replace(SHORT, refuse=False)  # a busy device is said at the end; what is chosen is measured again
    told = next(one for one in looking.target.runtime if one.name == runtime)
    own = list(dict.fromkeys(space.left(Choice())))
    around = [layer for layer in grid(space.operations, space.groups, alignment) if layer not in set(own)]
    wanted = [
        one
        for layers in (own, around)
        for precision in precisions
        for one in points(space.operations, layers, precision)
    ]
    wanted = list(dict.fromkeys(wanted))
    table = measure_costs(looking.bench, device, wanted[:AT_ONCE], told, protocol=anyway)
    for start in range(AT_ONCE, len(wanted), AT_ONCE):
        notes.tick()
        lot = wanted[start : start + AT_ONCE]
        known = {one.key for one in table.entries}
        if notes.spent_s > until and not known.issuperset(lot):
            break
        try:
            table = measure_costs(looking.bench, device, lot, told, protocol=anyway)
        except CostsNotMeasured:
            break  # what was measured until then counts
    asked = {layer for layer, _ in wanted}
    content = table.to_json()
    content["entries"] = [one.to_json() for one in table.entries if one.layer is None or one.layer in asked]
    return content
