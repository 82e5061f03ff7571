"""Does a release's sample input give its expected output on a device, through the bundle's runtime there?"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_agents.agent.feeds import from_file
from device_agents.agent.trust import SIGNATURE
from device_agents.bundle import Manifest, read_bundle, write_bundle
from device_agents.farm.ask import ask
from edgewright.errors import EdgewrightError
from edgewright.files import sha256_file
from pipeline.project import Project
from pipeline.release import manifest as manifests
from pipeline.release.errors import NoRelease
from targets.schema import Runtime, read_target

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from device_agents.farm.opening import AnyDevice

    Array = NDArray[Any]

BUNDLE = f"{manifests.MODEL}/bundle.json"


def differs(folder: Path, device: AnyDevice, say: Callable[[str], None]) -> str | None:
    """Installs the bundle of a verified release and asks it the sample; None where the answer is within the tolerance,
    else in what it differs.

    Raises BundleNotTrusted where the device trusts other keys, NoAnswer, RuntimeUnavailable, DeviceBusy, and what a
    connection raises.
    """
    import numpy as np

    sample = Sample.read(folder)
    with tempfile.TemporaryDirectory(prefix="edgewright-release-") as temporary:
        bundle = lay_out(folder, Path(temporary, "bundle"))
        manifest = read_bundle(bundle).manifest
        samples, answer = Path(temporary, "sample.npz"), Path(temporary, "answer.npy")
        arrays: dict[str, Any] = sample.asked(manifest)
        np.savez(samples, **arrays)
        ask(device, device.install(bundle), manifest, samples, answer, _runtime(manifest))
        found = np.load(answer, allow_pickle=False)
    expected, tolerance = sample.wanted(manifest)
    if found.shape != expected.shape:
        return f"{device.entry.name} answers with shape {found.shape}, not {expected.shape}"
    worst = float(np.abs(found - expected).max())
    # Written so that a NaN counts as a difference.
    if not worst <= tolerance:
        return f"{device.entry.name} answers otherwise: off by {worst:.3g}, {tolerance:.3g} is allowed"
    say(f"device     {device.entry.name} answers the sample as expected: off by {worst:.3g} of {tolerance:.3g}")
    return None


def lay_out(release: Path, folder: Path) -> Path:
    """A release's model file as a bundle that a device takes; its signature goes along where that is the file which
    was signed, and not one with a package's metadata in it."""
    manifest = Manifest.model_validate_json((release / BUNDLE).read_bytes())
    model = release / manifests.MODEL / manifest.file
    write_bundle(folder, model, manifest)
    if sha256_file(model) == manifest.sha256:
        shutil.copyfile(release / SIGNATURE, folder / SIGNATURE)
    return folder


class Sample:
    """sample/ of a release, read back. inputs, expected: arrays by name, as the model file has them."""

    def __init__(self, inputs: dict[str, Array], expected: dict[str, Array], tolerance: float) -> None:
        self.inputs = inputs
        self.expected = expected
        self.tolerance = tolerance

    @classmethod
    def read(cls, release: Path) -> Sample:
        """Of a verified release. Raises NoRelease where its maker has erred."""
        import numpy as np

        folder = release / "sample"

        def arrays(part: str) -> dict[str, Array]:
            return {one["name"]: np.load(folder / Path(one["file"]).name, allow_pickle=False) for one in told[part]}

        try:
            told = json.loads((folder / "sample.json").read_bytes())
            found = cls(arrays("inputs"), arrays("outputs"), float(told["tolerance"]))
            if len(found.inputs) != 1 or not found.expected:
                raise ValueError("it has not one input and an output")
        except (OSError, ValueError, KeyError, TypeError, EOFError, RecursionError) as error:
            raise NoRelease(
                f"The release's sample can't be read ({type(error).__name__}: {error}).",
                where=str(folder),
                remedy="ask who made the release: it is signed as it is",
            ) from error
        return found

    def asked(self, manifest: Manifest) -> dict[str, Array]:
        """The arrays of an .npz that asks for it, as evaluation data has them: channels first, floats dequantised. The
        agent's conversion gives back what the file takes."""
        (array,) = self.inputs.values()
        return {"x": from_file(array, manifest.inputs[0].model_dump(exclude_none=True))}

    def wanted(self, manifest: Manifest) -> tuple[Array, float]:
        """(the first output as an agent saves it, float32; how far an answer may lie from it)."""
        name, array = next(iter(self.expected.items()))
        tensor = next((one for one in manifest.outputs if one.name == name), manifest.outputs[0])
        wanted: Array = from_file(array, tensor.model_dump(exclude_none=True)).astype("<f4")
        return wanted, self.tolerance * (tensor.scale or 1.0)


def _runtime(manifest: Manifest) -> Runtime | None:
    """The target's own entry for the bundle's runtime; None where this project doesn't know the target."""
    try:
        target = read_target(manifest.target, Project.here().root)
    except EdgewrightError:
        return None
    return next((one for one in target.runtime if one.name == manifest.runtime), None)
