"""Why no release is made, or can't be read: one small class per kind, each naming the next command."""

from __future__ import annotations

from edgewright.errors import EdgewrightError


class BadVersion(EdgewrightError):
    """No semantic version, or none that may come next."""


class VersionExists(EdgewrightError):
    """A release of that version is there, with other content."""


class MajorDemanded(EdgewrightError):
    """The model takes or gives something else than the newest release does, and the version doesn't say so."""


class Unmeasured(EdgewrightError):
    """No valid report of a real device says how the bundle did."""


class NoSample(EdgewrightError):
    """No evaluation sample can be run through the bundle here, so nothing could be checked on a device."""


class NotWritten(EdgewrightError):
    """A release can't be written, or old ones not removed."""


class NoRelease(EdgewrightError):
    """A folder holds no release, or one that can't be read."""
