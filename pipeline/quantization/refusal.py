"""Why a network was not quantised: one class for each thing that can be done about it."""

from __future__ import annotations

from edgewright.errors import EdgewrightError


class NotQuantisable(EdgewrightError):
    """The quantiser refused the model, or no layer of it can be quantised within the recipe's bounds."""


class BadCalibration(NotQuantisable):
    """Calibration samples that no ranges can be taken from."""


class OutOfBounds(NotQuantisable):
    """INT8 breaks the recipe's bounds however few layers it is of."""


class AlreadyQuantised(NotQuantisable):
    """A file that is to be quantised and has been."""
