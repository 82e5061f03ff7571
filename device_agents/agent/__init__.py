"""The program on the device: standard library only, Python 3.8 and later; device_agents.pack makes one zipapp of it."""

__version__ = "1"
