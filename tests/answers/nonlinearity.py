"""Right and wrong answers to the exercises on nonlinearity; see ``tests/test_exercises.py``."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


def gradient_that_writes_into_its_input(x, above):
    above[x <= 0] = 0
    return above


def leaky_by_parts(x, slope=0.01):
    return x.clamp(min=0) + slope * x.clamp(max=0)


def leaky_by_mask(x, slope=0.01):
    result = x.clone()
    result[x < 0] *= slope
    return result


def leaky_that_writes_into_its_input(x, slope=0.01):
    x[x < 0] *= slope
    return x


def flatten_by_rows(x):
    return torch.stack([image.reshape(-1) for image in x])


class Network(nn.Module):
    """The network as a class, its layers made in another order."""

    def __init__(self, height, width, relu_behind=False, flat=1):
        super().__init__()
        self.output = nn.Linear(128, 10)
        self.dense = nn.Linear(32 * (height // 4) * (width // 4), 128)
        self.one, self.two = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1)
        self.relu_behind, self.flat = relu_behind, flat

    def forward(self, x):
        x = F.relu(F.max_pool2d(self.one(x), 2))  # ReLU and max pooling may change places
        x = F.relu(F.max_pool2d(self.two(x), 2))
        x = self.output(F.relu(self.dense(x.flatten(self.flat))))
        return F.relu(x) if self.relu_behind else x


def network(height, width, *, features=None, kernel=3, channels=(16, 32), units=128, pool=nn.MaxPool2d):
    features = features or channels[1] * (height // 4) * (width // 4)
    pad = kernel // 2
    return nn.Sequential(
        nn.Conv2d(1, channels[0], kernel, padding=pad), nn.ReLU(), pool(2),
        nn.Conv2d(*channels, kernel, padding=pad), nn.ReLU(), pool(2),
        nn.Flatten(1, -1), nn.Linear(features, units), nn.ReLU(), nn.Linear(units, 10),
    )  # fmt: skip


def head_by_loops(maps, weight, bias):
    rows = [[sum(w * m.mean() for w, m in zip(row, image, strict=True)) for row in weight] for image in maps]
    return torch.stack([torch.stack(row) for row in rows]) + bias


def dead_by_loops(z):
    return sum(all(value <= 0 for value in column) for column in z.T.tolist())


SHAPES = [[4, 5, 8, 14], [4, 5, 4, 7], [4, 6, 4, 7], [4, 6, 1, 3], [4, 18], [4, 10]]

RIGHT = {
    "shapes": [SHAPES, [tuple(shape) for shape in SHAPES]],
    "relu_gradient": [
        lambda x, above: above * (x > 0),
        lambda x, above: above.masked_fill(x <= 0, 0),
        lambda x, above: above * x.sign().clamp(min=0),
    ],
    "leaky_relu": [leaky_by_parts, leaky_by_mask, lambda x, slope=0.01: F.relu(x) - slope * F.relu(-x)],
    "flatten": [
        lambda x: x.view(x.size(0), -1),
        lambda x: x.reshape(len(x), -1),
        nn.Flatten(),
        flatten_by_rows,
        lambda x: x.flatten(2).flatten(1),
    ],
    "network": [network, Network],
    "gap_head": [
        head_by_loops,
        lambda maps, weight, bias: maps.mean((2, 3)) @ weight.T + bias,
        lambda maps, weight, bias: F.conv2d(maps, weight[:, :, None, None], bias).mean((2, 3)),
    ],
    "dead_units": [
        dead_by_loops,
        lambda z: int((F.relu(z).sum(0) == 0).sum()),
        lambda z: (z.amax(0) <= 0).sum().item(),
    ],
}

WRONG = {
    "shapes": {
        "a window of 3 and stride 2": [*SHAPES[:3], [4, 6, 2, 3], [4, 36], [4, 10]],
        "not by its window of 3": [*SHAPES[:3], [4, 6, 1, 2], [4, 12], [4, 10]],
        "leaves the batch axis alone": [*SHAPES[:4], [72], [10]],
        "the batch axis stays": [*SHAPES[:4], [18], [10]],
        "multiply by the 6": [*SHAPES[:4], [4, 3], [4, 10]],
        "takes nothing away": [*SHAPES[:2], [4, 6, 2, 5], [4, 6, 1, 2], [4, 12], [4, 10]],
        "activations were to be left out": [SHAPES[0], *SHAPES[:3], SHAPES[2], *SHAPES[3:]],
        "the height, 12, comes before the width": [*([*s[:2], s[3], s[2]] for s in SHAPES[:4]), *SHAPES[4:]],
        "entry 0": [[4, 5, 12, 18], *SHAPES[1:]],
        "5 entries, but it must have 6": SHAPES[:5],
    },
    "relu_gradient": {
        "multiplies it by the slope from above": lambda x, above: (x > 0).to(x.dtype),
        "x > 0, not x >= 0": lambda x, above: above * (x >= 0),
        "that is ReLU of x": lambda x, above: x.clamp(min=0),
        "the sign of x decides": lambda x, above: above.clamp(min=0),
        "not x itself": lambda x, above: x.clamp(min=0) * above,
        "here it was cut off": lambda x, above: (above * (x > 0)).clamp(min=0),
        "turned round": lambda x, above: above * (x <= 0),
        "passed on everywhere": lambda x, above: above * 1,
        "changed its arguments": gradient_that_writes_into_its_input,
        "but it must be torch.float64": lambda x, above: (above * (x > 0)).float(),
        "is torch.bool": lambda x, above: x > 0,
        "(NoneType)": lambda x, above: None,
        "raised RuntimeError": lambda x, above: F.relu(x).backward(above),
        "got      [0, 0, 0, 0]": lambda x, above: torch.zeros_like(x),
    },
    "leaky_relu": {
        "that is ReLU": lambda x, slope=0.01: x.clamp(min=0),
        "with a slope of 2 it takes the wrong side": lambda x, slope=0.01: torch.maximum(x, x * slope),
        "the result is negative": lambda x, slope=0.01: x.clamp(min=0) + slope * (-x).clamp(min=0),
        "not the slope itself": lambda x, slope=0.01: torch.where(x > 0, x, slope),
        "is not used": lambda x, slope=0.01: leaky_by_parts(x),
        "sides are exchanged": lambda x, slope=0.01: torch.where(x < 0, x, slope * x),
        "multiplies both sides": lambda x, slope=0.01: x * slope,
        "raised TypeError": lambda x: leaky_by_parts(x),
        "changed its arguments": leaky_that_writes_into_its_input,
        "is torch.float32": lambda x, slope=0.01: (
            leaky_by_parts(x).float() if slope == 0.01 else leaky_by_parts(x, slope).float()
        ),
        "must be a tensor": lambda x, slope=0.01: leaky_by_parts(x, slope).tolist(),
        "got      [0, 0, 0]": lambda x, slope=0.01: torch.zeros_like(x),
    },
    "flatten": {
        "all images stand in one row": lambda x: x.reshape(-1),
        "a wrong width moves into the batch": lambda x: x.view(-1, 2048),
        "only height and width were joined": lambda x: x.view(x.size(0), x.size(1), -1),
        "an image has C maps and one row": lambda x: x.view(x.size(0) * x.size(1), -1),
        "whole first channel": lambda x: x.movedim(1, -1).reshape(len(x), -1),
        "do not transpose": lambda x: x.reshape(-1, len(x)).T,
        "swapped inside the row": lambda x: x.mT.reshape(len(x), -1),
        "keeps every number": lambda x: x.mean(1).reshape(len(x), -1),
        "must have (1, 24)": lambda x: x.flatten(1).squeeze(0),
        "must be a tensor": lambda x: x.flatten(1).tolist(),
        "is torch.float64": lambda x: x.flatten(1).double(),
        "values differ": lambda x: x.flatten(1).sort(1).values,
    },
    "network": {
        "room for 8×8 maps only": lambda h, w: network(h, w, features=2048),
        "room for 7×7 maps only": lambda h, w: network(h, w, features=32 * 7 * 7),
        "the image may be oblong": lambda h, w: Network(h, h),
        "divide each side by 4": lambda h, w: network(h, w, features=32 * (h // 2) * (w // 2)),
        "pooling rounds down": lambda h, w: network(h, w, features=32 * -(-h // 4) * -(-w // 4)),
        "still follows the output layer": lambda h, w: Network(h, w, relu_behind=True),
        "no activation behind the second convolution": lambda h, w: nn.Sequential(
            *network(h, w)[:4], *network(h, w)[5:]
        ),
        "so they act as one": lambda h, w: nn.Sequential(*network(h, w)[:8], *network(h, w)[9:]),
        "return the logits": lambda h, w: nn.Sequential(network(h, w), nn.Softmax(1)),
        "takes the batch axis in": lambda h, w: nn.Sequential(*network(h, w)[:6], nn.Flatten(0), *network(h, w)[7:]),
        "not an nn.Module": lambda h, w: None,
        "got      ['268,650": lambda h, w: nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), *network(h, w)[1:]),
        "for 32, 32": lambda h, w: network(h, w, pool=nn.AvgPool2d),
        "parameters'": lambda h, w: network(h, w, channels=(32, 64)),
    },
    "gap_head": {
        "the bias is missing": lambda maps, weight, bias: F.linear(maps.mean((2, 3)), weight),
        "the sum of each map": lambda maps, weight, bias: maps.sum((2, 3)) @ weight.T + bias,
        "the maximum of each map": lambda maps, weight, bias: F.linear(maps.flatten(2).max(2).values, weight, bias),
        "follows the output layer": lambda maps, weight, bias: head_by_loops(maps, weight, bias).clamp(min=0),
        "between the means and the output layer": lambda maps, weight, bias: F.linear(
            maps.mean((2, 3)).clamp(min=0), weight, bias
        ),
        "the softmax belongs to the loss": lambda maps, weight, bias: head_by_loops(maps, weight, bias).softmax(1),
        "not by height²": lambda maps, weight, bias: F.linear(maps.sum((2, 3)) / maps.shape[-2] ** 2, weight, bias),
        "the output layer is missing": lambda maps, weight, bias: maps.flatten(2).mean(2),
        "turned round": lambda maps, weight, bias: head_by_loops(maps, weight, bias).T,
        "raised RuntimeError": lambda maps, weight, bias: F.linear(maps.flatten(1), weight, bias),
        "is torch.float32, but it must be torch.float64": lambda maps, weight, bias: F.linear(
            maps.mean((2, 3)), weight, bias
        ).float(),
        "changed its arguments": lambda maps, weight, bias: bias.add_(1) - 1 + maps.mean((2, 3)) @ weight.T,
    },
    "dead_units": {
        "off for at least one image": lambda z: int((F.relu(z) == 0).any(0).sum()),
        "the images are axis 0": lambda z: int((F.relu(z) == 0).all(1).sum()),
        "z <= 0, not z < 0": lambda z: int((z.amax(0) < 0).sum()),
        "count units": lambda z: int((F.relu(z) == 0).sum()),
        "that are alive": lambda z: z.shape[1] - dead_by_loops(z),
        "the mean of a unit": lambda z: int((z.sum(0) <= 0).sum()),
        "do not look for zeros": lambda z: int((z.abs().sum(0) == 0).sum()),
        "must be a whole number": lambda z: float(dead_by_loops(z)),
        "must be a number": lambda z: (z <= 0).all(0),
        "case 1": lambda z: 0,
    },
}
