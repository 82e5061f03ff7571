"""`./inv bench.verdicts`: the verdicts' error rates, measured: A/B on real processes, series on simulated nights."""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

from edgewright.files import write_atomically
from tests.bench.verdicts import ab, real, series

PARTS: dict[str, Any] = {"ab": ab, "series": series}
_HEAD = """# What the verdicts are worth

Written by `./inv bench.verdicts --out docs/verdicts.md`{words}; figures of one run on {machine}.

## A against B, in one session (`./inv compare`)

Real processes on this machine: a stack of 33 equal convolutions of about a millisecond against itself, and against
one with a layer more. "Load beside" is a process that computes in bursts, four tenths of the time; whatever else the
machine had to do ran beside all of them.

{ab}

## Nights in a series (`./inv ledger.verdicts`)

Simulated nights, seeded; a year is 365 of them.

{series}

{real}
"""


def main() -> None:
    """Prints the page; writes it and the raw trials where it is told to, also what there is of them so far."""
    parser = argparse.ArgumentParser(prog="./inv bench.verdicts", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--only", choices=["ab", "series"])
    parser.add_argument("--resume", action="store_true", help="go on from what --out holds of a run that was cut off")
    parser.add_argument("--out", type=Path, help="the page; the trials go beside it as .json")
    given = parser.parse_args()
    raw: dict[str, Any] = {}
    if given.resume and given.out and given.out.with_suffix(".json").exists():
        raw = json.loads(given.out.with_suffix(".json").read_bytes())

    def page() -> str:
        texts = {name: part.table(raw[name]) if name in raw else "(left out)" for name, part in PARTS.items()}
        texts["real"] = real.text(raw["real"]) if "real" in raw else ""
        words = " with `--quick`" if given.quick else f" with `--trials {given.trials}`" if given.trials != 100 else ""
        return _HEAD.format(words=words, machine=f"{os.cpu_count()} cores ({platform.machine()})", **texts)

    def keep(name: str, found: dict[str, Any]) -> None:
        """Hours of trials are not lost where the last of them is cut off."""
        raw[name] = found
        if given.out:
            write_atomically(given.out, page().encode())
            write_atomically(given.out.with_suffix(".json"), json.dumps(raw).encode())

    if given.only in (None, "series") and "series" not in raw:
        keep("series", series.run(given.quick))
    if given.only in (None, "ab"):
        keep("ab", ab.run(given.quick, given.trials, lambda found: keep("ab", found), before=raw.get("ab")))
        keep("real", real.judged(raw["ab"]))
    print(page())


if __name__ == "__main__":
    main()
