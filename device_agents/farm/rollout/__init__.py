"""Releases over the air: sent, put together and switched to on a device, kept or rolled back; and what a fleet has."""
