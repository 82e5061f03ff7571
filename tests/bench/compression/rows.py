"""The rows of the table: which network, in which form, from whom, and what it came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from tests.bench.compression.setting import HEADLINE, TRANSFORMERS, Cut, Setting
from tests.bench.pruning.cells import Cell

Family = Literal["base", "peer", "control", "ours"]
Way = Literal["float", "ort-defaults", "ort-set", "ort-dynamic", "nncf", "litert-float", "litert-int8"]

BASE = "fp32"
WAYS: dict[str, tuple[str, str, str]] = {
    "float": ("FP32", "onnxruntime", "float32"),
    "ort-defaults": ("onnxruntime INT8, its defaults", "onnxruntime", "int8"),
    "ort-set": ("onnxruntime INT8, well set", "onnxruntime", "int8"),
    "ort-dynamic": ("onnxruntime dynamic INT8", "onnxruntime", "dynamic"),
    "nncf": ("NNCF PTQ", "onnxruntime", "int8"),
    "litert-float": ("LiteRT FP32", "litert", "float32"),
    "litert-int8": ("LiteRT INT8", "litert", "int8"),
}
"""Way > what a person calls it, its runtime, its precision."""
ROLES = {
    "fastest": "fastest",
    "onnxruntime": "fastest in onnxruntime",
    "smallest": "smallest file",
    "lightest": "smallest package",
}
"""What is taken of a search's candidates, each the best of those that hold the floor on validation."""


@dataclass(frozen=True)
class Row:
    """One row, before it is made. cell: what makes it; role: which of a search's artifacts it is; floor: in points;
    parent: the row that it came from."""

    key: str
    label: str
    family: Family
    cell: Cell
    parent: str | None = None
    role: str | None = None
    floor: float | None = None
    seed: int | None = None


def rows_of(setting: Setting, epochs: int) -> list[Row]:
    """Every row, what others came from first. epochs: of peers' fine-tuning."""
    rows = [*_of_network(setting, None, epochs)]
    for cut in setting.cuts:
        rows += _of_network(setting, cut, epochs)
    for floor in setting.floors:
        for seed in setting.seeds if floor == HEADLINE else setting.seeds[:1]:
            rows += _searched(setting, floor, seed)
    return rows


def network_cell(setting: Setting, cut: Cut | None, epochs: int) -> Cell:
    """The trained network, or one that a peer cut and fine-tuned."""
    what: dict[str, Any] = {"model": setting.model, "cut": vars(cut) if cut else None}
    if cut:
        what |= {"epochs": epochs, "train": setting.train, "evidence": setting.evidence, "seed": setting.seeds[0]}
    return Cell("network", what)


def _of_network(setting: Setting, cut: Cut | None, epochs: int) -> list[Row]:
    """A network in every form that a user could give it."""
    network = network_cell(setting, cut, epochs)
    family: Family = "control" if cut and cut.taught else "peer"
    prefix, said = (f"{_key(cut)}-", f"{_said(cut)} > ") if cut else ("", "")
    rows = []
    for way in _ways(setting, cut):
        cell = Cell("artifact", {"network": network.what, "way": way, "calibration": setting.calibration})
        key = f"{prefix}{BASE if way == 'float' else way}"
        parent = None if key == BASE else BASE if way == "float" else f"{prefix}{BASE}"
        label = f"{said}{WAYS[way][0]}"
        rows.append(Row(key, label, "base" if key == BASE else family, cell, parent))
    return rows


def _ways(setting: Setting, cut: Cut | None) -> list[Way]:
    if cut is None:
        dynamic: list[Way] = ["ort-dynamic"] if setting.model in TRANSFORMERS else []
        litert: list[Way] = ["litert-float"] if setting.litert else []
        return ["float", "ort-defaults", "ort-set", *dynamic, "nncf", *litert, "litert-int8"]
    # Masked weights are a matter of the package: they run as the unmasked ones do.
    return ["float", "ort-set"] if cut.tool == "masks" else ["float", "ort-set", "litert-int8"]


def _searched(setting: Setting, floor: float, seed: int) -> list[Row]:
    """What is taken of one search; where a small file is searched for too, the smallest file and package are its."""
    what: dict[str, Any] = {
        "model": setting.model,
        "target": setting.target,
        "max_drop": floor,
        "budget": setting.budget,
        "seed": seed,
    }
    some = len(setting.seeds) > 1 and floor == HEADLINE
    said = f"ours, {floor:g} point{'' if floor == 1 else 's'}{f', seed {seed}' if some else ''}"
    of = dict.fromkeys(ROLES, (Cell("search", what), said))
    if floor == HEADLINE and setting.max_kb is not None:
        small = Cell("search", what | {"max_kb": setting.max_kb})
        of |= dict.fromkeys(("smallest", "lightest"), (small, f"{said}, a file of {setting.max_kb:g} kB"))
    return [
        Row(f"ours-{floor:g}-{seed}-{role}", f"{of[role][1]}: {name}", "ours", of[role][0], BASE, role, floor, seed)
        for role, name in ROLES.items()
    ]


def _key(cut: Cut) -> str:
    share = round(cut.share * 100)
    tool = {"torch-pruning": "tp", "masks": "masks"}[cut.tool]
    return f"{tool}-{cut.criterion}-{cut.ranking}-{share}{'-taught' if cut.taught else ''}"


def _said(cut: Cut) -> str:
    share = round(cut.share * 100)
    if cut.tool == "masks":
        return f"{share} % of the weights masked + fine-tuning"
    taught = "our distillation" if cut.taught else "fine-tuning"
    return f"Torch-Pruning {cut.criterion.capitalize()} {cut.ranking}, -{share} % MACs + {taught}"
