"""The phone double's benchmark_model. It is not Google's: it runs the .tflite file with ai_edge_litert on this machine
and prints what it measured in the form of benchmark_model 2.16."""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

_FLAGS = {"graph": "", "num_threads": 1, "warmup_runs": 1, "num_runs": 50}
_SECONDS = {"warmup_min_secs": 0.5, "min_secs": 1.0, "max_secs": 150.0}


def _flags(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmark_model", allow_abbrev=False)
    for name, default in {**_FLAGS, **_SECONDS}.items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    parser.add_argument("--use_xnnpack", default="true")
    parser.add_argument("--report_peak_memory_footprint", default="false")
    given, unknown = parser.parse_known_args(words)
    for word in unknown:
        print(f"WARNING: Unconsumed cmdline flags: {word}", file=sys.stderr)
    return given


def _timed(call: Callable[[], object], runs: int, least_s: float, most_s: float) -> list[float]:
    """Times of the calls in microseconds."""
    times: list[float] = []
    began = time.perf_counter()
    while (len(times) < runs or time.perf_counter() - began < least_s) and time.perf_counter() - began < most_s:
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e6)
    return times


def _stat(times: list[float]) -> str:
    if len(times) == 1:
        return f"count=1 curr={times[0]:.0f}"
    return (
        f"count={len(times)} first={times[0]:.0f} curr={times[-1]:.0f} min={min(times):.0f} max={max(times):.0f} "
        f"avg={statistics.fmean(times):g} std={statistics.pstdev(times):.0f}"
    )


def _resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def main() -> int:
    """The command line; returns the exit status."""
    given = _flags(sys.argv[1:])
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    print(f"INFO: STARTING!\nINFO: Num threads: [{given.num_threads}]\nINFO: Graph: [{given.graph}]", flush=True)
    at_start = _resident_mb()
    kind = OpResolverType.AUTO if given.use_xnnpack == "true" else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    began = time.perf_counter()
    try:
        model = Interpreter(model_path=given.graph, num_threads=given.num_threads, experimental_op_resolver_type=kind)
    except ValueError as error:
        print(f"ERROR: {error}\nERROR: Benchmarking failed.", file=sys.stderr)
        return 1
    model.allocate_tensors()
    seeded = np.random.default_rng(0)
    for wanted in model.get_input_details():
        noise = seeded.random(wanted["shape"])
        model.set_tensor(
            wanted["index"], (noise * (1 if wanted["dtype"] == np.float32 else 99)).astype(wanted["dtype"])
        )
    init_us = (time.perf_counter() - began) * 1e6
    init_mb = _resident_mb() - at_start
    print(f"INFO: Initialized session in {init_us / 1e3:g}ms.")
    warm = _timed(model.invoke, given.warmup_runs, given.warmup_min_secs, given.max_secs)
    print(f"INFO: {_stat(warm)}\n", flush=True)
    times = _timed(model.invoke, given.num_runs, given.min_secs, given.max_secs)
    print(f"INFO: {_stat(times)}\n")
    print(
        f"INFO: Inference timings in us: Init: {init_us:.0f}, First inference: {warm[0]:.0f}, "
        f"Warmup (avg): {statistics.fmean(warm):g}, Inference (avg): {statistics.fmean(times):g}"
    )
    overall = _resident_mb() - at_start
    print(f"INFO: Memory footprint delta from the start of the tool (MB): init={init_mb:g} overall={overall:g}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
