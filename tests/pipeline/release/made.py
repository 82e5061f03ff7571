"""A small signed release, written by the writers of the real one around a tiny bundle."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from device_agents.bundle import Bundle
from edgewright.files import pretty_json, sha256_file
from pipeline.release import checksums, manifest, processing, provenance, sample
from pipeline.release.content import Content, Sample
from pipeline.release.evidence import Evidence
from pipeline.release.keys import SigningKey
from pipeline.release.provenance import Source
from pipeline.release.signing import BUNDLE_SIGNATURE, bundle_signature, sign_release


def signing_key(name: bytes = b"ada") -> SigningKey:
    """The same for a name every time, in the memory only."""
    from tests.device_agents.signer import Signer

    return SigningKey(Signer(name).secret, name.decode())


def made_release(folder: Path, bundle: Bundle, key: SigningKey, expected: Any = None) -> Path:
    """A release of `bundle`, which is of tests.device_agents.tiny; expected: its answer to the sample, else zeros."""
    import numpy as np

    x = np.random.default_rng(3).standard_normal((1, 1, 8, 8)).astype(np.float32)
    answer = np.zeros((1, 4), np.float32) if expected is None else expected(x)
    content = Content(bundle, "1.0.0", Sample({"x": x}, {"y": answer}, 2, 1e-5), Evidence(unmeasured=True), "top-1")
    listed = bundle.manifest
    shipped = bundle.model_file.read_bytes()
    package = manifest.Package(name="linux", files=["tiny.tar.gz"], notes=[])
    files: dict[str, bytes] = {
        "manifest.json": manifest.manifest_of(content, shipped, [package], 0.9).written(),
        "model/bundle.json": listed.canonical(),
        f"model/{listed.file}": shipped,
        "preprocessing.json": pretty_json(processing.spec(content)),
        "model_card.md": b"# Tiny\n",
        "sbom.cdx.json": b"{}\n",
        "packages/linux/tiny.tar.gz": b"a package",
        BUNDLE_SIGNATURE: bundle_signature(listed.canonical(), key),
        **{f"sample/{name}": data for name, data in sample.files(content).items()},
    }
    if content.labels:
        files[processing.LABELS] = processing.labels_file(content.labels)
    shutil.rmtree(folder, ignore_errors=True)
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    subjects = {path: sha256_file(folder / path) for path in (f"model/{listed.file}", "packages/linux/tiny.tar.gz")}
    source = Source("models/tiny.toml", b"", "tiny", None)
    (folder / provenance.FILE).write_bytes(provenance.provenance(content, subjects, source, []))
    return resigned(folder, key)


def resigned(folder: Path, key: SigningKey) -> Path:
    """Digests and signature made anew, as an owner would who has changed a file."""
    (folder / checksums.FILE).write_bytes(checksums.sums(folder))
    sign_release(folder, key)
    return folder
