"""How jobs and devices ended, in the words of a night's record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from device_agents.errors import DeviceBusy, DeviceError
from device_agents.farm.inventory import HOST, STAND_IN
from device_agents.farm.night.record import DONE, DeviceState, Night
from device_agents.farm.night.retry import patience_with
from device_agents.farm.report import Report
from device_agents.farm.reserve import DeviceReserved
from edgewright.errors import EdgewrightError


def filed(report: Report) -> dict[str, object]:
    """A job's fields by the report that it gave."""
    if not report.valid:
        name = str(report.device.get("name"))
        remedy = f"./inv devices.doctor {HOST if name.startswith(STAND_IN) else name}"
        return {"state": "invalid", "report": report.id, "problem": "; ".join(report.problems), "remedy": remedy}
    return {"state": "measured", "report": report.id, "problem": failures(report), "remedy": None}


def failures(report: Report) -> str | None:
    """The variants of a report that failed, and how."""
    return "; ".join(f"{one['name']}: {one['error']}" for one in report.results if one["error"]) or None


def said(error: BaseException | None) -> tuple[str | None, str | None]:
    """(problem, remedy) of a failure."""
    if isinstance(error, EdgewrightError):
        return error.what, error.remedy or None
    return (None, None) if error is None else (f"{type(error).__name__}: {error}", None)


def state_by(error: BaseException | None) -> DeviceState:
    """What a device is called that could not be opened so."""
    if isinstance(error, DeviceReserved):
        return "reserved"
    if isinstance(error, DeviceBusy):
        return "busy"
    passes = isinstance(error, DeviceError) and patience_with(error) is not None
    return "unreachable" if passes else "unfit"


def failed_devices(night: Night, innocent: Collection[str] = ()) -> dict[str, tuple[str, bool]]:
    """Devices to hold something against: why, and whether none of their jobs worked.

    innocent: ids of jobs that failed by no fault of their device.
    """
    failed = [job for job in night.jobs if job.state == "failed" and job.id not in innocent]
    tried = Counter(job.device for job in night.jobs if job.state in ("failed", *DONE, "invalid"))
    broke = Counter(job.device for job in failed)
    found = {}
    for device in night.devices:
        name = device.name
        if device.state in ("died", "unreachable"):
            found[name] = (device.problem or device.state, not device.measured)
        elif device.state == "healthy" and broke[name]:
            last = next(job.problem for job in reversed(failed) if job.device == name)
            found[name] = (last or "its jobs failed", broke[name] == tried[name])
    return found
