"""The search with the device in the loop: how much of which layer goes, decided by measured time and metric."""

from __future__ import annotations

from pipeline.search.constraints import Constraints
from pipeline.search.found import Found
from pipeline.search.search import run

__all__ = ["Constraints", "Found", "run"]
