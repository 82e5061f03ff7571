"""torch on a device: TorchScript and exported programs give what the module gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from device_agents.agent.feeds import Fed
from device_agents.agent.runtimes import Input, Model, open_runtime

torch = pytest.importorskip("torch")
np = pytest.importorskip("numpy")

TENSORS: Any = {
    "inputs": ({"name": "input", "dtype": "float32", "shape": ["batch", 3]},),
    "outputs": ({"name": "output", "dtype": "float32", "shape": ["batch", 2]},),
}


@pytest.mark.parametrize("form", ["pt", "pt2"])
def test_file_gives_what_the_module_gives(tmp_path: Path, form: str) -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU()).eval()
    path = tmp_path / f"model.{form}"
    x = torch.randn(2, 3)
    if form == "pt":
        torch.jit.trace(net, x).save(str(path))
    else:
        torch.export.save(torch.export.export(net, (x,)), path)
    expected = net(x).detach().numpy()
    runtime = Fed(open_runtime("torch"))
    runtime.load(Model(str(path), **TENSORS))
    assert runtime.inputs() == [Input("input", (None, 3), "float32")]
    np.testing.assert_allclose(runtime.run({"input": x.numpy()})[0], expected, rtol=1e-6)
    called: Any = runtime.caller({"input": x.numpy()})()
    np.testing.assert_allclose(called.numpy(), expected, rtol=1e-6)
    assert runtime.providers() == ["CPU"]
