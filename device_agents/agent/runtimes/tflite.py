"""TensorFlow Lite files, by either of two interpreters with one interface: ai-edge-litert's and tflite-runtime's."""

from __future__ import annotations

import base64
import importlib
from typing import Any, Callable, Dict, List, Tuple

from . import MODULES, Input, Model, Runtime

# x + x on one float32, as flatbuffer (tests make it again): the smallest model that an interpreter can be built on.
SMALLEST = base64.b64decode(
    "GAAAAFRGTDMAAA4AFAAQAAwACAAAAAQADgAAABAAAAAYAAAA4AAAAAMAAAABAAAABAAAACj///8BAAAAEAAAAAwAFAAQAAwACAAE"
    "AAwAAAAQAAAAUAAAAFQAAABYAAAAAQAAABQAAAAAAA4AFAAAABAADAALAAQADgAAABAAAAAAAAALDAAAABAAAACA////AQAAAAEA"
    "AAACAAAAAAAAAAAAAAABAAAAAQAAAAEAAAAAAAAAAgAAADAAAAAEAAAA5P///wgAAAAMAAAAAQAAAHkAAAABAAAAAQAAAAwADAAI"
    "AAAAAAAEAAwAAAAIAAAADAAAAAEAAAB4AAAAAQAAAAEAAAABAAAACAAAAAQABAAEAAAA"
)


class TfliteRuntime(Runtime):
    """One interpreter with as many threads as asked. It takes XNNPACK by itself where its build has it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._interpreter: Any = None
        self._inputs: Dict[str, Dict[str, Any]] = {}
        self._outputs: Dict[str, int] = {}

    def versions(self) -> Dict[str, str]:
        import numpy

        importlib.import_module(MODULES[self.name])
        package = importlib.import_module(MODULES[self.name].partition(".")[0])
        return {"version": str(getattr(package, "__version__", "unknown")), "numpy": str(numpy.__version__)}

    def construct(self) -> None:
        self._open(model_content=SMALLEST).allocate_tensors()

    def _open(self, **given: Any) -> Any:
        import numpy

        interpreter = importlib.import_module(MODULES[self.name]).Interpreter
        try:
            return interpreter(**given)
        except (SystemError, AttributeError) as error:
            # Built for numpy 1: the import goes through, the first interpreter dies of "_ARRAY_API not found".
            if int(numpy.__version__.partition(".")[0]) < 2:
                raise
            raise RuntimeError(
                "%s needs numpy older than 2, found numpy %s in %s" % (self.name, numpy.__version__, numpy.__path__[0])
            ) from error

    def load(self, model: Model) -> None:
        self._interpreter = self._open(model_path=model.path, num_threads=model.threads)
        self._interpreter.allocate_tensors()
        inputs, outputs = self._signature()
        by_index = {detail["index"]: detail for detail in self._interpreter.get_input_details()}
        self._inputs = {inputs.get(index, str(detail["name"])): detail for index, detail in by_index.items()}
        details = self._interpreter.get_output_details()
        self._outputs = {outputs.get(one["index"], str(one["name"])): one["index"] for one in details}

    def _signature(self) -> Tuple[Dict[int, str], Dict[int, str]]:
        """Names of inputs and of outputs by tensor number, as the file's only signature has them; else none."""
        try:
            # Not public, but the only way to the numbers; its public sister tells the names alone.
            found = list(self._interpreter._get_full_signature_list().values())
        except AttributeError:
            return {}, {}
        if len(found) != 1:
            return {}, {}
        inputs, outputs = (
            {int(number): str(name) for name, number in found[0].get(kind, {}).items()}
            for kind in ("inputs", "outputs")
        )
        return inputs, outputs

    def inputs(self) -> List[Input]:
        import numpy

        return [
            Input(
                name,
                # shape_signature has -1 for an axis that is open; shape has 1 there.
                tuple(int(size) if size > 0 else None for size in detail.get("shape_signature", detail["shape"])),
                numpy.dtype(detail["dtype"]).name,
            )
            for name, detail in self._inputs.items()
        ]

    def outputs(self) -> List[str]:
        return list(self._outputs)

    def run(self, arrays: Dict[str, Any]) -> List[Any]:
        self._fit(arrays)
        for name, array in arrays.items():
            self._interpreter.set_tensor(self._inputs[name]["index"], array)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs.values()]

    def _fit(self, arrays: Dict[str, Any]) -> None:
        """Resizes inputs whose shape isn't the arrays' (an open batch)."""
        now = {detail["index"]: tuple(detail["shape"]) for detail in self._interpreter.get_input_details()}
        changed = [name for name, array in arrays.items() if now[self._inputs[name]["index"]] != array.shape]
        for name in changed:
            self._interpreter.resize_tensor_input(self._inputs[name]["index"], arrays[name].shape, strict=True)
        if changed:
            self._interpreter.allocate_tensors()

    def caller(self, arrays: Dict[str, Any]) -> Callable[[], object]:
        # Inside what is timed: a copy of each input in, the inference, a copy of the first output out, as a session of
        # onnxruntime does too. Outside: layout, quantising, resizing.
        self._fit(arrays)
        interpreter, first = self._interpreter, next(iter(self._outputs.values()))
        pairs = [(self._inputs[name]["index"], array) for name, array in arrays.items()]
        if len(pairs) == 1:
            ((index, only),) = pairs

            def one() -> object:
                interpreter.set_tensor(index, only)
                interpreter.invoke()
                return interpreter.get_tensor(first)

            return one

        def several() -> object:
            for number, array in pairs:
                interpreter.set_tensor(number, array)
            interpreter.invoke()
            return interpreter.get_tensor(first)

        return several

    def providers(self) -> List[str]:
        # A delegate replaces what it took by one operator of its own; XNNPACK is the only one taken by default.
        found = self._interpreter._get_ops_details()
        return ["XNNPACK" if any(one["op_name"] == "DELEGATE" for one in found) else "CPU"]
