"""Stages: which modules of two networks look at the same thing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from models.architectures.mobilenetv2 import mobilenetv2
from models.architectures.resnet import resnet8, resnet20
from models.architectures.vit import VisionTransformer
from pipeline.distillation.stages import NoStages, Stage, find_stages
from pipeline.pruning.surgery import remove

PICTURES = torch.randn(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def vit(depth: int, width: int = 16, patch: int = 4) -> VisionTransformer:
    return VisionTransformer(16, patch, width, depth, 2, 2.0, 1, 4)


def signal(width: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(2, width, 3, 2, 1), nn.ReLU(), nn.Conv1d(width, 2 * width, 3, 2, 1), nn.BatchNorm1d(2 * width),
        nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(2 * width, 3),
    )  # fmt: skip


class Bert(nn.Module):
    """Layers that give tuples, as transformers' do, in a list with parts of their own."""

    class Layer(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
            self.output = nn.Linear(width, width)

        def forward(self, x: Tensor, mask: None = None) -> tuple[Tensor, Tensor]:
            mixed, weights = self.attention(x, x, x)
            return x + self.output(mixed), weights

    def __init__(self, depth: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, width)
        self.layer = nn.ModuleList(self.Layer(width) for _ in range(depth))
        self.head = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embedding(x)
        for layer in self.layer:
            x, _ = layer(x, mask=None)
        return self.head(x.mean(1))


def test_stages_of_two_resnets_are_the_last_outputs_of_each_size() -> None:
    student, teacher = resnet8((8, 16, 32), stem_stride=1), resnet20((16, 32, 64), stem_stride=1)
    stages = find_stages(student, teacher, PICTURES)
    assert [stage.channels for stage in stages] == [(8, 16), (16, 32), (32, 64)]
    assert {stage.axis for stage in stages} == {1}
    saw: dict[str, Tensor] = {}
    for name, module in student.named_modules():
        module.register_forward_hook(lambda module, inputs, output, name=name: saw.setdefault(name, output))
    student(PICTURES)
    assert [tuple(saw[stage.student].shape[2:]) for stage in stages] == [(16, 16), (8, 8), (4, 4)]
    assert [stage.student for stage in stages] == ["blocks.0", "blocks.1", "blocks"]


def test_stages_of_a_mobilenet_are_its_blocks_not_what_a_later_one_makes_on_its_way() -> None:
    mobile = mobilenetv2()
    stages = find_stages(mobile, resnet20(), torch.randn(2, 1, 28, 28))
    assert [stage.student for stage in stages[:-1]] == ["blocks.2", "blocks.5"]
    assert [stage.teacher for stage in stages] == ["blocks.2", "blocks.5", "blocks"]


def test_stages_within_one_module_of_several_sizes_are_found_all_the_same() -> None:
    class Features(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(1, 4, 3, 2, 1), nn.Conv2d(4, 8, 3, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(x))

    student = nn.Sequential(Features(), nn.Flatten(), nn.Linear(128, 4))
    named = [stage.student for stage in find_stages(student, student, PICTURES)]
    assert named == ["0.first", "0"]


def test_stages_of_one_size_in_common_are_that_one() -> None:
    stages = find_stages(resnet8(stem_stride=1), resnet8(stem_stride=2), PICTURES)
    assert len(stages) == 2  # 8x8 and 4x4; 16x16 and 2x2 are seen by one of them alone


def test_stages_of_two_transformers_are_at_the_quarters_of_their_depth() -> None:
    stages = find_stages(vit(2), vit(8, width=32), PICTURES)
    tokens = [stage for stage in stages if stage.axis == 2]
    assert tokens == [
        Stage("layers.0", "layers.3", (16, 32), 2),
        Stage("layers.1", "layers.7", (16, 32), 2),
    ]
    assert [stage.student for stage in stages if stage.axis == 1] == ["patches"]
    deep = [stage for stage in find_stages(vit(8), vit(4), PICTURES) if stage.axis == 2]
    assert [(stage.student, stage.teacher) for stage in deep] == [
        (f"layers.{2 * place + 1}", f"layers.{place}") for place in range(4)
    ]


def test_stages_of_a_transformer_that_lost_layers_are_of_those_left() -> None:
    student = vit(4)
    remove(student, "layers.0")
    remove(student, "layers.2")
    tokens = [stage for stage in find_stages(student, vit(4), PICTURES) if stage.axis == 2]
    assert [(stage.student, stage.teacher) for stage in tokens] == [("layers.1", "layers.1"), ("layers.3", "layers.3")]


def test_stages_of_layers_that_give_tuples_are_found() -> None:
    tokens = torch.randint(0, 20, (3, 6), generator=torch.Generator().manual_seed(0))
    stages = find_stages(Bert(2, 8), Bert(4, 16), tokens)
    assert stages == [Stage("layer.0", "layer.1", (8, 16), 2), Stage("layer.1", "layer.3", (8, 16), 2)]


def test_stages_of_a_single_layer_are_the_layer_not_its_attention() -> None:
    tokens = torch.randint(0, 20, (3, 6), generator=torch.Generator().manual_seed(0))
    assert find_stages(Bert(1, 8), Bert(1, 16), tokens) == [Stage("layer.0", "layer.0", (8, 16), 2)]


def test_stages_of_other_numbers_of_tokens_never_match() -> None:
    with pytest.raises(NoStages):
        find_stages(vit(2), vit(2, patch=8), PICTURES)


def test_stages_of_a_module_that_runs_twice_are_of_its_last_run() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.relu = nn.Conv2d(1, 4, 3, 2, 1), nn.Conv2d(4, 6, 3, 1, 1), nn.ReLU()
            self.head = nn.Linear(384, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.relu(self.second(self.relu(self.first(x)))).flatten(1))

    assert find_stages(Shared(), Shared(), PICTURES) == [Stage("relu", "relu", (6, 6), 1)]


def test_stages_of_signals_have_their_channels_in_front() -> None:
    x = torch.randn(3, 2, 16)
    assert find_stages(signal(4), signal(8), x) == [Stage("1", "1", (4, 8), 1), Stage("3", "3", (8, 16), 1)]


def test_stages_that_are_named_are_taken_as_they_are() -> None:
    named = [("layers.0.attention.out", "layers.2")]
    assert find_stages(vit(2), vit(4, width=32), PICTURES, named) == [
        Stage("layers.0.attention.out", "layers.2", (16, 32), 2)
    ]


@pytest.mark.parametrize(
    ("named", "said"),
    [
        (("layers.7", "layers.0"), r"'layers\.7' is no module of the student"),
        (("layers.0", "head"), r"'head' is no module of the teacher"),
        (("patches", "layers.0"), r"'patches' \[16, 4, 4\] and 'layers\.0' \[4, 16\] have other positions"),
        (("layers.0", "layers.0"), r"\[16, 16\] and 'layers\.0' \[4, 16\] have other positions"),
    ],
)
def test_stages_that_are_named_wrong_are_refused(named: tuple[str, str], said: str) -> None:
    with pytest.raises(NoStages, match=said):
        find_stages(vit(2), vit(2, patch=8), PICTURES, [named])


def test_stages_that_never_match_are_refused_with_what_both_have() -> None:
    student = nn.Sequential(nn.Conv2d(1, 4, 3, 3), nn.Flatten(), nn.Linear(100, 4))
    with pytest.raises(NoStages) as caught:
        find_stages(student, vit(2), PICTURES)
    assert "student: 5x5;" in caught.value.where and "4x4, 16 tokens" in caught.value.where
    assert "stages = [[" in caught.value.remedy


def test_stages_leave_no_hook_behind() -> None:
    student, teacher = vit(2), vit(4)
    find_stages(student, teacher, PICTURES)
    assert not any(module._forward_hooks for network in (student, teacher) for module in network.modules())
    with pytest.raises(RuntimeError):
        find_stages(student, teacher, PICTURES[:, :, :7])
    assert not any(module._forward_hooks for network in (student, teacher) for module in network.modules())
