"""NVIDIA's own benchmark of an ONNX file, where the device has it: a second opinion beside onnxruntime's times."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import Any, Dict, List, Optional

_PLACES = ("/usr/src/tensorrt/bin/trtexec", "/usr/local/tensorrt/bin/trtexec")
_PRECISION = {"float16": ["--fp16"], "int8": ["--int8"]}
_DATE = r"^(?:\[[^\]]*\] )?\[I\] "
_NUMBER = r"([0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)"


def find() -> Optional[str]:
    """The trtexec of this device: on PATH, or where JetPack puts it; None where there is none."""
    for candidate in (shutil.which("trtexec"), *_PLACES):
        if candidate and os.access(candidate, os.X_OK):
            return candidate
    return None


def arguments(program: str, model: str, precision: str, sparse: bool = False) -> List[str]:
    """The command line. --useSpinWait: without it the times hold the wait for the GPU's interrupt as well."""
    return [
        program,
        "--onnx=%s" % model,
        *_PRECISION.get(precision, []),
        *(["--sparsity=enable"] if sparse else []),
        "--warmUp=500",
        "--duration=3",
        "--useSpinWait",
    ]


def parse(text: str) -> Optional[Dict[str, Any]]:
    """What trtexec printed: {"tool", "p50_ms", "p90_ms", "p99_ms", "gpu_p50_ms", "qps", "passed"}; None for garbage.

    What a version doesn't print is None: older ones have only the 99th percentile.
    Formats: TensorRT 7 to 10 (tests/device_agents/agent/recorded/trtexec).
    """
    host = _times(text, "Latency") or _times(text, "Host Latency")
    gpu = _times(text, "GPU Compute Time") or _times(text, "GPU Compute")
    if host is None and gpu is None:
        return None
    host, gpu = host or {}, gpu or {}
    rate = re.search(_DATE + r"Throughput: " + _NUMBER + " qps", text, re.MULTILINE)
    return {
        "tool": "trtexec",
        "p50_ms": host.get("50"),
        "p90_ms": host.get("90"),
        "p99_ms": host.get("99"),
        "gpu_p50_ms": gpu.get("50"),
        "qps": float(rate.group(1)) if rate else None,
        "passed": re.search(r"^(?:\[[^\]]*\] )?(?:\[I\] )?&&&& PASSED ", text, re.MULTILINE) is not None,
    }


def _times(text: str, what: str) -> Optional[Dict[str, float]]:
    """{"50": median, "90": ..., "99": ...} in ms of the summary line that starts with `what`; None where it is absent.

    The line's start decides: "H2D Latency" ends as "Latency" does.
    """
    line = re.search(_DATE + re.escape(what) + r": (.*min.*)$", text, re.MULTILINE)
    if line is None:
        # TensorRT 7: the name stands alone, its figures follow a line each.
        line = re.search(
            _DATE + re.escape(what) + r"\s*\n((?:.*\[I\] (?:min|max|mean|median|percentile).*\n?)+)", text, re.M
        )
    if line is None:
        return None
    found = {}
    for key, spelled in (("50", "median"), ("90", r"percentile\(90%\)"), ("99", r"percentile\(99%\)")):
        value = re.search(spelled + r"\s*[=:] " + _NUMBER + r" ms", line.group(1))
        old = re.search(_NUMBER + r" ms at 99%", line.group(1)) if key == "99" and not value else None
        if value or old:
            found[key] = float((value or old).group(1))  # type: ignore[union-attr]
    return found or None


def run(model: str, precision: str, seconds: float, sparse: bool = False) -> Optional[Dict[str, Any]]:
    """Times an ONNX file, for at most `seconds`; None without trtexec, or where it gave nothing readable in time."""
    program = find()
    if program is None or seconds <= 0:
        return None
    try:
        done = subprocess.run(
            arguments(program, model, precision, sparse),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return parse(done.stdout.decode("utf-8", "replace"))
