"""What can go wrong between this machine and a device: one small class per kind, each naming the next command."""

from __future__ import annotations

from typing import Any

from edgewright.errors import EdgewrightError


class DeviceError(EdgewrightError):
    """The base of every error of the device side."""


class FarmFileError(DeviceError):
    """farm.toml can't be read as it is: bad TOML, an unknown key, a value that doesn't fit."""


class UnknownDevice(DeviceError):
    """No device of that name in farm.toml."""


class WrongTarget(DeviceError):
    """The named device is of another target's kind."""


class DeviceUnreachable(DeviceError):
    """Closed port, no answer, a name that doesn't resolve, or no SSH server behind the port."""


class UnknownHostKey(DeviceError):
    """The device's host key is in no known_hosts file."""


class HostKeyChanged(DeviceError):
    """The device shows another host key than the pinned one."""


class AuthenticationFailed(DeviceError):
    """The device refuses every key we have."""


class LinkLost(DeviceError):
    """The connection broke, or went silent, in the middle of something."""


class EndlessOutput(DeviceError):
    """A command on the device writes more, or a longer line, than any of ours does."""


class NoPython(DeviceError):
    """The device has no Python that runs, or one that is too old for the agent."""


class NoRoom(DeviceError):
    """The device's disk is too full."""


class DeviceFolderError(DeviceError):
    """The agent's folder on the device can't be made or written."""


class PushFailed(DeviceError):
    """A file could not be written on the device, or arrived other than it was sent."""


class BundleError(DeviceError):
    """A bundle folder is missing, incomplete, or not what its manifest says."""


class RuntimeUnavailable(DeviceError):
    """There is no wheel of a runtime for the device's Python, machine or C library, or it can't be fetched."""


class NotFetched(DeviceError):
    """Wheels that exist could not be fetched: no network, no pip. Says nothing about the device."""


class DeviceBusy(DeviceError):
    """Another job holds the device's lock."""

    def __init__(self, what: str, *, where: str = "", remedy: str = "", holder: dict[str, Any] | None = None) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.holder = holder or {}


class AgentLost(DeviceError):
    """The agent ended without its closing marker: it was killed, or the device went down."""


class DeviceRestarted(AgentLost):
    """The device restarted in the middle of a job."""


class AgentGarbled(DeviceError):
    """What comes from the device is not what an agent writes: too much of it is strange, or it never began."""


class AgentFailed(DeviceError):
    """The agent says that it could not do what it was asked."""


class CommandTimedOut(DeviceError):
    """A command on the device took longer than it may."""
