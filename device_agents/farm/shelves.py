"""Bundles and data on a device, each named by its digest, whichever way it is reached."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from device_agents.agent.restore import GZ
from device_agents.agent.trust import SIGNATURE
from device_agents.bundle import MANIFEST, Bundle, read_bundle
from device_agents.connect.base import Connection
from device_agents.connect.restore import Restorer
from device_agents.errors import DeviceFolderError, NoRoom, PushFailed
from device_agents.farm.job import RemoteBundle
from device_agents.packing import pack
from edgewright.files import sha256_bytes, sha256_file
from edgewright.progress import Progress

# Beyond this xz takes longer than what it saves over gzip takes to send.
_MOST_XZ = 8 << 20


@dataclass(frozen=True)
class Installed:
    """A bundle that was put on a device. sent: bytes that went over the link for it, 0 where it was there already;
    bytes: what lies there now; packing: how the model file travelled (agent/restore.py), "" as it is."""

    sent: int
    bytes: int
    packing: str


class Shelves:
    """Where a device keeps what is sent to it. `installed`: what this session put there, by the bundle's digest."""

    def __init__(
        self,
        connection: Connection,
        restorer: Restorer | None,
        root: str,
        progress: Progress,
        signature: Callable[[Bundle], bytes | None] = lambda bundle: None,
    ) -> None:
        """restorer: None where there is no link that a packed file would be quicker over.

        signature: what goes with a bundle as its bundle.sig, None for nothing (device_agents.farm.trustkeys).
        """
        self._connection = connection
        self._restorer = restorer
        self._root = root
        self._progress = progress
        self._signature = signature
        self.installed: dict[str, Installed] = {}

    def install(self, folder: Path) -> RemoteBundle:
        """Puts a bundle under the agent's folder, checked there; nothing is sent that is there already.

        Raises BundleError, BundleNotTrusted before anything is sent, NoRoom, PushFailed, DeviceFolderError, LinkLost.
        """
        bundle = read_bundle(folder)
        signature = self._signature(bundle)
        remote = f"{self._root}/bundles/{bundle.digest}"
        sent, packing = self._send_model(bundle, f"{remote}/{bundle.manifest.file}")
        sent += self._send_signature(signature, f"{remote}/{SIGNATURE}") if signature is not None else 0
        # The manifest last: where it lies, the model lies too.
        sent += self._connection.push(folder / MANIFEST, f"{remote}/{MANIFEST}", bundle.digest)
        if sent or bundle.digest not in self.installed:
            size = bundle.manifest.bytes + (folder / MANIFEST).stat().st_size
            self.installed[bundle.digest] = Installed(sent, size, packing)
        return RemoteBundle(digest=bundle.digest, path=remote, bytes=bundle.manifest.bytes)

    def _send_model(self, bundle: Bundle, remote: str) -> tuple[int, str]:
        """(bytes sent, how they were packed)."""
        manifest = bundle.manifest
        if self._restorer is not None:
            try:
                seen = self._restorer.seek(remote, manifest.sha256, manifest.bytes)
            except OSError as error:
                raise self._refused(error, remote) from error
            if seen.whole:
                return 0, ""
            undoes = seen.undoes if manifest.bytes <= _MOST_XZ else seen.undoes & {GZ}
            packed = pack(bundle.model_file.read_bytes(), undoes)
            if packed.suffix:
                return self._send_packed(bundle, remote, packed.suffix, packed.data), packed.suffix
        return self._connection.push(bundle.model_file, remote, manifest.sha256, self._progress), ""

    def _send_packed(self, bundle: Bundle, remote: str, suffix: str, data: bytes) -> int:
        assert self._restorer is not None
        manifest, packed = bundle.manifest, remote + suffix
        with tempfile.TemporaryDirectory(prefix="edgewright-") as folder:
            local = Path(folder, manifest.file + suffix)
            local.write_bytes(data)
            # A push of its own: gone on with after a cut, since packing again gives the same bytes.
            sent = self._connection.push(local, packed, sha256_bytes(data), self._progress)
        try:
            damage = self._restorer.restore(packed, suffix, remote, manifest.sha256, manifest.bytes)
        except OSError as error:
            self._connection.remove(packed)
            raise self._refused(error, remote) from error
        if damage:
            raise PushFailed(
                f"{manifest.file} was sent to {self._connection.name} packed, and unpacks to something else there: "
                f"{damage}. It was thrown away.",
                where=packed,
                remedy="run the same command again; if it comes back, check the device's memory and disk",
            )
        return sent

    def _send_signature(self, signature: bytes, remote: str) -> int:
        with tempfile.TemporaryDirectory(prefix="edgewright-") as folder:
            local = Path(folder, SIGNATURE)
            local.write_bytes(signature)
            return self._connection.push(local, remote, sha256_bytes(signature))

    def _refused(self, error: OSError, remote: str) -> NoRoom | DeviceFolderError:
        name = self._connection.name
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return NoRoom(
                f"{name} has no room to unpack the model there.",
                where=remote,
                remedy='free some space on the device, or set root = "/a/roomier/folder" for it in farm.toml',
            )
        return DeviceFolderError(
            f"A bundle can't be put on {name}: {error.strerror or error}",
            where=remote,
            remedy="check the agent's folder on the device (its owner, its quota), then run the same command again",
        )

    def push_data(self, path: Path) -> str:
        """Puts a file of samples there; the path on the device. Raises NoRoom, PushFailed, LinkLost."""
        digest = sha256_file(path)
        remote = f"{self._root}/data/{digest}{path.suffix}"
        self._connection.push(path, remote, digest, self._progress)
        return remote

    def moved(self, connection: Connection, restorer: Restorer | None) -> None:
        """The device is reached by another connection from now on."""
        self._connection, self._restorer = connection, restorer
