"""What can go wrong with the ledger: one small class per kind, each naming the next command."""

from __future__ import annotations

from device_agents.errors import DeviceError


class LedgerAddressError(DeviceError):
    """The ledger's URL is none, or of a database that can't hold a ledger."""


class LedgerUnavailable(DeviceError):
    """The database doesn't answer, is locked, or its disk is full. It may be back in a while: trying again is right."""


class LedgerDamaged(DeviceError):
    """What lies there is no ledger, or no database at all."""


class LedgerTooNew(DeviceError):
    """A later Edgewright has changed the ledger's tables; this one must not write into them."""


class ReportConflict(DeviceError):
    """The ledger has another report under the same id."""


class BadReport(DeviceError):
    """What should be filed hasn't the shape of a report."""


class NotInLedger(DeviceError):
    """The ledger has no such report or bundle."""


class ReportNotKept(DeviceError):
    """A finished report could be written neither as a file nor into the ledger."""


class BadExchangeFile(DeviceError):
    """A file to import that can't be read, or one line of which is no report. Nothing of it was imported."""
