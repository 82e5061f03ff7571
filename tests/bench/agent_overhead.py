"""p50 by the agent against a bare onnxruntime loop on the same model, core and runtime, interleaved.

`python -m tests.bench.agent_overhead MODEL.onnx`
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from statistics import median

from device_agents.bundle import Manifest, write_bundle
from device_agents.connect.local import base_python, scrubbed_environment
from device_agents.farm.device import open_device
from device_agents.farm.inventory import stand_in
from device_agents.farm.job import Job, JobVariant
from device_agents.farm.report import Report

_BARE = """
import os, sys, time
folder, model, core, seconds = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
os.sched_setaffinity(0, [core])
sys.path.insert(0, folder)
import numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
wanted = session.get_inputs()[0]
shape = [size if isinstance(size, int) else 1 for size in wanted.shape]
feed = {wanted.name: numpy.random.default_rng(0).standard_normal(shape).astype("float32")}
began = time.perf_counter()
while time.perf_counter() - began < 0.3:
    session.run(None, feed)
times = []
began = time.perf_counter()
while time.perf_counter() - began < seconds:
    start = time.perf_counter_ns()
    session.run(None, feed)
    times.append(time.perf_counter_ns() - start)
times.sort()
print(times[len(times) // 2])
"""


def _p50_ns(report: Report) -> float:
    result = report.results[0]
    if result["error"]:
        raise SystemExit(f"the agent could not run it: {result['error']}")
    return median(sample / block["batch"] for block in result["blocks"] for sample in block["samples_ns"])


def main() -> None:
    """Prints a line a round and the median ratio agent / bare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="an ONNX file with one float input")
    parser.add_argument("--rounds", type=int, default=14)
    parser.add_argument("--json", type=Path, help="file for the figures")
    given = parser.parse_args()
    ratios = []
    with tempfile.TemporaryDirectory(prefix="edgewright-overhead-") as folder:
        manifest = Manifest(
            name="bench",
            model="bench",
            target="host",
            format="onnx",
            runtime="onnxruntime",
            precision="float32",
            file="model.onnx",
            sha256="0" * 64,
            bytes=0,
            inputs=[],
            outputs=[],
        )
        bundle = write_bundle(Path(folder, "bundle"), given.model, manifest)
        with open_device(stand_in("host"), state=Path(folder)) as device:
            runtime = device.prepare("onnxruntime")
            variants = [JobVariant(name="bench", bundle=device.install(bundle.folder))]
            probe = device.measure(Job(model="bench", target="host", variants=variants, processes=1, blocks=1))
            core = probe.cpus[0]
            job = Job(model="bench", target="host", variants=variants, processes=1, blocks=6, cpus=[core])
            bare_command = [base_python(), "-I", "-c", _BARE, runtime.folder, str(bundle.model_file), str(core), "0.9"]

            def bare() -> float:
                done = subprocess.run(bare_command, env=scrubbed_environment(), check=True, capture_output=True)
                return float(done.stdout)

            for number in range(given.rounds):
                if number % 2:
                    alone, agents = bare(), _p50_ns(device.measure(job))
                else:
                    agents, alone = _p50_ns(device.measure(job)), bare()
                ratios.append(agents / alone)
                print(
                    f"round {number + 1}: agent {agents / 1e3:.1f} us, bare {alone / 1e3:.1f} us, {ratios[-1]:.4f}x",
                    flush=True,
                )
    print(f"p50 by the agent is {median(ratios):.4f}x that of a bare loop (median of {len(ratios)} interleaved rounds)")
    if given.json:
        given.json.write_text(json.dumps({"ratios": ratios, "median": median(ratios)}))


if __name__ == "__main__":
    main()
