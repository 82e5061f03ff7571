"""A release's content without a ledger: the tiny bundle, a real sample through it, and figures of a made-up device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.release import sample
from pipeline.release.content import Content
from pipeline.release.manifest import ReleaseManifest, manifest_of
from pipeline.release.provenance import Source
from tests.device_agents.tiny import CLASSES, SIDE
from tests.pipeline.release import accepted

SOURCE = Source("tiny.toml", b'data = "digits"\n', "digits", "0123-45", "weights/tiny.safetensors", "ab" * 32)


def content(folder: Path, **changes: Any) -> Content:
    """changes: of the content (version, evidence, about, ...), the rest of the bundle's manifest."""
    own = {name: changes.pop(name) for name in tuple(changes) if name in Content.__dataclass_fields__}
    bundle = own.pop("bundle", None) or accepted.bundle(folder, **changes)
    seeded = np.random.default_rng(5)
    x = seeded.standard_normal((4, 1, SIDE, SIDE)).astype(np.float32)
    drawn = sample.of(bundle, x, seeded.integers(0, CLASSES, 4), 1e-3)
    given: dict[str, Any] = {
        "version": "1.0.0",
        "sample": drawn,
        "evidence": accepted.EVIDENCE,
        "metric": "top-1",
    } | own
    return Content(bundle=bundle, **given)


def manifest(given: Content) -> ReleaseManifest:
    """Its manifest, with no packages."""
    return manifest_of(given, given.bundle.model_file.read_bytes(), [], 0.5)
