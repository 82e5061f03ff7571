"""How large the bench is: the full one, and the quick one that shows that everything runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Setting:
    """devices, bundles: of the real night, in which each bundle is a model of its own; call_ms: what a call takes
    there; many, each: devices of the simulated night, and bundles for each; nights: of the ledger whose pages are
    written."""

    name: str
    devices: int
    bundles: int
    call_ms: float
    many: int
    each: int
    nights: int


# A call is long enough for a job to be device-bound: a device waits for its accelerator for several times as long as
# this machine needs to start its processes, as a device with a processor of its own would.
FULL = Setting("full", devices=8, bundles=4, call_ms=60.0, many=1000, each=10, nights=365)
QUICK = Setting("quick", devices=2, bundles=1, call_ms=4.0, many=20, each=2, nights=16)
