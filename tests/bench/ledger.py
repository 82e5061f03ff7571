"""What the ledger costs: time to append and to ask, bytes on the disk. `python -m tests.bench.ledger [--postgres]`.

Reports of about 20,000 samples each are filed until there are as many as asked for, then the questions that the tasks
ask are asked. `--encodings` compares ways to write a block's samples instead.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import tempfile
import time
import zlib
from array import array
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from device_agents.farm.ledger.ledger import Ledger
from device_agents.farm.ledger.samples import pack, unpack
from device_agents.farm.report import Report
from tests.device_agents.farm.sample import SHAPES, make_blocks, make_report
from tests.doubles.postgres import Postgres, database_of

_SHAPES, _PROCESSES, _ROUNDS, _SAMPLES = 6, 3, 8, 139  # 20,016 samples


def _report(number: int) -> Report:
    content = make_report(SHAPES[:_SHAPES], stand_in=False, samples=_SAMPLES, rounds=_ROUNDS, processes=_PROCESSES)
    del content["schema"]
    for result in content["results"]:
        level = median(block["samples_ns"][0] for block in result["blocks"]) / 1e6
        result["blocks"] = make_blocks(level, samples=_SAMPLES, rounds=_ROUNDS, seed=f"{number} {result['name']}")
    return Report(**content | {"id": f"r{number:06d}"})


def _timed(work: Callable[[], Any], times: int = 5) -> float:
    """Median seconds of several runs."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        taken.append(time.perf_counter() - began)
    return median(taken)


def _measure(name: str, url: str | None, state: Path, samples: int, size: Callable[[], int]) -> None:
    appends: list[float] = []
    with Ledger.open(url, state) as ledger:
        empty = size()
        each = _SHAPES * _PROCESSES * _ROUNDS * _SAMPLES
        for number in range(-(-samples // each)):
            report = _report(number)
            began = time.perf_counter()
            ledger.append(report)
            appends.append(time.perf_counter() - began)
    filed = len(appends) * each

    def opened() -> None:
        with Ledger.open(url, state) as again:
            again.reports(limit=20)

    with Ledger.open(url, state) as ledger:
        tenth = max(1, len(appends) // 10)
        middle = f"r{len(appends) // 2:06d}"
        print(f"{name}: {filed:,} samples in {len(appends)} reports")
        for label, seconds in (
            ("append, the first tenth", median(appends[:tenth])),
            ("append, the last tenth", median(appends[-tenth:])),
            ("append, the slowest", max(appends)),
            ("open and list 20", _timed(opened)),
            ("list all", _timed(ledger.reports)),
            ("one report with its samples", _timed(lambda: ledger.report(middle))),
            ("one model's series", _timed(lambda: ledger.series(model="resnet20"))),
            ("bundles of a variant", _timed(lambda: ledger.bundles("resnet20", "raspberry-pi", "int8"))),
        ):
            print(f"  {label:<28} {seconds * 1e3:8.1f} ms")
    grown = size() - empty
    print(f"  {'on the disk':<28} {grown / filed:8.2f} bytes a sample ({grown / len(appends) / 1024:.1f} KiB a report)")


def _encodings() -> None:
    """Bytes and time a sample of each way, a block at a time."""

    def deltas(samples: list[int]) -> bytes:
        steps = [samples[0], *(b - a for a, b in itertools.pairwise(samples))]
        return zlib.compress(array("q", steps).tobytes())

    ways: dict[str, Callable[[list[int]], bytes]] = {
        "JSON, zlib": lambda samples: zlib.compress(json.dumps(samples).encode()),
        "int64, zlib": lambda samples: zlib.compress(array("q", samples).tobytes()),
        "int64 deltas, zlib": deltas,
        "above the least, shuffled": pack,
    }
    for ms in (0.06, 5.0):
        blocks = [one["samples_ns"] for one in make_blocks(ms, samples=_SAMPLES, processes=18, seed="encodings")]
        count = sum(map(len, blocks))
        print(f"samples of {ms} ms, {len(blocks)} blocks of {_SAMPLES}")
        for name, way in ways.items():
            size = sum(len(way(block)) for block in blocks)
            seconds = _timed(lambda way=way, blocks=blocks: [way(block) for block in blocks])  # type: ignore[misc]
            print(f"  {name:<28} {size / count:8.2f} bytes a sample {seconds / count * 1e9:8.0f} ns a sample")
        packed = [pack(block) for block in blocks]
        back = _timed(lambda packed=packed: [unpack(one) for one in packed])  # type: ignore[misc]
        print(f"  {'  and back':<28} {'':>23} {back / count * 1e9:8.0f} ns a sample")


def main() -> None:
    """Prints one table a database."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--postgres", action="store_true", help="in a PostgreSQL of its own (without fsync) too")
    parser.add_argument("--encodings", action="store_true")
    given = parser.parse_args()
    random.seed(0)
    if given.encodings:
        _encodings()
        return
    with tempfile.TemporaryDirectory(prefix="edgewright-ledger-") as folder:
        state = Path(folder)

        def on_disk() -> int:
            return sum(path.stat().st_size for path in state.iterdir() if not path.name.endswith(("-wal", "-shm")))

        _measure("SQLite", None, state, given.samples, on_disk)
        if given.postgres:
            with Postgres() as server:
                url = server.new_database()

                def of_database() -> int:
                    server.query(database_of(url), "VACUUM ANALYZE")
                    ((size,),) = server.query("postgres", f"SELECT pg_database_size('{database_of(url)}')")
                    assert isinstance(size, int)
                    return size

                _measure("PostgreSQL", url, state, given.samples, of_database)


if __name__ == "__main__":
    main()
