"""What can go wrong with the dashboard: one small class per kind."""

from __future__ import annotations

from device_agents.errors import DeviceError


class NotADashboard(DeviceError):
    """The folder to write into holds something else."""


class DashboardNotWritten(DeviceError):
    """The folder can't be made, or its disk is full."""


class PortTaken(DeviceError):
    """Another program listens on the port."""
