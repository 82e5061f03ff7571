"""A made-up report and outcome of the real shape, for tests of verdicts, tables and pages. Its figures are nobody's."""

from __future__ import annotations

import math
import random
from typing import Any

from device_agents.farm.verdict import Candidate, Latency, Limits, Metric, Sparsity, judge, latency, speedup

ALIKE = {"memory_available_bytes": 1_480_000_000, "disk_free_bytes": 18_300_000_000}


def make_blocks(
    ms: float,
    *,
    noise: float = 0.03,
    between: float = 0.01,
    processes: int = 3,
    rounds: int = 8,
    samples: int = 60,
    drift: float = 0.0,
    seed: int | str = 0,
) -> list[dict[str, Any]]:
    """Blocks of one variant: log-normal block noise, a shift a process, a slow drift that all variants share."""
    rng = random.Random(f"{seed}")
    blocks = []
    for process in range(processes):
        shift = rng.gauss(0, between)
        for turn in range(rounds):
            level = ms * 1e6 * math.exp(shift + rng.gauss(0, noise) + drift * (process * rounds + turn))
            times = [
                int(level * (1 + rng.expovariate(30) + (rng.random() < 0.02) * rng.random())) for _ in range(samples)
            ]
            blocks.append(
                {
                    "process": process,
                    "round": turn,
                    "position": turn % 2,
                    "samples_ns": times,
                    "batch": 1,
                    "others_cpu_share": round(rng.random() * 0.06, 3),
                }
            )
    return blocks


def make_result(name: str, ms: float | None, accuracy: float | None, **how: Any) -> dict[str, Any]:
    """One result of a report; without a time, one that failed."""
    rng = random.Random(name)
    return {
        "name": name,
        "bundle": f"{rng.getrandbits(256):064x}",
        "loads": [
            {"process": p, "load_ns": rng.randint(9, 14) * 10**6, "first_ns": rng.randint(400, 900) * 10**3}
            for p in range(3)
        ]
        if ms
        else [],
        "blocks": make_blocks(ms, **{"seed": name, **how}) if ms else [],
        "peak_bytes": rng.randint(38, 52) << 20 if ms else None,
        "accuracy": {"name": "top-1", "value": accuracy, "n": 10000, "outputs_sha256": f"{rng.getrandbits(256):064x}"}
        if accuracy
        else None,
        "providers": ["CPUExecutionProvider"] if ms else [],
        "error": None if ms else "the worker was killed: over the memory limit of 64 MiB",
    }


#        name             parent     precision  bytes    params   MACs    ms    top-1   off the alignment
SHAPES: list[tuple[str, str | None, str, int, int, int, float | None, float | None, tuple[str, ...]]] = [
    ("trained", None, "float32", 1_160_475, 272_186, 8_600_000, 0.210, 0.9331, ()),
    ("int8", "trained", "int8", 295_775, 272_186, 8_600_000, 0.157, 0.9333, ()),
    ("filters", "trained", "float32", 634_043, 140_358, 4_340_000, 0.295, 0.9247, ("conv1 (11)", "conv9 (23)")),
    ("pruned", "trained", "float32", 341_108, 77_754, 2_590_000, 0.0722, 0.9271, ()),
    ("pruned + int8", "pruned", "int8", 88_356, 77_754, 2_590_000, 0.0698, 0.9269, ()),
    ("tiny", "pruned", "float32", 180_215, 27_095, 860_000, 0.051, 0.9075, ()),
]


def make_report(shapes: Any = SHAPES, *, stand_in: bool = True, **how: Any) -> dict[str, Any]:
    """A whole report, as a device gives it."""
    rng = random.Random(5)
    state = {
        "governor": "performance",
        "freq_khz": 2_400_000,
        "temperature_c": None,
        "throttled": None,
        "psi_cpu_avg10": 0.0,
    }
    canary = [
        {"process": p, "round": r, "when": when, "ns": int(5e6 * rng.gauss(1, 0.015))}
        for p in range(3)
        for r in range(8)
        for when in ("before", "after")
    ]
    return {
        "schema": "edgewright-report/1",
        "id": "20260101T120000-5f3a",
        "started": "2026-01-01T12:00:00Z",
        "finished": "2026-01-01T12:01:31Z",
        "model": "resnet20",
        "target": "raspberry-pi",
        "device": {"name": "this machine", "address": "local", "stand_in": stand_in, "emulated": False},
        "valid": True,
        "problems": [],
        "warnings": ["no temperature sensor was found"],
        "agent": {"version": "0.1.0", "sha256": "ab" * 32},
        "runtime": {
            "name": "onnxruntime",
            "version": "1.31.1",
            "numpy": "2.4.6",
            "providers": ["CPUExecutionProvider"],
        },
        "facts": {
            "machine": "x86_64",
            "cpu_model": "A made-up CPU",
            "cores": 2,
            "memory_bytes": 8 << 30,
            "os": "Debian GNU/Linux 12",
            "kernel": "6.1.0",
            "python": "3.11.2",
            "libc": "glibc 2.36",
            "board": None,
            "boot_id": "3f0c",
        },
        "state_before": {**state, **ALIKE, "load1": 0.21},
        "state_after": {**state, **ALIKE, "load1": 0.87},
        "job": {"threads": 1, "cpus": [1], "processes": 3, "blocks": 8},
        "results": [make_result(s[0], s[6], s[7], **how) for s in shapes],
        "canary": canary,
    }


