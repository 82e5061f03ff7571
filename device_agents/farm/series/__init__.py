"""Series: the same thing measured night after night, and when it changed. `judge` is the entry; the replay finds the
changes, blame says who made them.
"""

from device_agents.farm.series.judge import METRICS, judge
from device_agents.farm.series.settings import Settings
from device_agents.farm.series.verdict import Cause, Change, ChangePoint, SeriesVerdict

__all__ = ["METRICS", "Cause", "Change", "ChangePoint", "SeriesVerdict", "Settings", "judge"]
