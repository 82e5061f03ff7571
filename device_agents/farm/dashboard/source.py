"""Where the dashboard's content comes from: the ledger, the nights' records and the benches' files."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from device_agents.farm.ledger.ledger import Ledger
from device_agents.farm.night.record import Night


@dataclass(frozen=True)
class Source:
    """What `build` shows. nights: oldest first; purposes: of the reports that make the series; benches: the folder of
    their JSON; verdicts: of all series of these purposes, each of its newest board (series/boards.py), as
    SeriesVerdict.to_json gives them; None to judge here."""

    ledger: Ledger
    nights: Sequence[Night]
    purposes: Collection[str]
    benches: Path
    verdicts: Sequence[dict[str, Any]] | None = None
