"""What can go wrong while a release is packaged for phones."""

from __future__ import annotations

from edgewright.errors import EdgewrightError


class NoIdentifier(EdgewrightError):
    """A model, or a group of models, whose name gives no identifier in the language of an app."""


class NotPackaged(EdgewrightError):
    """A model that no wrapper can be written for: several inputs, an open shape, pre-processing that means nothing."""


class MovingVersion(EdgewrightError):
    """A version that Maven takes for one whose content changes."""


class NotCompiled(EdgewrightError):
    """The JDK that is there does not compile the wrapper."""


class NotConverted(EdgewrightError):
    """coremltools does not take the network, or what it made is not what was asked of it."""
