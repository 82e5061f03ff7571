"""Follows labels through a network's graph, node by node; rules/ says how each operation passes them on."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from edgewright.errors import EdgewrightError
from pipeline.pruning.atoms import NOBODY, Atoms
from pipeline.pruning.labels import along, atoms_of, tidy, varies

if TYPE_CHECKING:
    from torch import Tensor, fx, nn
    from torch.export import ExportedProgram

Value = Any
"""The labels of one tensor (a list of tensors), or of several (a list of such lists)."""


class NotTraceable(EdgewrightError):
    """torch.export can't follow the network's forward."""


@dataclass(frozen=True)
class Cost:
    """MACs of one node for one sample: `fixed` x the positions left along each axis (label vectors)."""

    fixed: Fraction
    axes: tuple[Tensor, ...]


@dataclass
class Tracer:
    """The state while a graph is followed. batch: samples in the example."""

    atoms: Atoms = field(default_factory=Atoms)
    batch: int = 2
    found_costs: list[Cost] = field(default_factory=list)
    grids: list[Tensor] = field(default_factory=list)
    counters: list[tuple[str, frozenset[int]]] = field(default_factory=list)
    read: set[tuple[str, int]] = field(default_factory=set)
    made: set[tuple[str, int]] = field(default_factory=set)
    used: set[str] = field(default_factory=set)
    axes: dict[tuple[str, int], range] = field(default_factory=dict)
    _labels: dict[fx.Node, Value] = field(default_factory=dict)

    # ---- what rules ask

    def operation(self, node: fx.Node) -> str:
        """The operator's plain name: conv2d for aten.conv2d.default and relu for aten.relu_.default."""
        if node.target is operator.getitem:
            return "getitem"
        name = str(getattr(node.target, "_opname", getattr(node.target, "__name__", node.target)))
        return name.rstrip("_") if not name.endswith("__") else name

    def module(self, node: fx.Node) -> str:
        """The module whose forward computes the node; "" for the network itself."""
        stack = list((node.meta.get("nn_module_stack") or {}).values())
        return str(stack[-1][0]).rpartition("@")[0] or str(stack[-1][0]) if stack else ""

    def value(self, arg: Any) -> Tensor:
        """The (fake) tensor behind an argument: its shape is known, its numbers are not."""
        return arg.meta["val"]

    def values(self, node: fx.Node) -> list[Tensor]:
        return list(node.meta["val"])

    def argument(self, node: fx.Node, place: int, name: str, default: Any = None) -> Any:
        """An argument given by its place or by its name."""
        return node.args[place] if len(node.args) > place else node.kwargs.get(name, default)

    def is_tensor(self, arg: Any) -> bool:
        import torch
        from torch import fx

        return isinstance(arg, fx.Node) and isinstance(arg.meta.get("val"), torch.Tensor)

    def labels(self, arg: Any) -> list[Tensor]:
        return list(self._labels.get(arg, []))

    def several(self, arg: Any) -> list[Any]:
        return list(self._labels.get(arg, []))

    def inputs(self, node: fx.Node) -> list[fx.Node]:
        return [arg for arg in node.all_input_nodes if self.is_tensor(arg)]

    def run(self, node: fx.Node, label: Tensor) -> Any:
        """The node's own operation on a label in place of its first argument; None where it can't be run."""
        from torch import fx

        target = node.target
        if any(isinstance(arg, fx.Node) for arg in [*node.args[1:], *node.kwargs.values()]):
            return None
        try:
            return target(label, *node.args[1:], **node.kwargs)  # type: ignore[operator]
        except RuntimeError:  # view of what is not contiguous
            return target(label.contiguous(), *node.args[1:], **node.kwargs)  # type: ignore[operator]

    def freeze(self, node: fx.Node, labels: Iterable[Tensor], why: str) -> None:
        """What these labels stand for can't go."""
        for label in labels:
            self.atoms.freeze(atoms_of(label), why)

    def no_label(self, node: fx.Node) -> str:
        return f"{self.module(node) or self.operation(node)!r} reads what no layer makes"

    def reads(self, *atoms: Tensor) -> None:
        """These axes belong to those who read a channel, not to who makes it."""
        self.read.update(self._axes_of(atoms))

    def makes(self, *atoms: Tensor) -> None:
        """These axes are what somebody makes, whoever else may read them (a decoder with its encoder's weights)."""
        self.made.update(self._axes_of(atoms))

    def _axes_of(self, vectors: Iterable[Tensor]) -> Iterator[tuple[str, int]]:
        for vector in vectors:
            for atom in vector.tolist()[:1]:
                if atom != NOBODY:
                    origin = self.atoms.origins[atom]
                    yield origin.tensor, origin.axis

    def note_grid(self, node: fx.Node, label: Tensor) -> None:
        """A label over several dimensions must stay a rectangle whatever goes."""
        self.grids.append(label)
        self.note_counts(node)

    def note_counts(self, node: fx.Node) -> None:
        """The module that computes this node may hold a number of its channels or heads in an attribute."""
        atoms: set[int] = set()
        for arg in [*self.inputs(node), node]:
            labels = self._labels.get(arg, [])
            for label in labels:
                if not isinstance(label, list):
                    atoms.update(atoms_of(label))
        self.counters.append((self.module(node), frozenset(atoms - {NOBODY})))

    def costs(self, node: fx.Node, work: int, axes: list[tuple[int, Tensor]]) -> None:
        """MACs of the whole example: `work` x the sizes of `axes`; each axis as (size, label vector)."""
        vectors = tuple(vector for _, vector in axes)
        total = work * math.prod(len(vector) for vector in vectors)
        # The batch may be folded into one of the axes; what it doesn't divide is done once for all samples.
        self.found_costs.append(Cost(Fraction(work, self.batch if total % self.batch == 0 else 1), vectors))

    # ---- following

    def follow(self, program: ExportedProgram, names: Mapping[str, str]) -> None:
        """Gives every tensor of the graph its labels, joining and freezing atoms on the way.

        names: each name of a parameter or buffer > the first name that the same tensor has. Raises NotTraceable.
        """
        signature = program.graph_signature
        named = {
            place: names.get(name, name)
            for place, name in {**signature.inputs_to_parameters, **signature.inputs_to_buffers}.items()
        }
        for node in program.graph.nodes:
            self._check_shapes(node)
            if node.op == "placeholder":
                self._labels[node] = self._placeholder(node, named.get(node.name))
            elif node.op == "call_function":
                self._labels[node] = self._call(node)
            elif node.op == "output":
                for arg in node.all_input_nodes:
                    self.freeze(node, self.labels(arg), "they are the network's outputs")
        self._keep_rectangles()

    def _placeholder(self, node: fx.Node, tensor: str | None) -> list[Tensor]:
        """New atoms along each axis of a parameter or buffer; none for inputs and constants."""
        import torch

        if tensor is None or not self.is_tensor(node) or not node.users:
            return []
        self.used.add(tensor)
        shape = self.value(node).shape
        labels = []
        for axis, size in enumerate(shape):
            if size > 1 and (axis < 2 or len(shape) < 4):
                if (tensor, axis) not in self.axes:
                    self.axes[tensor, axis] = self.atoms.fresh(tensor, axis, size)
                atoms = self.axes[tensor, axis]
                labels.append(along(torch.arange(atoms.start, atoms.stop), axis, shape))
        return tidy(labels)

    def _check_shapes(self, node: fx.Node) -> None:
        import torch

        found = node.meta.get("val")
        for value in found if isinstance(found, (list, tuple)) else [found]:
            if isinstance(value, torch.Tensor) and not all(isinstance(size, int) for size in value.shape):
                raise NotTraceable(
                    f"The shape of what {self.operation(node)} computes depends on the data",
                    where=self.module(node) or "the network itself",
                    remedy="use masks (torch.where) instead of picking samples or positions by their numbers",
                )

    def _call(self, node: fx.Node) -> Value:
        import torch

        from pipeline.pruning.rules import RULES
        from pipeline.pruning.rules.passing import SPATIAL, pointwise, spatial

        name = self.operation(node)
        if name in RULES:
            return RULES[name](self, node)
        if not isinstance(node.meta.get("val"), (torch.Tensor, list, tuple)):
            return []
        if name.startswith(SPATIAL):
            return spatial(self, node)
        if torch.Tag.pointwise in getattr(node.target, "tags", ()):
            return pointwise(self, node)
        for arg in self.inputs(node):
            self.freeze(node, self.labels(arg), f"{name} is an operation that has no rule")
        return [[] for _ in self.values(node)] if isinstance(node.meta["val"], (list, tuple)) else []

    def _keep_rectangles(self) -> None:
        """What lies in a grid must leave whole lines: heads x width loses heads, groups x channels the same places."""
        import torch

        changed = True
        while changed:
            changed = False
            for grid in self.grids:
                dims = varies(grid)
                slim = grid[tuple(slice(None) if dim in dims else 0 for dim in range(grid.dim()))]
                roots = torch.tensor([self.atoms.root(a) if a != NOBODY else a for a in slim.reshape(-1).tolist()])
                roots = roots.view(slim.shape)
                if any(_whole_lines(roots, dim) for dim in range(roots.dim())):
                    continue
                self.atoms.join_slices(roots, roots.dim() - 1)
                changed = True


