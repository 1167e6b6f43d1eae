"""The vision transformer: torchvision's layers in torchvision's order, its attention, small variants, bad input."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from torchvision import models as reference

from utils import architecture, models
from utils.models.vision_transformer import Attention


def test_vit_b_16_has_the_weights_and_the_cost_of_torchvisions():
    with torch.device("meta"):
        ours, theirs = models.VisionTransformer(), reference.vit_b_16()
        counts = [architecture.totals(architecture.trace(model, (3, 224, 224))) for model in (ours, theirs)]
    shapes = [[value.shape for value in model.state_dict().values()] for model in (ours, theirs)]
    assert shapes[0] == shapes[1]
    meta = reference.ViT_B_16_Weights.IMAGENET1K_V1.meta
    assert counts[0] == counts[1] == (86_567_656, 17_563_828_224)
    assert (meta["num_params"], round(meta["_ops"], 2)) == (86_567_656, 17.56)


def test_attention_is_that_of_torch_and_its_weights_are_those_it_uses():
    torch.manual_seed(0)
    ours, theirs = Attention(12, 3).double(), nn.MultiheadAttention(12, 3, batch_first=True).double()
    for place, value in zip(theirs.parameters(), ours.parameters(), strict=True):
        place.data.copy_(value)
    x = torch.randn(2, 5, 12).double()
    expected, weights = theirs(x, x, x, average_attn_weights=False)
    assert torch.allclose(ours(x), expected)
    assert torch.allclose(ours.weights(x), weights)


@pytest.mark.parametrize(
    ("build", "parameters", "work"),
    [
        (models.SmallViT, 139_450, 9_953_880),
        (partial(models.VisionTransformer, 32, 8, 2, 24, 3, 7, 3, token=True), 19_735, 336_648),
    ],
)
def test_small_vision_transformers(build, parameters, work):
    model = build()
    steps = architecture.trace(model, (3, 32, 32))
    assert architecture.totals(steps) == (parameters, work)
    assert parameters == sum(p.numel() for p in model.parameters())
    # Each token sees its patch alone, and behind the first attention the whole image.
    patch = model.patches.kernel_size[0]
    seen = [s.field for s in steps]
    first = [s.label for s in steps].index("attention")
    assert seen[:first] == [patch] * first
    assert set(seen[first:]) == {None}
    logits = model(torch.randn(2, 3, 32, 32))
    assert logits.shape == (2, model.head.out_features)
    assert not logits.any()  # the head starts at zero


def test_patches_without_positions_may_be_shuffled():
    torch.manual_seed(0)
    model = models.VisionTransformer(16, 4, 2, 12, 3, 5).double()
    model.head.reset_parameters()
    image = torch.randn(2, 3, 16, 16).double()
    swapped = image.roll(4, 2)  # a row of patches down
    assert (model(image) - model(swapped)).abs().max() > 1e-3
    model.positions = nn.Identity()
    assert torch.allclose(model(image), model(swapped))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"size": 30}, "size is 30, which patches of 16×16 do not tile; take a multiple of 16"),
        ({"width": 100}, "width is 100, which 12 heads cannot share"),
        ({"depth": 0}, "depth is 0"),
        ({"classes": 2.5}, "classes is 2.5"),
    ],
)
def test_a_vision_transformer_that_cannot_be_built_is_named(arguments, said):
    with pytest.raises(ValueError, match=said):
        models.VisionTransformer(**arguments)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((2, 3, 48, 48), r"images \(N, 3, 32, 32\).*: the position embeddings fit one size only; resize them to 32×32"),
        ((3, 32, 32), "add the batch"),
        ((2, 1, 32, 32), "in_channels=1"),
    ],
)
def test_images_that_do_not_fit_a_vision_transformer_are_named(shape, said):
    with pytest.raises(ValueError, match=said):
        models.SmallViT()(torch.zeros(shape))
