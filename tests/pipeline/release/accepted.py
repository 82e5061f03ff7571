"""A project with an accepted bundle: a recipe on the digits, a tiny ONNX file in its place, and a report of it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from device_agents.bundle import Bundle, Tensor, write_bundle
from device_agents.farm.ledger.ledger import Ledger
from device_agents.farm.report import Report
from pipeline.bundles import keep_bundle
from pipeline.project import Project
from pipeline.release.evidence import Evidence, Figures, Interval
from pipeline.release.keys import SigningKey
from pipeline.release.release import release
from pipeline.release.writing import Released
from tests.device_agents.farm.ledger import made
from tests.device_agents.tiny import CLASSES, SIDE, tiny_bundle, tiny_manifest
from tests.prerequisites import require

MODEL, TARGET = "tiny", "raspberry-pi"
LABELS = ["zero", "one", "two", "three"]
RECIPE = """\
factory = "models.architectures.resnet:resnet8"
arguments = { widths = [16, 16, 16], stem_stride = 2 }
data = "digits"

[metric]
floor = 0.5
"""
MEASURED = Figures(
    device="kitchen-pi",
    worth="valid",
    date="2026-01-01",
    report="20260101T120000Z-r-1",
    reports=2,
    runtime="onnxruntime",
    runtime_version="1.31.1",
    kernel="6.12.1",
    p50_ms=Interval(1.5, 1.4, 1.6),
    p90_ms=Interval(1.9, 1.8, 2.1),
    load_ms=20.0,
    peak_bytes=50 << 20,
    energy_mj=2.25,
    metric=("top-1", 0.93, 1000),
)
DESK = {"name": "this machine", "stand_in": True, "emulated": False}
EVIDENCE = Evidence((MEASURED,), False, "c0ffee" * 6 + "c0ff")


def needed() -> None:
    """What writes SBOMs is an extra."""
    require(importlib.util.find_spec("cyclonedx"), "cyclonedx-python-lib is not installed: ./inv setup release")


def project(folder: Path, state: Path) -> Project:
    """A project whose only model is `tiny`."""
    (folder / "models").mkdir(parents=True, exist_ok=True)
    (folder / "models" / f"{MODEL}.toml").write_text(RECIPE)
    return Project(folder, state, folder / "cache", None)


def bundle(folder: Path, name: str = "tiny", layers: int = 2, **changes: Any) -> Bundle:
    """A bundle of a tiny network that takes the digits, with the words that a build would give it."""
    plain = tiny_bundle(folder / f"plain-{name}", name, layers=layers, batch=1)
    told = {
        "labels": LABELS,
        "inputs": [Tensor(name="x", dtype="float32", shape=[1, 1, SIDE, SIDE])],
        "outputs": [Tensor(name="y", dtype="float32", shape=[1, CLASSES])],
        "preprocessing": {"divide_by": 16},
        "params": 700,
        "macs": 40_000,
        "origin": {
            "steps": {"train": "1" * 64, "export": "2" * 64, "check": "3" * 64},
            "libraries": {"numpy": "2.4.6", "onnx": "1.23.2", "python": "3.11", "torch": "2.13.0+cpu"},
            "check": {"samples": 100, "float_difference": 1e-6, "metric_float": 0.9},
        },
    }
    return write_bundle(folder / name, plain.model_file, tiny_manifest(name, **told | changes))


def report(of: Bundle, others: tuple[Bundle, ...] = (), **fields: Any) -> Report:
    """A report of a device that had the bundle, and others beside it."""
    found = made.report(shapes=1 + len(others), model=MODEL, target=TARGET, **fields)
    for result, one in zip(found.results, (of, *others), strict=True):
        result["bundle"] = one.digest
    return found


def accept(project: Project, given: Bundle, reports: tuple[Report, ...] | None = None) -> Bundle:
    """Keeps a bundle, files reports (one of its own if none are named), and accepts it on the last one."""
    kept = keep_bundle(project, given)
    filed = (report(kept),) if reports is None else reports
    with Ledger.open(None, project.state) as ledger:
        ledger.append_all(filed)
        of, last = kept.manifest, filed[-1].id if filed else None
        ledger.accept(model=of.model, target=of.target, variant=of.name, bundle=kept.digest, who="me", report=last)
    return kept


def key(folder: Path) -> SigningKey:
    """A key for the test."""
    path = folder / "release.key"
    return SigningKey.load(path, {}) if path.exists() else SigningKey.generate(path, b"", "test")


def released(project: Project, version: str = "1.0.0", **given: Any) -> Released:
    """A release of the accepted bundle."""
    needed()
    asked: dict[str, Any] = {"model": None, "target": TARGET, "out": None, "allow_unmeasured": False, "say": print}
    asked |= {"key": key(project.root)} | given
    return release(project, version=version, **asked)
