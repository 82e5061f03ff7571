"""What a bundle's runtime on a device answers to samples: under the device's lock, nothing timed, nothing kept."""

from __future__ import annotations

import secrets
from pathlib import Path

from device_agents.bundle import Manifest
from device_agents.errors import AgentFailed, DeviceError
from device_agents.farm.job import Job, JobVariant, RemoteBundle
from device_agents.farm.opening import AnyDevice
from device_agents.farm.phone import Phone
from device_agents.farm.trustkeys import refused_there
from targets.schema import Runtime


class NoAnswer(DeviceError):
    """A device's runtime gave no outputs."""


def ask(
    device: AnyDevice,
    bundle: RemoteBundle,
    manifest: Manifest,
    samples: Path,
    out: Path,
    runtime: Runtime | None = None,
    wait_s: float = 0.0,
) -> None:
    """Runs samples through a bundle that lies on a device, and fetches its first output: `out`, float32 .npy [N, ...].

    manifest: the bundle's; samples: an .npz with x [N, ...], channels first and floats dequantised, as a job's
    evaluation data is; runtime: the target's entry for the bundle's runtime, for its providers. Raises NoAnswer,
    BundleNotTrusted, DeviceBusy, DeviceReserved, RuntimeUnavailable, and what a connection raises.
    """
    if isinstance(device, Phone):
        raise NoAnswer(
            f"{device.entry.name} is a phone by adb: benchmark_model there returns no outputs.",
            where=device.entry.where,
            remedy="name Termux's SSH server in farm.toml (docs/android.md)",
        )
    device.prepare(manifest.runtime, runtime.source if runtime else "wheel")
    remote = f"{device.root}/outputs/answer-{secrets.token_hex(4)}.npy"
    variant = JobVariant(
        name=manifest.name,
        bundle=bundle,
        format=manifest.format,
        runtime=manifest.runtime,
        precision=manifest.precision,
        providers=list(runtime.providers) if runtime else [],
        options={one: dict(given) for one, given in runtime.options.items()} if runtime else {},
        save_outputs=remote,
    )
    job = Job(
        model=manifest.model,
        target=manifest.target,
        purpose="bench",
        variants=[variant],
        evaluation=device.push_data(samples),
        processes=0,
        wait_s=wait_s,
    )
    report = device.measure(job)
    if report.journal is not None:
        report.journal.done()  # an answer is no measurement: the ledger gets none
    if error := report.results[0]["error"]:
        raise refused_there(device.entry.name, error) or NoAnswer(
            f"{manifest.runtime} on {device.entry.name} could not answer: {error}",
            where=bundle.path,
            remedy=f"./inv devices.doctor {device.entry.name}",
        )
    try:
        device.connection.pull(remote, out)
    except FileNotFoundError as error:
        raise AgentFailed(
            f"The outputs are no longer on {device.entry.name}.", where=remote, remedy="run the same command again"
        ) from error
    device.connection.remove(remote)
