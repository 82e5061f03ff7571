"""The program on the device: standard library only, Python 3.8 and later, packed into one zipapp by device_agents.pack."""

__version__ = "1"
