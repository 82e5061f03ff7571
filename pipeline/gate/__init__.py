"""Why a variant does not pay, found out by measurements on the same device, and what to do instead."""

from device_agents.farm.why import Cause
from pipeline.gate.explaining import explain

__all__ = ["Cause", "explain"]
