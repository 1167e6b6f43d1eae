"""Networks taken apart by utils.architecture, and the sentences of utils.models.inputs."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torchvision import models as reference

from utils import architecture, plots
from utils.activations import layer_table
from utils.models import LeNet, SmallResNet
from utils.models.inputs import check_counts, check_images


def on_meta(name, **arguments):
    with torch.device("meta"):
        return getattr(reference, name)(**arguments)


# Receptive fields as in Araujo, Norris and Sim (2019), in front of the first layer that reads the whole map.
FIELDS = {"alexnet": 195, "vgg16": 212, "resnet18": 435, "resnet50": 427}


@pytest.mark.parametrize("name", [*FIELDS, "densenet121", "mobilenet_v2", "efficientnet_b0", "convnext_tiny"])
def test_counts_and_fields_are_the_known_ones(name):
    steps = architecture.trace(on_meta(name), (3, 224, 224))
    meta = reference.get_model_weights(name).DEFAULT.meta
    parameters, work = architecture.totals(steps)
    assert parameters == meta["num_params"]
    assert work / 1e9 == pytest.approx(meta["_ops"], rel=0.01)
    if name in FIELDS:
        assert [s.field for s in steps if s.field is not None][-1] == FIELDS[name]
    assert steps[-1].shape == (1000,) and steps[-1].field is None


def test_steps_are_those_of_the_layer_table():
    model = LeNet()
    steps, rows = architecture.trace(model, (1, 28, 28)), layer_table(model, (1, 28, 28))
    assert [s.name for s in steps] == [row["layer"] for row in rows]
    assert ["×".join(map(str, s.shape)) for s in steps] == [row["output"] for row in rows]
    assert architecture.totals(steps) == tuple(sum(row[key] for row in rows) for key in ("parameters", "multiply_adds"))
    assert [s.field for s in steps[:6]] == [5, 5, 6, 14, 14, 16] and model.training


class Branches(nn.Module):
    """Two branches that join, a sum, a scale, and functions in place of layers."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(4, 3, 1), nn.Conv2d(4, 5, 5, stride=2, padding=2)
        self.scale = nn.Parameter(torch.ones(8, 1, 1))
        self.norm = nn.BatchNorm2d(8)

    def forward(self, x):
        check_images("Branches", x, channels=4, training=self.training)
        a = F.max_pool2d(self.one(x), 3, stride=2, padding=1)
        y = torch.cat([a, F.relu(self.two(x))], 1) * self.scale
        return (self.norm(y) + y).mean((2, 3))


def test_wiring_of_branches():
    steps = architecture.trace(Branches(), (4, 12, 12))
    assert [(s.label, s.inputs, s.shape, s.field, s.jump) for s in steps] == [
        ("conv 1×1, 3", (-1,), (3, 12, 12), 1, 1),
        ("max pool", (0,), (3, 6, 6), 3, 2),
        ("conv 5×5, 5, stride 2", (-1,), (5, 6, 6), 5, 2),
        ("ReLU", (2,), (5, 6, 6), 5, 2),
        ("concatenate", (1, 3), (8, 6, 6), 5, 2),
        ("scale", (4,), (8, 6, 6), 5, 2),
        ("batch norm", (5,), (8, 6, 6), 5, 2),
        ("+", (6, 5), (8, 6, 6), 5, 2),
        ("global average", (7,), (8,), None, 2),
    ]
    assert architecture.totals(steps) == (sum(p.numel() for p in Branches().parameters()), 12 * 144 + 500 * 36)
    small = architecture.merged(steps)
    # The norm stays a box of its own: the sum reads what is in front of it, too.
    assert [s.label for s in small] == [
        "conv 1×1, 3", "max pool", "conv 5×5, 5, stride 2\nReLU", "concatenate\nscale", "batch norm", "+", "global average",
    ]  # fmt: skip
    assert [s.inputs for s in small] == [(-1,), (0,), (-1,), (1, 2), (3,), (4, 3), (5,)]
    assert architecture.totals(small) == architecture.totals(steps)


class Products(nn.Module):
    """Matrix products in every spelling, and weights that no layer holds."""

    def __init__(self):
        super().__init__()
        self.class_token, self.position = nn.Parameter(torch.ones(1, 1, 6)), nn.Parameter(torch.ones(1, 5, 6))
        self.weight, self.scale = nn.Parameter(torch.ones(6, 7)), nn.Parameter(torch.ones(6))
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)

    def forward(self, x):
        x = torch.cat([self.class_token.expand(x.shape[0], -1, -1), x.flatten(2).transpose(1, 2)], 1)
        x = x + self.position
        a = x @ self.weight
        b = torch.matmul(torch.bmm(a, a.transpose(1, 2)), x)
        c = torch.einsum("nqd,nkd->nqk", x, b)
        d = F.scaled_dot_product_attention(torch.einsum("nqk->nkq", c) @ x, x, b)
        return (d + self.attention(x, x, x)[0]) * self.scale.view(1, 1, 6) + self.position


def test_matrix_products_and_weights_without_a_layer_count():
    model = Products()
    steps = architecture.trace(model, (6, 2, 2))
    assert [(s.label, s.parameters, s.multiply_adds) for s in steps if s.parameters or s.multiply_adds] == [
        ("concatenate class token", 6, 0),
        ("+ position", 30, 0),  # and once only
        ("product", 42, 5 * 6 * 7),
        ("product", 0, 5 * 7 * 5),
        ("product", 0, 5 * 5 * 6),
        ("product", 0, 5 * 6 * 5),
        ("product", 0, 5 * 5 * 6),  # an einsum of one tensor in front of it costs nothing
        ("attention", 0, 5 * 5 * 6 + 5 * 5 * 6),
        ("attention", 4 * (6 * 6 + 6), 5 * 4 * 6 * 6 + 5 * 5 * 6 + 5 * 5 * 6),
        ("scale", 6, 0),
    ]
    assert architecture.totals(steps)[0] == sum(p.numel() for p in model.parameters())
    fields = {s.field for s in steps[:6]}, {s.field for s in steps[6:]}
    assert fields == ({1}, {None})  # a place mixes with others in the product of two maps, not with a weight


