"""Where cells work: data, trained networks, fine-tuning and accuracy, all by the project's own parts."""

from __future__ import annotations

import copy
import functools
import lzma
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.progress import Progress
from pipeline import data, network
from pipeline.metrics import top1
from pipeline.project import Project
from pipeline.pruning.evidence import Evidence
from pipeline.pruning.recalibrate import recalibrate
from pipeline.recipe import Recipe, read_recipe
from pipeline.steps.base import DataSpec, NetworkSpec, Places
from pipeline.training import Run, Schedule, cross_entropy, train

if TYPE_CHECKING:
    from torch import Tensor, nn

    from models.data.parts import DataParts, Part
    from pipeline.distillation import Teacher

OPSET = 20
# A board that runs ONNX alone: what is compared here is pruning, not runtimes.
ONNX = str(Path(__file__).resolve().parents[3] / "onnx.toml")
EVIDENCE_BATCH = 128
TEMPERATURE, TAUGHT = 4.0, 0.7


@dataclass(frozen=True)
class Lab:
    """One model of the project with its data. threads: torch's, in every training."""

    recipe: Recipe
    project: Project
    threads: int
    progress: Progress

    @classmethod
    def of(cls, model: str, project: Project, threads: int, progress: Progress) -> Lab:
        return cls(read_recipe(model, project.root), project, threads, progress)

    @property
    def places(self) -> Places:
        return Places(self.recipe.folder, self.project.cache, self.project.data)

    @functools.cached_property
    def parts(self) -> DataParts:
        return data.load(self.data_spec, self.places)

    @property
    def data_spec(self) -> DataSpec:
        return DataSpec(name=self.recipe.data, arguments=self.recipe.data_arguments)

    @property
    def spec(self) -> NetworkSpec:
        return NetworkSpec(factory=self.recipe.factory, arguments=self.recipe.arguments, seed=self.recipe.seed)

    @functools.cached_property
    def example(self) -> tuple[Tensor, ...]:
        import torch

        return (torch.from_numpy(self.parts.train.x[:2].copy()),)

    def initial(self, seed: int | None = None) -> nn.Module:
        """The untrained network; of the recipe's own seed, or of another."""
        spec = self.spec if seed is None else self.spec.model_copy(update={"seed": seed})
        return network.original(spec, self.places.recipe).eval()

    def trained(self) -> nn.Module:
        """The network with the weights that the recipe ships, or that its train step leaves in the store."""
        net = self.initial()
        network.load_weights(net, self._weights)
        return net.eval()

    @functools.cached_property
    def _weights(self) -> Path:
        if self.recipe.weights is not None:
            return self.places.recipe / self.recipe.weights
        from pipeline.build import builder
        from pipeline.plan import make_plan
        from targets.schema import read_target

        plan = make_plan(self.recipe, read_target(ONNX, self.project.root))
        node = next(node for node in plan.nodes.values() if node.step == "train")
        build = builder(self.project, plan, self.progress, lambda done: None, lambda line: None)
        done = build.build(plan, [node.id])[node.id]
        if done.artifact is None:
            assert done.trouble is not None
            raise done.trouble
        return done.artifact.path(network.WEIGHTS)

    def schedule(self, epochs: int, learning_rate: float | None = None) -> Schedule:
        """The recipe's schedule, as long as asked; fine-tuning takes half of its learning rate, as recipes do."""
        rate = self.recipe.train.learning_rate / 2 if learning_rate is None else learning_rate
        changes = {"epochs": epochs, "learning_rate": rate, "threads": self.threads}
        return self.recipe.train.schedule.model_copy(update=changes)

    def fine_tune(
        self,
        net: nn.Module,
        part: Part,
        schedule: Schedule,
        seed: int,
        judged_on: Part,
        teacher: Teacher | None = None,
        masks: tuple[str, ...] = (),
        keep_at: Mapping[int, Path] | None = None,
    ) -> None:
        """Trains `net` in place; the best epoch on `judged_on` (validation) is what it ends with."""
        run = Run(
            net,
            part,
            schedule,
            seed,
            cross_entropy(schedule.label_smoothing),
            "bench",
            teacher,
            masks=masks,
            judge=lambda judged: self.accuracy(judged, judged_on),
            keep_at=keep_at or {},
        )
        with tempfile.TemporaryDirectory(prefix="edgewright-bench-") as scratch:
            train(run, Path(scratch), self.progress)

    def teacher(self, part: Part, schedule: Schedule) -> Teacher:
        """The unpruned network's logits on the training samples."""
        import torch

        from pipeline.distillation import teacher_of

        x = torch.from_numpy(part.x)
        return teacher_of(self.trained(), x, "flip" in schedule.augment, TEMPERATURE, TAUGHT)

    def accuracy(self, net: nn.Module, part: Part) -> float:
        import torch

        from pipeline.distillation import logits_of

        torch.set_num_threads(self.threads)
        return top1(logits_of(net, torch.from_numpy(part.x)).numpy(), part.y)

    def recalibrated(self, net: nn.Module, part: Part, samples: int) -> nn.Module | None:
        """A copy whose batch norms have statistics of their own; None where it has no batch norm."""
        import torch

        other = copy.deepcopy(net)
        batches = torch.split(torch.from_numpy(part.x[:samples]), EVIDENCE_BATCH)
        return other if recalibrate(other, ((batch,) for batch in batches)) else None

    def evidence(self, part: Part, samples: int, seed: int, start: nn.Module | None = None) -> Evidence:
        """Training samples drawn by the seed, so that what the criteria see differs from seed to seed."""
        import torch

        x, y = torch.from_numpy(part.x), torch.from_numpy(part.y)
        loss = cross_entropy(self.recipe.train.label_smoothing)
        rows = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:samples]
        return Evidence(
            loss_of=lambda net, some: loss(net(x[some]), y[some]),
            inputs_of=lambda some: (x[some],),
            batches=list(torch.split(rows, EVIDENCE_BATCH)),
            start=start,
            seed=seed,
        )

    def size(self, net: nn.Module) -> dict[str, int]:
        """Parameters and multiply-accumulates of one sample."""
        found = network.measure(net, self.example[0][:1])
        return {"params": found.params, "macs": found.macs}

    def heads(self, net: nn.Module) -> dict[str, int]:
        """Attention heads by module, where a module counts them."""
        counts = {
            name: next(
                (getattr(module, one) for one in ("heads", "num_attention_heads", "num_heads") if hasattr(module, one)),
                None,
            )
            for name, module in net.named_modules()
        }
        return {name: int(count) for name, count in counts.items() if isinstance(count, int)}

    def export(self, net: nn.Module, path: Path) -> dict[str, int]:
        """Writes the ONNX file that would ship; its bytes plain and as a download (xz)."""
        from pipeline.export.lean import with_short_names, without_metadata
        from pipeline.export.to_onnx import to_onnx

        model = to_onnx(copy.deepcopy(net).eval(), self.example[0][:1], OPSET)
        content = with_short_names(without_metadata(model)).SerializeToString()
        path.write_bytes(content)
        return {"bytes": len(content), "download": len(lzma.compress(content, preset=9))}


def first(part: Part, count: int) -> Part:
    """The first samples of a part."""
    return part.first(min(count, len(part)))
