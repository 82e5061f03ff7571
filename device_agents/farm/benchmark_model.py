"""TensorFlow Lite's benchmark_model: how it is asked, and what its output says. Pure functions, nothing is run here.

Forms of the output: tensorflow/lite/tools/benchmark (README, benchmark_model.cc, benchmark_performance_options) and
tensorflow/core/util/stats_calculator.h, of 2.2 to 2.17; times are in microseconds.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

NAME = "benchmark_model"
_NUMBER = r"([0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)"
# `INFO: ` is newer, and some builds name the source file behind it.
_PREFIX = r"^(?:(?:INFO|VERBOSE|WARNING): )?(?:\[[^\]\n]*\] )?"


class Failed(Exception):
    """benchmark_model gave no measurement; str() says why, as far as it does."""


@dataclass(frozen=True)
class Run:
    """One run. Times of one call in nanoseconds; init_ns and first_ns are None where an old version doesn't say.

    count, mean_ns: calls that were timed, and their mean; peak_bytes: the most memory that the process took beyond what
    it had at its start, None where it isn't told; delegate: "XNNPACK" where it took part of the graph, else "CPU".
    """

    count: int
    mean_ns: float
    init_ns: int | None
    first_ns: int | None
    peak_bytes: int | None
    delegate: str


def arguments(
    graph: str,
    *,
    threads: int,
    warmup_runs: int,
    warmup_seconds: float,
    runs: int,
    seconds: float,
    most_seconds: float,
) -> list[str]:
    """Its flags: at least `runs` timed calls and `seconds`, at most `most_seconds`."""
    return [
        f"--graph={graph}",
        f"--num_threads={threads}",
        # Its first count= line is the warm-up's: without one, line and figure could be mistaken for each other.
        f"--warmup_runs={max(1, warmup_runs)}",
        f"--warmup_min_secs={warmup_seconds:g}",
        f"--num_runs={runs}",
        f"--min_secs={seconds:g}",
        f"--max_secs={most_seconds:g}",
        "--use_xnnpack=true",
        "--report_peak_memory_footprint=true",
    ]


def parse(text: str, status: int) -> Run:
    """What a run's output (stdout and stderr, in any order) says. Raises Failed."""
    if status != 0:
        raise Failed(_why(text, status))
    counts = re.findall(_PREFIX + r"count=(\d+) (.*)$", text, re.MULTILINE)
    timings = re.search(r"nference timings in us: (.*)$", text, re.MULTILINE)
    if len(counts) < 2:
        raise Failed(_why(text, status) if not timings else "benchmark_model printed one count= line; two are needed")
    count, rest = int(counts[-1][0]), counts[-1][1]
    # "curr" alone is printed where every call took the same time.
    mean = _after(rest, "avg=") or _after(rest, "curr=")
    if not count or mean is None:
        raise Failed(f"benchmark_model printed a line that can't be understood: {counts[-1]!r}")
    said = timings.group(1) if timings else ""
    init = _after(said, "Init: ")
    if init is None and (session := re.search(rf"Initialized session in {_NUMBER}ms", text)):
        init = float(session.group(1)) * 1e3
    first = _after(said, "First inference: ")
    return Run(
        count=count,
        mean_ns=mean * 1e3,
        init_ns=None if init is None else round(init * 1e3),
        first_ns=None if first is None else round(first * 1e3),
        peak_bytes=_peak(text),
        delegate="XNNPACK" if _delegated(text) else "CPU",
    )


def _after(text: str, name: str) -> float | None:
    """The number after `name`, where it is one above zero that a time can be."""
    found = re.search(re.escape(name) + _NUMBER + r"(?![0-9.])", text)
    value = float(found.group(1)) if found else 0.0
    return value if value > 0 and math.isfinite(value) else None


def _peak(text: str) -> int | None:
    """Newest first: a monitor's peak, then the footprint at the end. 0 means that this system doesn't tell."""
    for pattern in (
        rf"peak memory footprint \(MB\) via periodic monitoring: {_NUMBER}",
        rf"Peak memory footprint \(MB\): .*overall={_NUMBER}",
        rf"Memory footprint delta from the start of the tool \(MB\): .*overall={_NUMBER}",
    ):
        found = re.search(pattern, text)
        if found and float(found.group(1)) > 0:
            return round(float(found.group(1)) * 1024 * 1024)
    return None


def _delegated(text: str) -> bool:
    """Whether XNNPACK took part of the graph. It says how many nodes it took, or only that it was made."""
    if re.search(r"will not be executed by the delegate|Failed to apply XNNPACK", text):
        return False
    taken = re.findall(r"Replacing (\d+) out of \d+ node\(s\) with delegate \(TfLiteXNNPackDelegate\)", text)
    if taken:
        return any(int(nodes) for nodes in taken)
    return bool(re.search(r"Created TensorFlow Lite XNNPACK delegate|executed by the (?:XNNPACK )?delegate", text))


_STATUS = {126: "the phone can't run it: is it the build for its processor?", 127: "the phone has no such program"}


def _why(text: str, status: int) -> str:
    """The line that tells most, and how it ended."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"^ERROR|rror:|ailed|ould not|CANNOT LINK|abort|not exec", line)]
    line = (telling or lines or ["it printed nothing"])[0 if telling else -1][:300]
    if status == 124:
        return f"benchmark_model took longer than it may and was ended: {line}"
    if status > 128:
        return f"benchmark_model was killed by signal {status - 128}: {line}"
    ended = _STATUS.get(status, f"exit status {status}" if status else "no figures")
    return f"benchmark_model failed ({ended}): {line}"
