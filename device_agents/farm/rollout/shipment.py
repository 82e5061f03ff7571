"""A release on its way to a device: what is there is not sent, what arrives is checked and put together there."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from device_agents.agent.releases import SIGNATURE, SUMS, Refused, listed, name_of
from device_agents.agent.trust import SIGNATURE as BUNDLE_SIGNATURE
from device_agents.bundle import MANIFEST, Manifest
from device_agents.errors import PushFailed
from device_agents.farm.device import Device
from device_agents.farm.rollout.errors import ReleaseChanged
from device_agents.farm.rollout.told import stage
from edgewright.files import sha256_file

_MODEL = "model/"
_ROUNDS = 3
"""How often a device may name what it lacks: someone else's rollout may have used up what was just sent."""


@dataclass(frozen=True)
class Shipment:
    """A release folder on this machine. digest: SHA-256 of its SHA256SUMS; manifest: the bundle that a device loads,
    which is the release's own but where a packager has added to the model file (then it names that file)."""

    folder: Path
    version: str
    digest: str
    manifest: Manifest

    @property
    def model(self) -> str:
        return self.manifest.model

    @property
    def name(self) -> str:
        """Of its folder on a device. Raises device_agents.agent.releases.Refused where it can't be one."""
        return name_of(self.version, self.digest)

    @property
    def path(self) -> str:
        """Where the bundle of whatever release is current lies on a device, from the agent's folder on."""
        return f"releases/{self.model}/current/model"


def send(device: Device, shipment: Shipment, wait_s: float = 0.0) -> int:
    """Puts a release on a device, beside the one that is current; the bytes that went over the link for it.

    wait_s: for another rollout to end. Raises ReleaseChanged, ReleaseRefused, RolloutBusy, BundleNotTrusted, NoRoom,
    PushFailed, DeviceReserved, and what a connection raises.
    """
    folder = shipment.folder
    sums = _listed(shipment)
    sent = _push(device, folder / SUMS, shipment.digest) + _push(device, folder / SIGNATURE)
    asked = {
        "model": shipment.model,
        "version": shipment.version,
        "digest": shipment.digest,
        "signature": sha256_file(folder / SIGNATURE),
        "bundle": shipment.manifest.digest,
    }
    words = [word for name, value in asked.items() for word in (f"--{name}", value)]
    missing: list[str] = []
    for _ in range(_ROUNDS):
        missing = stage(device, *words, "--wait", str(wait_s)).missing
        if not missing:
            return sent
        if any(path.startswith(_MODEL) for path in missing):
            sent += _send_bundle(device, shipment)
        for path in missing:
            # What of model/ isn't listed goes with the bundle; what the release has not, the device can't ask for.
            if path in sums and path != f"{_MODEL}{shipment.manifest.file}":
                sent += _push(device, folder / path, sums[path])
    raise PushFailed(
        f"A release could not be put together on {device.entry.name}: {', '.join(missing[:5])} did not arrive there.",
        where=str(folder),
        remedy="run the same command again; if it comes back, check the device's memory and disk",
    )


def _listed(shipment: Shipment) -> dict[str, str]:
    """{path: digest} of the release's files. Raises ReleaseChanged."""
    path = shipment.folder / SUMS
    try:
        return listed(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, Refused) as error:
        raise _changed(path) from error


def _push(device: Device, path: Path, wanted: str | None = None) -> int:
    """The bytes sent of a file that goes to the device's shelf. wanted: its digest when it was checked.

    Raises ReleaseChanged.
    """
    try:
        digest = sha256_file(path)
    except OSError as error:
        raise _changed(path) from error
    if wanted not in (None, digest):
        raise _changed(path)
    return device.connection.push(path, f"{device.root}/data/{digest}{path.suffix}", digest)


def _changed(path: Path) -> ReleaseChanged:
    return ReleaseChanged(
        "The release was changed while it was rolled out.",
        where=str(path),
        remedy="./inv release.verify DIR; once it is whole again: ./inv rollout --resume",
    )


def _send_bundle(device: Device, shipment: Shipment) -> int:
    """The model travels as any bundle does: packed, and not at all where the device has it."""
    manifest = shipment.manifest
    with tempfile.TemporaryDirectory(prefix="edgewright-release-") as temporary:
        made = Path(temporary)
        model, signature = shipment.folder / "model" / manifest.file, shipment.folder / BUNDLE_SIGNATURE
        (made / MANIFEST).write_bytes(manifest.canonical())
        try:
            shutil.copyfile(model, made / manifest.file)
            if signature.is_file():
                shutil.copyfile(signature, made / BUNDLE_SIGNATURE)
        except FileNotFoundError as error:
            raise _changed(model) from error
        bundle = device.install(made)
    return device.installed[bundle.digest].sent
