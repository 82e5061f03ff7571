"""What this same night has measured before it was cut off: the reports themselves say so, whatever its record does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from device_agents.errors import DeviceError
from device_agents.farm.report import Report
from pipeline.nightly.child import Variant


class Known:
    """The night's reports by device and model, the newest counts."""

    def __init__(self, reports: Iterable[Report]) -> None:
        self._reports = {
            (str(report.device.get("name")), report.model, report.target): report
            for report in reports
            if report.valid and report.purpose == "nightly"
        }

    @classmethod
    def since(cls, state: Path, night: str) -> Known:
        """What was filed since a night began, by its id: both ids begin with the time of this machine's clock."""
        found = []
        for path in sorted((state / "reports").glob("*.json")):
            if path.name >= night:
                try:
                    found.append(Report.read(path))
                except DeviceError:
                    continue  # damaged: it is measured again
        return cls(found)

    def find(
        self, device: str, identity: str | None, model: str, target: str, wanted: Mapping[str, Variant]
    ) -> Report | None:
        """The report over these very bundles from that very board; runtimes that it can't have may be missing."""
        report = self._reports.get((device, model, target))
        if report is None or report.device.get("identity") != identity:
            return None
        measured = {result["name"]: result["bundle"] for result in report.results}
        runtimes = {result["runtime"]["name"] for result in report.results}
        # What was left out was so with its whole runtime; else the plan has grown since.
        same = {name: one.digest for name, one in wanted.items() if one.runtime in runtimes}
        return report if measured and measured == same else None