def test_blocks_add_up():
    model = SmallResNet()
    steps, rows = architecture.trace(model, (3, 32, 32)), architecture.blocks(model, (3, 32, 32), depth=2)
    assert architecture.totals(rows) == architecture.totals(steps)
    assert [row.shape for row in rows if row.kind == "BasicBlock"] == [
        (64, 32, 32), (64, 32, 32), (128, 16, 16), (128, 16, 16), (256, 8, 8), (256, 8, 8),
    ]  # fmt: skip


def test_a_pass_that_depends_on_values_is_refused_in_a_sentence():
    class Choosy(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(ValueError, match="Choosy cannot be followed symbolically"):
        architecture.trace(Choosy(), (3, 8, 8))


def test_counts_in_words():
    assert [architecture.count(n) for n in (1792, 61_100_840, 714e6, 15.47e9, 999_999)] == [
        "1,792", "61.1 M", "714 M", "15.5 G", "999,999",
    ]  # fmt: skip


# ---------------------------------------------------------------- the drawings


def boxes_and_edges(axis):
    """Return the rectangles (left, right, top, bottom), and the edges as pairs of points."""
    boxes = [(p.get_x(), p.get_x() + p.get_width(), p.get_y(), p.get_y() + p.get_height()) for p in axis.patches]
    arrows = [text for text in axis.texts if getattr(text, "arrow_patch", None) is not None]
    return boxes, [(arrow.xyann, arrow.xy) for arrow in arrows]


@pytest.mark.parametrize("name, path, shape", [
    ("resnet50", "layer2.0", (256, 56, 56)), ("googlenet", "inception3a", (192, 28, 28)),
    ("efficientnet_b0", "features.2.1", (24, 56, 56)), ("densenet121", "features.denseblock1", (64, 56, 56)),
])  # fmt: skip
def test_boxes_do_not_overlap_and_edges_go_around_them(name, path, shape):
    model = on_meta(name, **({"init_weights": False} if name == "googlenet" else {}))
    steps = architecture.merged(architecture.trace(model.get_submodule(path), shape))
    plots.wiring(steps)
    boxes, edges = boxes_and_edges(plt.gca())
    plt.close("all")
    assert len(boxes) == len(steps) + 1 and len(edges) >= sum(len(s.inputs) for s in steps)
    for i, (a, b, c, d) in enumerate(boxes):
        for e, f, g, h in boxes[:i]:
            assert b <= e or f <= a or d <= g or h <= c
    for (x0, y0), (x1, y1) in edges:
        assert y1 > y0
        for share in torch.linspace(0.02, 0.98, 40).tolist():
            x, y = x0 + share * (x1 - x0), y0 + share * (y1 - y0)
            assert not any(a < x < b and c < y < d for a, b, c, d in boxes), (x, y)


def test_the_network_is_drawn_row_by_row():
    rows = architecture.blocks(on_meta("resnet18"), (3, 224, 224))
    plots.network(rows, (3, 224, 224), "ResNet-18")
    axis = plt.gca()
    texts = [text.get_text() for text in axis.texts]
    plt.close("all")
    assert len(axis.patches) == len(rows) + 1 and "64×56×56" in texts and "8.4 M" in texts and "fc: dense 1000" in texts


# ---------------------------------------------------------------- bad images

BAD = [
    (torch.zeros(2, 3, 8, 8, dtype=torch.uint8), {}, TypeError, "divide by 255"),
    ([[1.0]], {}, TypeError, "given a list"),
    (torch.zeros(3, 8, 8), {}, ValueError, "images[None]"),
    (torch.zeros(2, 8, 8, 3), {}, ValueError, "permute(0, 3, 1, 2)"),
    (torch.zeros(2, 1, 8, 8), {}, ValueError, "expand(-1, 3, -1, -1)"),
    (torch.zeros(2, 4, 8, 8), {}, ValueError, "in_channels=4"),
    (torch.zeros(2, 24), {}, ValueError, "the shape is (2, 24)"),
    (torch.zeros(2, 3, 8, 9), {"exact": 8}, ValueError, "resize them to 8×8"),
    (torch.zeros(2, 3, 8, 40), {"least": 32}, ValueError, "sides of at least 32, but these measure 8×40"),
    (torch.zeros(1, 3, 32, 32), {"training": True, "shrinks": 32}, ValueError, "at least two images"),
]


@pytest.mark.parametrize("images, arguments, error, sentence", BAD, ids=[case[3] for case in BAD])
def test_bad_images_get_one_sentence(images, arguments, error, sentence):
    with pytest.raises(error) as caught:
        check_images("Net", images, channels=3, **arguments)
    message = str(caught.value)
    assert sentence in message and message.startswith("Net ") and "\n" not in message


def test_good_images_pass():
    check_images("Net", torch.zeros(1, 3, 33, 32), channels=3, least=32, training=True, shrinks=32)
    check_images("Net", torch.zeros(1, 1, 28, 28, dtype=torch.bfloat16), channels=1, exact=28)


@pytest.mark.parametrize("value", [0, -1, 2.0, "10", True, None])
def test_counts_that_are_none_get_one_sentence(value):
    check_counts(classes=1, width=64)
    with pytest.raises(ValueError, match="^width is .* but it must be a whole number of at least 1.$"):
        check_counts(classes=1, width=value)
