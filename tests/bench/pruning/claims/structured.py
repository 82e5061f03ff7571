"""Structured pruning is faster on any hardware; unstructured zeros give no speed on dense hardware."""

from __future__ import annotations

from tests.bench.pruning.cells import Cell
from tests.bench.pruning.found import Found, base, pruned, seeds
from tests.bench.pruning.setting import Setting
from tests.bench.pruning.statements import (
    Finding,
    Plot,
    Statement,
    Table,
    Tone,
    difference,
    faster,
    larger,
    not_faster,
    percent,
    share_of,
    speed_dot,
    speed_text,
)

CLAIMED = (
    "Structured pruning removes whole filters and is faster on any hardware; unstructured pruning keeps more accuracy "
    "at the same share, but its zeros give no speed on dense hardware, however many."
)


def _structured(setting: Setting, share: float) -> list[Cell]:
    return seeds(setting, lambda seed: pruned(setting, seed, ("params", share), "l2"))


def _zeros(setting: Setting, share: float) -> list[Cell]:
    def one(seed: int) -> Cell:
        what = {
            "model": "resnet8", "share": share, "scope": "global", "epochs": setting.epochs, "train": setting.train,
            "validation": setting.validation, "test": setting.test, "seed": seed, "onnx": seed == setting.seeds[0],
        }  # fmt: skip
        return Cell("sparse", what, 1.5)

    return seeds(setting, one)


def cells(setting: Setting) -> list[Cell]:
    both = [[*_structured(setting, share), *_zeros(setting, share)] for share in setting.sparse]
    return [base(setting), *(cell for some in both for cell in some)]


def judge(setting: Setting, found: Found) -> Finding:
    finding = Finding("structured", "Structured against unstructured", CLAIMED)
    whole = base(setting)
    bare = found.of(whole)
    table = Table(
        "The same share of the weights gone",
        ("network", "speed-up", "top-1 before", "top-1 after", "file", "download (xz)"),
        [("unpruned", "1.00x", "", percent([bare["after"]]), f"{bare['bytes']:,}", f"{bare['download']:,}")],
    )
    plot = Plot("Speed-up over the unpruned network, 95 % interval", "x")
    for share in setting.sparse:
        some, zeros = _structured(setting, share), _zeros(setting, share)
        cut, sparse = found.ratio(whole, some[0]), found.ratio(whole, zeros[0])
        shrunk = bare["download"] / found.of(zeros[0])["download"]
        finding.statements += [
            Statement(f"{share_of(share)} of the weights in filters: faster", faster(cut), speed_text(cut), timed=True),
            Statement(f"{share_of(share)} zeros: no faster", not_faster(sparse), speed_text(sparse), timed=True),
            Statement(
                f"{share_of(share)} zeros: a smaller download",
                "reproduced" if shrunk > 1.02 else "refuted",
                f"{shrunk:.1f}x smaller as xz, 1.0x as a plain file",
            ),
        ]
        gap = difference(found.values(zeros, "after"), found.values(some, "after"))
        finding.statements.append(Statement(f"{share_of(share)}: zeros keep more accuracy", larger(gap), str(gap)))
        for name, group, ratio in (("filters", some, cut), ("zeros", zeros, sparse)):
            first = found.of(group[0])
            before, after = found.values(group, "before"), found.values(group, "after")
            size = (f"{first['bytes']:,}", f"{first['download']:,}")
            table.rows.append((f"{share_of(share)} {name}", speed_text(ratio), percent(before), percent(after), *size))
            if ratio:
                tone: Tone = "ours" if name == "filters" else "control"
                plot.rows.append((f"{share_of(share)} {name}", [speed_dot(ratio, tone)]))
    finding.tables.append(table)
    finding.plots.append(plot)
    finding.notes.append("filters: l2, one-shot, to a budget of parameters; zeros: smallest |weight| of all layers.")
    return finding
