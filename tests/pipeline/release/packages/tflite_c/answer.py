"""What ai-edge-litert says of a model and answers to an input: the other half of double.cpp."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

TYPES = {"float32": 1, "int32": 2, "uint8": 3, "int64": 4, "int16": 7, "int8": 9, "float64": 11}


def described(detail: dict[str, Any]) -> str:
    """TfLiteType, bytes and axes of a tensor."""
    import numpy as np

    dtype = np.dtype(detail["dtype"])
    shape = [int(size) for size in detail["shape"]]
    return " ".join(map(str, [TYPES[dtype.name], int(np.prod(shape)) * dtype.itemsize, *shape]))


def main() -> None:
    """MODEL prints its input and output; MODEL INPUT OUTPUT runs it from file to file."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(sys.argv[1])
    interpreter.allocate_tensors()
    given, gives = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    if len(sys.argv) == 2:
        print(described(given), described(gives), sep="\n")
        return
    array = np.frombuffer(Path(sys.argv[2]).read_bytes(), given["dtype"]).reshape(given["shape"])
    interpreter.set_tensor(given["index"], array)
    interpreter.invoke()
    Path(sys.argv[3]).write_bytes(interpreter.get_tensor(gives["index"]).tobytes())


if __name__ == "__main__":
    main()
