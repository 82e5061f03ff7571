"""Bundles and data on a device, each named by its digest, whichever way it is reached."""

from __future__ import annotations

from pathlib import Path

from device_agents.bundle import MANIFEST, read_bundle
from device_agents.connect.base import Connection
from device_agents.farm.job import RemoteBundle
from edgewright.files import sha256_file
from edgewright.progress import Progress


def install(connection: Connection, root: str, folder: Path, progress: Progress) -> RemoteBundle:
    """Puts a bundle under the agent's folder `root`, checked there; nothing is sent that is there already.

    Raises BundleError, NoRoom, PushFailed, LinkLost.
    """
    bundle = read_bundle(folder)
    remote = f"{root}/bundles/{bundle.digest}"
    manifest = bundle.manifest
    connection.push(bundle.model_file, f"{remote}/{manifest.file}", manifest.sha256, progress)
    # The manifest last: where it lies, the model lies too.
    connection.push(folder / MANIFEST, f"{remote}/{MANIFEST}", bundle.digest)
    return RemoteBundle(digest=bundle.digest, path=remote, bytes=manifest.bytes)


def push_data(connection: Connection, root: str, path: Path, progress: Progress) -> str:
    """Puts a file of samples there; the path on the device. Raises NoRoom, PushFailed, LinkLost."""
    digest = sha256_file(path)
    remote = f"{root}/data/{digest}{path.suffix}"
    connection.push(path, remote, digest, progress)
    return remote
