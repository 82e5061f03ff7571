"""Releases: from an accepted bundle to a folder that an app depends on, trusts and can make again to the bit."""
