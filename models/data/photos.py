"""Crops of twenty natural photos, labelled by the original network itself: for AGREEMENT with it, never for accuracy.

The photos are the ImageNet samples inside foolbox (MIT). No set of natural pictures big enough to measure accuracy on
is to be had in a package, so the label of a crop is what EfficientNet-Lite0 with its ImageNet weights says of it. The
original network therefore has a "top-1" of 100 % by definition, and a shrunk one's top-1 is the share of crops on
which it still says the same.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.extras import extra
from edgewright.files import sha256_bytes, write_atomically
from models.data.packages import FOOLBOX, LITE0, unpacked
from models.data.parts import DataParts, Part, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SIZE = 224
# Which photos go into which part: no crop of one photo is in two parts, or agreement would be measured on what was
# trained on. Calibration is taken from train.
PHOTOS = {"train": tuple(range(12)), "validation": (12, 13, 14), "test": (15, 16, 17, 18, 19)}
CROPS = {"train": 512, "validation": 96, "test": 200}
CALIBRATION = 64
LEAST = 0.2  # the smallest crop's share of the photo's area


def digest() -> str:
    """Names the photos, the network that labels them and how they are cut."""
    key = f"{FOOLBOX.sha256}-{LITE0.sha256}-{SIZE}-{PHOTOS}-{CROPS}-{LEAST}"
    return sha256_bytes(key.encode())[:16] + f"-{CALIBRATION}"


def load(source: Source) -> DataParts:
    """512 train, 96 validation, 200 test, 64 calibration crops; x float32 [N, 3, 224, 224] in -1..1, y int64.

    y is the original network's own answer (one of ImageNet's 1,000 classes). Raises DataMissing, BadData, or
    MissingExtra without Pillow or efficientnet-lite-pytorch.
    """
    import numpy as np

    folder = unpacked(FOOLBOX, source) / "foolbox" / "data"
    crops = {name: _crops(folder, name) for name in PHOTOS}
    answers = _answers(crops, source)
    parts = {name: Part(_normalised(crops[name]), answers[name].astype(np.int64)) for name in PHOTOS}
    return DataParts(
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        calibration=parts["train"].first(CALIBRATION),
        preprocessing={"divide_by": 127.5, "subtract": 1, "note": "labels are the original network's own answers"},
    )


def _crops(folder: Path, part: str) -> NDArray[np.uint8]:
    """uint8 [N, 3, 224, 224]: random squares of the part's photos, every other one mirrored; seeded by the part."""
    import numpy as np

    with extra("vision", "the data set photos"):
        from PIL import Image

    draw = np.random.default_rng([0, *PHOTOS[part]])
    photos = []
    for number in PHOTOS[part]:
        with Image.open(next(folder.glob(f"imagenet_{number:02d}_*.jpg"))) as file:
            photos.append(file.convert("RGB"))
    made = np.empty((CROPS[part], SIZE, SIZE, 3), np.uint8)
    # In turn over the photos, and in a random order after: the first samples of a part show all of its photos anyway.
    for place in range(CROPS[part]):
        photo = photos[place % len(photos)]
        side = int(min(photo.size) * draw.uniform(LEAST, 1.0) ** 0.5)
        left, top = (int(draw.integers(0, whole - side + 1)) for whole in photo.size)
        crop = photo.resize((SIZE, SIZE), Image.Resampling.BILINEAR, (left, top, left + side, top + side))
        pixels = np.asarray(crop)
        made[place] = pixels[:, ::-1] if place % 2 else pixels
    return np.ascontiguousarray(made.transpose(0, 3, 1, 2))


def _normalised(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    import numpy as np

    return crops.astype(np.float32) / np.float32(127.5) - np.float32(1)


def _answers(crops: dict[str, NDArray[np.uint8]], source: Source) -> dict[str, NDArray[np.int16]]:
    """What the original network says of each crop; kept in the cache, since that takes it most of a minute."""
    import numpy as np

    # Another Pillow may scale by a hair otherwise: the crops themselves are in the key.
    key = sha256_bytes("".join(sha256_bytes(crops[name].tobytes()) for name in sorted(crops)).encode())[:16]
    kept = source.cache / f"photos-{LITE0.sha256[:12]}-{key}.npz"
    if kept.is_file():
        try:
            with np.load(kept, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in crops}
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error):
            kept.unlink(missing_ok=True)  # damaged: made anew below
    answers = {name: _ask(crops[name]) for name in crops}
    stream = io.BytesIO()
    np.savez_compressed(stream, train=answers["train"], validation=answers["validation"], test=answers["test"])
    write_atomically(kept, stream.getvalue())
    return answers


def _ask(crops: NDArray[np.uint8]) -> NDArray[np.int16]:
    import numpy as np
    import torch

    from models.architectures.efficientnet import lite0

    network = lite0().eval()
    answers = []
    with torch.no_grad():
        for start in range(0, len(crops), 16):
            answers.append(network(torch.from_numpy(_normalised(crops[start : start + 16]))).argmax(-1).numpy())
    return np.concatenate(answers).astype(np.int16)
