"""torch to a TorchScript file (.pt, for libtorch) or a torch.export program (.pt2).

A .pt2 of ours holds JSON and raw numbers, no pickle. TorchScript has two small pickles in its very format (data.pkl,
constants.pkl: the root object, the list of tensors), which libtorch reads with a reader of its own that runs no code.
We load back what we wrote ourselves; files from elsewhere are never loaded.
"""

from __future__ import annotations

import io
import re
import zipfile
from typing import TYPE_CHECKING, Any

from edgewright.quiet import quiet
from pipeline.export.refusal import refusal

if TYPE_CHECKING:
    from torch import Tensor, nn

FILES = {"torchscript": "model.pt", "pt2": "model.pt2"}
MANGLED = re.compile(rb"___torch_mangle_\d+")
FOR_DEBUGGING = ("stack_trace", "source_fn_stack", "torch_fn", "from_node", "custom")


def to_torch(net: nn.Module, example: Tensor, format_: str) -> bytes:
    """The network as a file of `format_` (torchscript or pt2), for inputs of the shape of `example` (a batch of 1).

    The same network gives the same bytes. Raises NotExportable with the layer.
    """
    return to_torchscript(net, example) if format_ == "torchscript" else to_pt2(net, example)


def to_torchscript(net: nn.Module, example: Tensor) -> bytes:
    """Traced, checked against a second trace and frozen: batch norms are folded, no code of the network's is left out.

    A choice that forward() makes by a value is frozen as `example` made it: the check step shows where that matters.
    """
    import torch

    jit: Any = torch.jit  # half of it has no types
    net.eval()

    def trace() -> Any:
        fast = torch.backends.mha.get_fastpath_enabled()
        # One fused operator for a whole nn.MultiheadAttention is not what every libtorch has.
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            with torch.no_grad():
                return jit.trace(net, (example,), check_trace=True)
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)

    with quiet():
        try:
            frozen = jit.freeze(trace())
        except Exception as error:  # the tracer raises many kinds
            raise refusal(net, (example,), error, "torch.jit.trace", trace) from error
        file = io.BytesIO()
        jit.save(frozen, file)
    return _lean_script(file.getvalue())


def to_pt2(net: nn.Module, example: Tensor) -> bytes:
    """torch.export's program. Out of it: source lines of this machine, and the example, which is somebody's data."""
    import torch

    net.eval()
    with quiet():
        try:
            with torch.no_grad():
                program = torch.export.export(net, (example,))
        except Exception as error:  # torch.export raises many kinds
            raise refusal(net, (example,), error, "torch.export") from error
        for node in program.graph.nodes:
            for key in FOR_DEBUGGING:
                node.meta.pop(key, None)
        program._example_inputs = None
        file = io.BytesIO()
        torch.export.save(program, file)
    return file.getvalue()


def _lean_script(data: bytes) -> bytes:
    """A TorchScript file without its debug records, which hold source lines of this machine.

    The tracer numbers classes by how many this process has traced, so their names are set to the same ones each time.
    """
    import torch

    numbers: dict[bytes, bytes] = {}

    def steady(text: bytes) -> bytes:
        return MANGLED.sub(lambda found: numbers.setdefault(found.group(), b"net%d" % (len(numbers) + 1)), text)

    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        records = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
        version = int(records.pop("version", b"") or records.pop(".data/version"))
        for own in ("byteorder", ".data/serialization_id"):
            records.pop(own, None)
        writer = torch._C.PyTorchFileWriter(made)
        writer.set_min_version(version)
        # Numbered in the order of the code, which is the order of the modules.
        for name, content in sorted(records.items(), key=lambda one: not one[0].startswith("code/")):
            if name.endswith(".debug_pkl"):
                continue
            text = name.startswith("code/") or name.endswith(".pkl")
            written = steady(content) if text else content
            writer.write_record(steady(name.encode()).decode(), written, len(written))
        writer.write_end_of_file()
    return made.getvalue()
