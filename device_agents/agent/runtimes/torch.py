"""TorchScript (.pt) and torch.export (.pt2) files by the device's own torch, on the CPU."""

from __future__ import annotations

from typing import Any, Callable, Dict, List

from . import Input, Model, Runtime


class TorchRuntime(Runtime):
    """One module in inference mode, intra-op threads as asked. The file tells no shapes: the manifest's are taken."""

    name = "torch"

    def __init__(self) -> None:
        self._module: Any = None
        self._model = Model("")

    def versions(self) -> Dict[str, str]:
        import numpy
        import torch

        return {"version": str(torch.__version__), "numpy": str(numpy.__version__)}

    def construct(self) -> None:
        import numpy
        import torch

        # Torch runs without numpy or with one that it wasn't built for, until an array shall cross over.
        torch.from_numpy(numpy.zeros(1, "float32")).add(1).numpy()

    def load(self, model: Model) -> None:
        import torch

        jit: Any = torch.jit
        torch.set_num_threads(model.threads)
        if model.path.endswith(".pt2"):
            self._module = torch.export.load(model.path).module()
        else:
            self._module = jit.load(model.path, map_location="cpu").eval()
        self._model = model

    def inputs(self) -> List[Input]:
        return [
            Input(
                str(tensor["name"]),
                tuple(size if isinstance(size, int) else None for size in tensor["shape"]),
                str(tensor["dtype"]),
            )
            for tensor in self._model.inputs
        ]

    def outputs(self) -> List[str]:
        return [str(tensor["name"]) for tensor in self._model.outputs]

    def _tensors(self, arrays: Dict[str, Any]) -> List[Any]:
        import torch

        # A copy, also because torch warns of arrays that can't be written.
        return [torch.from_numpy(arrays[str(tensor["name"])].copy()) for tensor in self._model.inputs]

    def run(self, arrays: Dict[str, Any]) -> List[Any]:
        found: Any = self.caller(arrays)()
        return [one.numpy() for one in (found if isinstance(found, (tuple, list)) else [found])]

    def caller(self, arrays: Dict[str, Any]) -> Callable[[], object]:
        import torch

        module, tensors, inference = self._module, self._tensors(arrays), torch.inference_mode

        def call() -> object:
            with inference():  # a microsecond or two
                return module(*tensors)

        return call

    def providers(self) -> List[str]:
        return ["CPU"]
