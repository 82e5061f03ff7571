"""`./inv package`: a bundle of this project as one small file, to keep or to hand on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from device_agents.package import SUFFIX, Package, write_package
from edgewright.errors import BadArgument
from pipeline.bundles import find_bundle
from pipeline.project import Project

_HOW = {"": "as it is", ".xz": "xz", ".gz": "gzip", ".sparse.xz": "sparse form, xz", ".sparse.gz": "sparse form, gzip"}


@dataclass(frozen=True)
class Packaged:
    """A package and the bundle that it is of."""

    digest: str
    package: Package

    def lines(self) -> list[str]:
        """What the command prints."""
        made = self.package
        return [
            f"{made.path}  {made.bytes:,} bytes: bundle {self.digest[:12]}",
            f"  model file {made.unpacked:,} > {made.model_bytes:,} bytes "
            f"({made.unpacked / max(made.model_bytes, 1):.2f}x smaller, {_HOW[made.packing]})",
        ]


def package(project: Project, given: str, out: Path | None = None) -> Packaged:
    """Writes the bundle that `given` names (as find_bundle) to `out`, or to MODEL-NAME.ewp in the working folder.

    Raises find_bundle's errors, BadArgument, PackageNotWritten.
    """
    bundle = find_bundle(project, given)
    path = out or Path(default_name(bundle.manifest.model, bundle.manifest.name))
    if path.suffix != SUFFIX:
        raise BadArgument(f"A package's name ends in {SUFFIX}.", where=f"--out {path}", remedy=f"--out {path}{SUFFIX}")
    if path.is_dir():
        raise BadArgument("A folder has that name.", where=f"--out {path}", remedy="give the package another name")
    return Packaged(bundle.digest, write_package(bundle, path))


def default_name(model: str, variant: str) -> str:
    """What a package is called where nobody says: letters, digits and what file systems and shells leave alone."""
    return re.sub(r"[^A-Za-z0-9._+@-]+", "_", f"{model}-{variant}") + SUFFIX
