"""A deploy's hour on the device: its bundles installed, one job over all of them, metrics and answers brought back."""

from __future__ import annotations

import secrets
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from device_agents.errors import AgentFailed
from device_agents.farm.canary_model import with_canary
from device_agents.farm.inventory import DeviceEntry
from device_agents.farm.job import Job, JobVariant
from device_agents.farm.opening import AnyDevice
from device_agents.farm.report import Report
from device_agents.farm.verdict import Metric
from pipeline.measuring import emulated, time_limit_s
from pipeline.metrics import metric
from pipeline.parity import Parity, compare_outputs
from pipeline.plan import Plan, Variant
from pipeline.steps.checking import EXPECTED, PARITY, CheckStep
from pipeline.steps.registry import step_class
from pipeline.steps.samples import FILE as EVALUATION
from pipeline.store import Artifact

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOP1 = "top-1"
# What the check steps run files with on this machine.
HOSTS = {"onnxruntime", "litert", "torch"}
CPU = {"CPUExecutionProvider", "XNNPACK"}


@dataclass
class Session:
    """One plan's variants on one device. By variant: bundles (folders), models (their files' artifacts), checks."""

    plan: Plan
    entry: DeviceEntry
    samples: Artifact
    bundles: dict[str, Path]
    models: dict[str, Artifact]
    checks: dict[str, Artifact]
    wait_s: float
    commit: str | None = None
    outputs: dict[str, str] = field(default_factory=dict)

    @property
    def own_metric(self) -> bool:
        """Whether the metric is the recipe's own, taken here on the outputs that the device gave."""
        return self.plan.recipe.metric.name != TOP1

    @property
    def phone(self) -> bool:
        """Whether nothing on the device gives outputs: metrics are taken here then."""
        return self.entry.kind == "adb"

    def measured(self, device: AnyDevice) -> Report:
        """Installs the bundles and the evaluation data, runs the job."""
        evaluation = None
        if not self.phone:
            with tempfile.TemporaryDirectory(prefix="edgewright-") as folder:
                npz = Path(folder) / EVALUATION
                npz.symlink_to(self.samples.path(EVALUATION))
                evaluation = device.push_data(npz)
        # A name of this job's own: the lock is free before the outputs are fetched.
        token = secrets.token_hex(4)
        self.outputs = {
            name: f"{device.root}/data/outputs-{token}-{place}.npy" for place, name in enumerate(self.bundles)
        }
        return device.measure(with_canary(self._job(device, evaluation), device.install), commit=self.commit)

    def answers(self, device: AnyDevice, report: Report) -> tuple[dict[str, Metric], dict[str, Parity]]:
        """By variant the metric, and how its answers compare with this machine's."""
        metrics: dict[str, Metric] = {}
        parities: dict[str, Parity] = {}
        for result in report.results:
            name = result["name"]
            if not (accuracy := result.get("accuracy")):
                if result["blocks"] and self.phone:
                    metrics[name] = self._host_metric(self._variant(name))
                continue
            found = self._fetched(device, name)
            parities[name] = self._parity(self._variant(name), found)
            metrics[name] = Metric(self.plan.recipe.metric.name, self._metric(found, accuracy))
        return metrics, parities

    def _fetched(self, device: AnyDevice, name: str) -> NDArray[Any]:
        """A variant's outputs, taken off the device."""
        remote = self.outputs[name]
        with tempfile.TemporaryDirectory(prefix="edgewright-") as folder:
            try:
                device.connection.pull(remote, Path(folder) / "outputs.npy")
            except FileNotFoundError as error:
                raise AgentFailed(
                    f"The outputs of {name} are no longer on {self.entry.name}",
                    where=remote,
                    remedy="run the same command again; what was measured is in the newest report",
                ) from error
            device.connection.remove(remote)
            return _array(Path(folder) / "outputs.npy")

    def _job(self, device: AnyDevice, evaluation: str | None) -> Job:
        plan, target = self.plan, self.plan.target
        variants = [
            JobVariant(
                name=variant.name,
                bundle=device.install(self.bundles[variant.name]),
                format=variant.runtime.format,
                runtime=variant.runtime.name,
                precision=variant.precision,
                providers=list(variant.runtime.providers),
                options={provider: dict(given) for provider, given in variant.runtime.options.items()},
                save_outputs=self.outputs[variant.name],
            )
            for variant in plan.variants
            if variant.name in self.bundles
        ]
        return Job(
            model=plan.recipe.name,
            target=target.name,
            variants=variants,
            evaluation=evaluation,
            saved_samples=None if self.own_metric else PARITY,
            threads=target.threads,
            cpus=target.cpus if target.cpus == "auto" else list(target.cpus),
            wait_s=self.wait_s,
            sensors=target.sensors,
            time_limit_s=time_limit_s(variants),
            max_temperature_c=target.start_below_c,
            **(emulated() if self.entry.emulated else {}),
        )

    def _variant(self, name: str) -> Variant:
        return next(variant for variant in self.plan.variants if variant.name == name)

    def _metric(self, outputs: NDArray[Any], accuracy: dict[str, Any]) -> float:
        if not self.own_metric:
            return float(accuracy["value"])
        return self._judge(outputs, self._targets()[: len(outputs)])

    def _judge(self, outputs: NDArray[Any], targets: NDArray[Any]) -> float:
        return metric(self.plan.recipe.metric.name, self.plan.recipe.folder)(outputs, targets)

    def _targets(self) -> NDArray[Any]:
        return _array(self.samples.path(EVALUATION), "y")

    def _host_metric(self, variant: Variant) -> Metric:
        """The metric of a variant on this machine, for a device that gives no outputs (a phone's benchmark_model)."""
        step = step_class(self.plan.nodes[variant.check].step)()
        assert isinstance(step, CheckStep)
        outputs = step.outputs(self.models[variant.name], _array(self.samples.path(EVALUATION), "x"))
        return Metric(self.plan.recipe.metric.name, self._judge(outputs, self._targets()), on_device=False)

    def _parity(self, variant: Variant, found: NDArray[Any]) -> Parity:
        """What the device answered beside what the check step's file answered here, on the same first samples."""
        check = self.checks[variant.name]
        told, expected = check.summary["parity"], _array(check.path(EXPECTED))
        return compare_outputs(
            expected,
            found[: len(expected)],
            # Kernels of a CPU all add the same integers; TensorRT rounds as it likes.
            exact=told["exact"] and not set(variant.runtime.providers) - CPU,
            scale=told["scale"],
            same_runtime=variant.runtime.name in HOSTS,
            bound=self.plan.recipe.check.float_difference,
            # A GPU's float32 is TF32: ten bits of mantissa in a product.
            quantised=variant.precision != "float32" or bool(set(variant.runtime.providers) - CPU),
            own_sqnr_db=check.summary.get("sqnr_db"),
        )


def _array(path: Path, name: str = "") -> NDArray[Any]:
    import numpy as np

    loaded = np.load(path, allow_pickle=False)
    return loaded[name] if name else loaded
