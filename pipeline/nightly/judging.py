"""The verdicts on nights: over which reports, and which of them say that a model got worse."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from device_agents.farm.series import judge
from device_agents.farm.series.boards import of_newest_boards
from device_agents.farm.series.verdict import SeriesVerdict

if TYPE_CHECKING:
    from device_agents.farm.ledger.ledger import Ledger

PURPOSES = ("deploy", "nightly")
"""What a series is made of: what is measured by hand may be an old bundle, which would look like a change."""


def judged(ledger: Ledger) -> list[SeriesVerdict]:
    """A verdict on every metric of every series of the ledger: together, so that the correction for their number holds
    whatever is shown of them."""
    return judge(of_newest_boards(ledger.series(purposes=PURPOSES)))


def of_reports(verdicts: Collection[SeriesVerdict], reports: Collection[str]) -> list[SeriesVerdict]:
    """Those whose newest night is one of these reports."""
    return [one for one in verdicts if one.report in reports]


def is_regression(verdict: SeriesVerdict) -> bool:
    """Whether the model got worse in the newest nights, which a device that got slower as a whole is not."""
    return verdict.worse and verdict.blamed != "device"
