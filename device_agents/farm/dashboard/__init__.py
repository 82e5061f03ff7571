"""The farm's dashboard: static pages made of the ledger and of the nights' records. `build` writes them, `open_server`
shows them on the loopback.
"""

from device_agents.farm.dashboard.server import open_server
from device_agents.farm.dashboard.site import Built, build
from device_agents.farm.dashboard.source import Source

__all__ = ["Built", "Source", "build", "open_server"]
