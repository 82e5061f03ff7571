"""Fashion-MNIST (Zalando, MIT): 60,000 + 10,000 grey 28x28 pictures of clothes in 10 classes (arXiv 1708.07747).

Looked for in the user's folder, the Debian package's folder, the cache; then fetched by `apt-get download` (no root)
or from the authors' site. Whichever way, the content is checked against the digests below.
"""

from __future__ import annotations

import gzip
import shutil
import subprocess
import tempfile
import zlib
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.errors import EdgewrightError
from edgewright.files import sha256_bytes
from models.data.parts import BadData, DataParts, Part, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# SHA-256 of the files *unpacked*: Debian packed them anew, so the .gz digests differ from the authors'.
CONTENT = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
DEBIAN_PACKAGE = "dataset-fashion-mnist"
DEBIAN_FOLDER = Path("usr/share/datasets/fashion-mnist")
OFFICIAL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
LABELS = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
MEAN, STD = 0.2860, 0.3530  # of the training pictures, in 0..1
VALIDATION, CALIBRATION = 5_000, 512


class DataMissing(EdgewrightError):
    """The data set is nowhere to be found and could not be fetched."""


def digest() -> str:
    """Names the content and how it is cut into parts."""
    return sha256_bytes("".join(CONTENT.values()).encode())[:16] + f"-{VALIDATION}-{CALIBRATION}-{MEAN}-{STD}"


def load(source: Source) -> DataParts:
    """55,000 train, 5,000 validation, 10,000 test, 512 calibration samples; x float32 [N, 1, 28, 28], normalised.

    Raises DataMissing where the files can't be had, BadData where their content is not the known one.
    """
    import numpy as np

    raw = _find(source)
    images = _idx(raw["train-images-idx3-ubyte"], 16).reshape(-1, 1, 28, 28)
    labels = _idx(raw["train-labels-idx1-ubyte"], 8).astype(np.int64)
    order = np.random.default_rng(0).permutation(len(labels))
    validation, train = order[:VALIDATION], order[VALIDATION:]
    test = Part(
        _normalised(_idx(raw["t10k-images-idx3-ubyte"], 16).reshape(-1, 1, 28, 28)),
        _idx(raw["t10k-labels-idx1-ubyte"], 8).astype(np.int64),
    )
    train_part = Part(_normalised(images[train]), labels[train])
    return DataParts(
        train=train_part,
        validation=Part(_normalised(images[validation]), labels[validation]),
        test=test,
        calibration=train_part.first(CALIBRATION),
        labels=LABELS,
        preprocessing={"divide_by": 255, "mean": [MEAN], "std": [STD]},
    )


def _normalised(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    import numpy as np

    return (images.astype(np.float32) / np.float32(255) - np.float32(MEAN)) / np.float32(STD)


def _idx(data: bytes, header: int) -> NDArray[np.uint8]:
    import numpy as np

    return np.frombuffer(data, np.uint8, offset=header)


def _find(source: Source) -> dict[str, bytes]:
    """The four files' content, from the first place that has them all."""
    cached = source.cache / "fashion-mnist"
    if source.folder is not None:
        if not _complete(source.folder):
            raise DataMissing(
                "Fashion-MNIST is not in the folder that was named",
                where=str(source.folder),
                remedy=f"put {', '.join(f'{name}.gz' for name in CONTENT)} there, or leave EDGEWRIGHT_DATA unset",
            )
        return _read(source.folder)
    for folder in (Path("/") / DEBIAN_FOLDER, cached):
        if _complete(folder):
            return _read(folder)
    tried: list[str] = [f"/{DEBIAN_FOLDER}: not there", f"{cached}: not there"]
    for fetch in (_from_debian, _from_authors):
        try:
            _fetch_into(cached, fetch)
            return _read(cached)
        except (OSError, HTTPException, subprocess.SubprocessError, BadData) as error:
            tried.append(f"{fetch.__doc__}: {_last_line(error)}")
    raise DataMissing(
        "Fashion-MNIST can't be found or fetched. Tried:\n    " + "\n    ".join(tried),
        remedy=f"apt-get install {DEBIAN_PACKAGE}, or put its four .gz files into a folder and name it: "
        "EDGEWRIGHT_DATA=FOLDER ./inv ...; or try --model digits, which needs no download",
    )


def _complete(folder: Path) -> bool:
    return all((folder / f"{name}.gz").is_file() or (folder / name).is_file() for name in CONTENT)


def _read(folder: Path) -> dict[str, bytes]:
    content = {}
    for name, expected in CONTENT.items():
        packed = folder / f"{name}.gz"
        try:
            data = gzip.decompress(packed.read_bytes()) if packed.is_file() else (folder / name).read_bytes()
        except (OSError, EOFError, zlib.error) as error:
            raise BadData(
                f"{packed.name} can't be unpacked: {error}", where=str(packed), remedy=_again(packed)
            ) from error
        if sha256_bytes(data) != expected:
            raise BadData(
                f"{name} is not the published file: its SHA-256 differs", where=str(folder), remedy=_again(packed)
            )
        content[name] = data
    return content


def _again(path: Path) -> str:
    return f"remove {path} and run the command again"


def _fetch_into(cached: Path, fetch: Callable[[Path], Path]) -> None:
    """Fetches beside the cache, checks, then moves in by one rename: a cut leaves nothing half-done."""
    cached.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fashion-mnist-", dir=cached.parent) as temporary:
        folder = fetch(Path(temporary))
        _read(folder)
        if cached.exists():
            shutil.rmtree(cached)
        shutil.copytree(folder, Path(temporary) / "whole")
        (Path(temporary) / "whole").rename(cached)


def _from_debian(folder: Path) -> Path:
    """apt-get download dataset-fashion-mnist"""
    for attempt in (1, 2):
        command = ["apt-get", "download", DEBIAN_PACKAGE]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
        if done.returncode == 0:
            break
        if attempt == 2:
            raise OSError(done.stderr.strip() or f"exit status {done.returncode}")
        # A new machine has no package lists yet; updating them takes root, and where it fails the second try says why.
        subprocess.run(["apt-get", "update"], capture_output=True, timeout=600)
    package = next(folder.glob("*.deb"), None)
    if package is None:
        raise OSError("it left no .deb file")
    subprocess.run(["dpkg", "-x", str(package), str(folder / "x")], check=True, capture_output=True, timeout=600)
    return folder / "x" / DEBIAN_FOLDER


def _from_authors(folder: Path) -> Path:
    """download from the authors' site"""
    import urllib.request

    for name in CONTENT:
        with urllib.request.urlopen(f"{OFFICIAL}/{name}.gz", timeout=60) as answer:
            (folder / f"{name}.gz").write_bytes(answer.read())
    return folder


def _last_line(error: BaseException) -> str:
    if isinstance(error, EdgewrightError):
        return error.what
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