def make_outcome(report: dict[str, Any], shapes: Any = SHAPES, floor: float = 0.92, **limits: Any) -> dict[str, Any]:
    """The outcome that a deploy makes of it, judged by the real judge."""
    downloads = {shape[0]: int(shape[3] * (0.2 if "sparse" in shape[0] else 0.9)) for shape in shapes}
    results = {result["name"]: result for result in report["results"]}
    base = results[shapes[0][0]]
    candidates = []
    for name, parent, precision, size, _, macs, _, top1, _ in shapes:
        candidates.append(
            Candidate(
                name=name,
                parent=parent,
                precision=precision,
                bytes=size,
                macs=macs,
                metric=Metric("top-1", top1) if top1 else None,
                latency=latency(results[name]),
                speedup=speedup(base, results[name]) if parent else None,
                speedup_parent=speedup(results[parent], results[name]) if parent else None,
                error=results[name]["error"],
                download_bytes=downloads.get(name),
                sparsity=Sparsity("unstructured", 0.9) if "sparse" in name else None,
            )
        )
    judged, shipped = judge(candidates, Limits(**limits), floor)
    return {
        "model": report["model"],
        "target": report["target"],
        "device": report["device"]["name"],
        "stand_in": report["device"]["stand_in"],
        "valid": report["valid"],
        "problems": report["problems"],
        "warnings": report["warnings"],
        "variants": [
            _variant(c, shape[4], said.verdict, said.reason)
            for c, shape, said in zip(candidates, shapes, judged, strict=True)
        ],
        "shipped": shipped,
        "bundle": ".edgewright/bundles/resnet20-raspberry-pi" if shipped else None,
        "report": ".edgewright/reports/20260101T120000-5f3a.html",
        "floor": {"name": "top-1", "value": floor},
        "limits": {"accuracy_drop": 0.02},
        "steps": [step for shape in shapes for step in _steps(shape[0], shape[1], shape[2])],
        "provenance": {
            "recipe": "models/resnet20.toml",
            "recipe_sha256": "cd" * 32,
            "target_sha256": "ef" * 32,
            "data": {"name": "fashion-mnist", "digest": "12" * 32},
            "commit": None,
            "versions": {"torch": "2.13.0", "onnx": "1.23.2", "onnxruntime": "1.31.1"},
            "seed": 0,
        },
    }


def _variant(c: Candidate, params: int, verdict: str, reason: str) -> dict[str, Any]:
    times: Latency | None = c.latency
    return {
        "name": c.name,
        "format": "onnx",
        "precision": c.precision,
        "bytes": c.bytes,
        "download": c.download_bytes,
        "params": params,
        "macs": c.macs,
        "sparsity": {"pattern": c.sparsity.pattern, "share": c.sparsity.share} if c.sparsity else None,
        "metric": {"name": c.metric.name, "value": c.metric.value, "on_device": c.metric.on_device}
        if c.metric
        else None,
        "latency_ms": times.to_json() if times else None,
        "speedup": c.speedup.to_json() if c.speedup else None,
        "verdict": verdict,
        "reason": reason,
    }


def _steps(name: str, parent: str | None, precision: str) -> list[dict[str, Any]]:
    rng = random.Random(f"steps {name}")
    labels = ["train", "export", "check", "bundle"]
    if parent:
        labels[1:1] = ["prune", "distil"] if precision != "int8" or parent != "trained" else []
    if precision == "int8":
        labels.insert(labels.index("check"), "quantise")
    said = {
        "train": "93.3 % top-1",
        "prune": "taylor, 61 % of the MACs left out",
        "quantise": "512 images, per channel",
    }
    return [
        {
            "variant": name,
            "step": label,
            "label": label,
            "cached": label == "train",
            "seconds": 0.0 if label == "train" else round(rng.uniform(0.4, 60), 1),
            "summary": said.get(label, ""),
            "fingerprint": f"{random.Random(label + (name if label != 'train' else '')).getrandbits(256):064x}",
        }
        for label in labels
    ]
