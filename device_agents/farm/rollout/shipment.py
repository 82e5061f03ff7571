"""A release on its way to a device: what is there is not sent, what arrives is checked and put together there."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from device_agents.agent.releases import SIGNATURE, SUMS, name_of
from device_agents.agent.trust import SIGNATURE as BUNDLE_SIGNATURE
from device_agents.bundle import MANIFEST, Manifest
from device_agents.errors import PushFailed
from device_agents.farm.device import Device
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

    wait_s: for another rollout to end. Raises ReleaseRefused, RolloutBusy, BundleNotTrusted, NoRoom, PushFailed,
    DeviceReserved, and what a connection raises.
    """
    folder, sent = shipment.folder, 0
    for name in (SUMS, SIGNATURE):
        sent += _push(device, folder / name)
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
            local = folder / path
            # model/manifest.json goes with the bundle; what the release has not, the device can't ask for.
            if local.is_file() and path != f"{_MODEL}{shipment.manifest.file}":
                sent += _push(device, local)
    raise PushFailed(
        f"A release could not be put together on {device.entry.name}: {', '.join(missing[:5])} did not arrive there.",
        where=str(folder),
        remedy="run the same command again; if it comes back, check the device's memory and disk",
    )


def _push(device: Device, path: Path) -> int:
    """The bytes sent of a file that goes to the device's shelf."""
    digest = sha256_file(path)
    return device.connection.push(path, f"{device.root}/data/{digest}{path.suffix}", digest)


def _send_bundle(device: Device, shipment: Shipment) -> int:
    """The model travels as any bundle does: packed, and not at all where the device has it."""
    manifest = shipment.manifest
    with tempfile.TemporaryDirectory(prefix="edgewright-release-") as temporary:
        made = Path(temporary)
        shutil.copyfile(shipment.folder / "model" / manifest.file, made / manifest.file)
        (made / MANIFEST).write_bytes(manifest.canonical())
        if (signature := shipment.folder / BUNDLE_SIGNATURE).is_file():
            shutil.copyfile(signature, made / BUNDLE_SIGNATURE)
        bundle = device.install(made)
    return device.installed[bundle.digest].sent