def _whole_lines(roots: Tensor, dim: int) -> bool:
    rows = roots.movedim(dim, 0).flatten(1)
    return bool((rows == rows[:, :1]).all())


def export(network: nn.Module, example: tuple[Tensor, ...]) -> ExportedProgram:
    """The network's graph, in evaluation mode. Raises NotTraceable."""
    import io
    import logging
    import warnings
    from contextlib import redirect_stderr, redirect_stdout

    import torch

    quiet = logging.getLogger("torch")
    level = quiet.level
    quiet.setLevel(logging.CRITICAL)
    noise = io.StringIO()
    try:
        with warnings.catch_warnings(), redirect_stdout(noise), redirect_stderr(noise), torch.enable_grad():
            warnings.simplefilter("ignore")
            return torch.export.export(network.eval(), example, strict=False)
    except Exception as error:  # the exporter raises many kinds
        lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
        raise NotTraceable(
            f"The network's forward can't be traced: {type(error).__name__}: {lines[0] if lines else ''}",
            where=_place(error, network),
            remedy="let its control flow depend on shapes only, not on a tensor's numbers (use torch.where)",
        ) from error
    finally:
        quiet.setLevel(level)


def _place(error: BaseException, network: nn.Module) -> str:
    """The line of the user's own forward where tracing stopped, as far as the traceback tells."""
    import inspect
    import traceback
    from pathlib import Path

    files = set()
    for module in network.modules():
        try:
            files.add(inspect.getsourcefile(type(module)))
        except TypeError:
            continue
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename in files and "/torch/" not in frame.filename
    ]
    if not frames:
        return type(network).__name__
    return f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}: {(frames[-1].line or '').strip()}"
