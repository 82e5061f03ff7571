"""Why a release can't be rolled out to a device, or wasn't kept there."""

from __future__ import annotations

from device_agents.errors import DeviceError


class NoRolloutThere(DeviceError):
    """A phone by adb has no Python: nothing there could check a release, switch to it, or go back."""


class ReleaseRefused(DeviceError):
    """The device does not take the release: not whole, not signed by a key that it trusts, or no name for a folder."""


class RolloutBusy(DeviceError):
    """Another rollout is at work on the device."""


class RolloutUnderWay(DeviceError):
    """The same rollout is being gone on with by another process."""


class ReleaseChanged(DeviceError):
    """The release's folder on this machine is no longer what was checked when the rollout began."""


class TrialLost(DeviceError):
    """The process that held a release on trial ended by itself; the device goes back to the release before."""


class RecordUnreadable(DeviceError):
    """A rollout's record is damaged, or of another version."""


class RecordNotWritten(DeviceError):
    """A rollout's record can't be written, so the rollout does not go on."""


class NothingToResume(DeviceError):
    """No rollout of this release, or none at all, is unfinished."""
