"""`./inv bench.verdicts`: the verdicts' error rates, measured: A/B on real processes, series on simulated nights."""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path

from edgewright.files import write_atomically
from tests.bench.verdicts import ab, series

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
"""


def main() -> None:
    """Prints the page; writes it and the raw trials where it is told to."""
    parser = argparse.ArgumentParser(prog="./inv bench.verdicts", description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--only", choices=["ab", "series"])
    parser.add_argument("--out", type=Path, help="the page; the trials go beside it as .json")
    given = parser.parse_args()
    raw = {}
    texts = {"ab": "(left out)", "series": "(left out)"}
    for name, part in (("ab", ab), ("series", series)):
        if given.only in (None, name):
            raw[name] = ab.run(given.quick, given.trials) if part is ab else series.run(given.quick)
            texts[name] = part.table(raw[name])
    words = " with --quick" if given.quick else ""
    machine = f"{os.cpu_count()} cores ({platform.machine()})"
    page = _HEAD.format(words=words, machine=machine, **texts)
    print(page)
    if given.out:
        write_atomically(given.out, page.encode())
        write_atomically(given.out.with_suffix(".json"), json.dumps(raw).encode())


if __name__ == "__main__":
    main()
