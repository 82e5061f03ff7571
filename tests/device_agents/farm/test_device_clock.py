"""A device whose clock is wrong by years, as of a board without a battery: its times are shown, and nothing more."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from device_agents.connect.local import base_python
from device_agents.errors import DeviceBusy
from device_agents.farm.device import open_device
from device_agents.farm.inventory import stand_in
from device_agents.farm.recovery import REPORTS
from device_agents.farm.report import now
from tests.device_agents.farm.jobs import Make, quick_job

pytestmark = pytest.mark.slow

# Runs `python -I agent.pyz ...` with a clock of 1999; anything else as it is.
_BOOT = """
import runpy, sys, time
real = time.strftime
time.time = lambda: 920_000_000.0
time.strftime = lambda text, given=None: real(text, time.localtime(920_000_000))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_clock_that_is_wrong_by_years_orders_nothing(bundle: Make, cache: Path, tmp_path: Path) -> None:
    python = tmp_path / "python"
    real = shlex.quote(base_python())
    python.write_text(
        f'#!/bin/sh\ncase "$2" in *.pyz) shift; exec {real} -I -c {shlex.quote(_BOOT)} "$@";; esac\nexec {real} "$@"\n'
    )
    python.chmod(0o755)
    entry = stand_in("raspberry-pi").model_copy(update={"python": str(python), "root": str(tmp_path / "root")})
    state = tmp_path / "state"
    before = now()
    since: list[str] = []

    with open_device(entry, state=state, cache=cache) as device, open_device(entry, state=state, cache=cache) as other:
        assert device.probe()["state"]["clock_set"] is False
        job = quick_job(device, bundle(), settle_s=0.0)

        def look(event: dict[str, Any]) -> None:
            if event["kind"] == "block" and not since:
                since.append(json.loads(Path(device.root, "lock").read_text())["since"])
                with pytest.raises(DeviceBusy, match="since 1999-02-26"):
                    other.measure(job)

        # Seconds long, so that it still runs when the other's agent has started, on a busy machine too.
        first = device.measure(job.model_copy(update={"blocks": 24, "block_seconds": 0.25}), look)
        second = device.measure(job)
    assert since[0].startswith("1999-02-26")
    for report in (first, second):
        assert report.results[0]["error"] is None and report.results[0]["blocks"]
        assert before <= report.started <= report.finished <= now()
        report.write(state / REPORTS)
    assert sorted(path.stem for path in (state / REPORTS).iterdir()) == sorted([first.id, second.id])
    assert first.id[:16] <= second.id[:16]
