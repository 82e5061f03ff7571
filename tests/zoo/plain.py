"""Networks in a row: perceptrons, a 1-d convolution over a series, group norm, pictures flattened, ConvNeXt's block."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.zoo.entry import Entry, pictures, series, vectors


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(12, 32), nn.ReLU(), nn.BatchNorm1d(32), nn.Linear(32, 24), nn.Tanh(), nn.Dropout(0.1),
        nn.Linear(24, 10),
    )  # fmt: skip


class KeywordSpotter(nn.Module):
    """Convolutions over time, as small speech models have them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(4, 16, kernel_size=5, stride=2, padding=2)
        self.norm1 = nn.BatchNorm1d(16)
        self.conv2 = nn.Conv1d(16, 24, kernel_size=3, dilation=2, padding=2)
        self.norm2 = nn.BatchNorm1d(24)
        self.pool = nn.MaxPool1d(2)
        self.fc = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(F.leaky_relu(self.norm1(self.conv1(x)), 0.1))
        x = F.elu(self.norm2(self.conv2(x)))
        return F.log_softmax(self.fc(torch.max(x, dim=-1).values), dim=1)


class LeNet(nn.Module):
    """Pictures flattened into a linear layer: one channel is sixteen of its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 5, padding=2)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1)
        self.prelu = nn.PReLU(16)
        self.fc1 = nn.Linear(16 * 4 * 4, 32)
        self.fc2 = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(self.prelu(self.conv2(x)), 2)
        x = x.view(-1, self.num_flat_features(x))
        return self.fc2(F.relu(self.fc1(x)))

    def num_flat_features(self, x: Tensor) -> int:
        size = 1
        for one in x.size()[1:]:
            size *= one
        return size


class GroupNormNet(nn.Module):
    """Norms over groups of four channels: they go by fours or not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.norm1 = nn.GroupNorm(4, 16)
        self.conv2 = nn.Conv2d(16, 24, 3, stride=2, padding=1)
        self.conv3 = nn.Conv2d(24, 16, 3, padding=1)
        self.norm3 = nn.InstanceNorm2d(16, affine=True)
        self.fc = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.norm1(self.conv1(x)))
        x = F.silu(self.norm3(self.conv3(F.silu(self.conv2(x)))))
        return self.fc(x.amax(dim=(2, 3)))


class ChannelsLast(nn.Module):
    """ConvNeXt's block (Liu et al. 2022): a linear layer over channels-last pictures, and a learned scale a channel."""

    def __init__(self, dim: int = 16) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, dim, 4, 4)
        self.dwconv = nn.Conv2d(dim, dim, 7, padding=3, groups=dim)
        self.norm = nn.LayerNorm(dim)
        self.pwconv1 = nn.Linear(dim, 4 * dim)
        self.act = nn.GELU()
        self.pwconv2 = nn.Linear(4 * dim, dim)
        self.gamma = nn.Parameter(torch.rand(dim))
        self.head = nn.Linear(dim, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.dwconv(x).permute(0, 2, 3, 1)
        y = self.pwconv2(self.act(self.pwconv1(self.norm(y))))
        x = x + (self.gamma * y).permute(0, 3, 1, 2)
        return self.head(x.mean([-2, -1]))


_FILTERS, _NEURONS = frozenset({"filters"}), frozenset({"neurons"})

ENTRIES = {
    "mlp": Entry(mlp, vectors(12), _NEURONS, {"6": "output"}),
    "conv1d": Entry(KeywordSpotter, series(4, 20), _FILTERS, {"fc": "softmax"}),
    "lenet": Entry(LeNet, pictures(), _FILTERS | _NEURONS, {"fc2": "output"}),
    "groupnorm": Entry(GroupNormNet, pictures(), _FILTERS, {"conv1": "norm", "fc": "output"}),
    "convnext": Entry(
        ChannelsLast, pictures(), _NEURONS, {"stem": "norm", "dwconv": "norm", "pwconv2": "norm", "head": "output"}
    ),
}
