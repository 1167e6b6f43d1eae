"""Attribution: every map equals Captum's, and what can be known without Captum; bad input gets a sentence.

Captum computes the same maps by other code. Beside it stands, for each method, a second formulation: the finite
difference, the linear model whose answer is known, completeness, a plain loop.
"""

from __future__ import annotations

import captum.attr as captum
import matplotlib.pyplot as plt
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from utils import attribution, plots
from utils.data import photo
from utils.models import LeNet, ResNet, pretrained
from utils.models.lenet import DIGITS_WEIGHTS
from utils.training import load_weights

NEAR = {"rtol": 1e-9, "atol": 1e-12}  # both sides compute in float64


class Small(nn.Module):
    """Nested, with in-place layers and batch norm, for oblong images; ends as CAM wants it."""

    def __init__(self) -> None:
        super().__init__()
        first = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.MaxPool2d(2))
        self.body = nn.Sequential(first, nn.Sequential(nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(inplace=True)))
        self.unused = nn.Conv2d(3, 3, 1)
        self.again = nn.Identity()
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.again(self.head(self.again(self.body(x)).mean((2, 3))))


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(0)
    model = Small().double()
    model(torch.randn(8, 3, 12, 10, dtype=torch.float64))  # batch norm gets statistics
    return model.eval(), torch.randn(3, 3, 12, 10, dtype=torch.float64), torch.tensor([4, 0, 2]), "body.1.1", "body"


@pytest.fixture(scope="module")
def lite():
    net = pretrained.load()
    pictures = torch.stack([photo(name, size=64)[:, :64, :72] for name in ("coffee", "chelsea")])
    images = ((pictures - net.mean[0]) / net.std[0]).double()
    return net.model.double(), images, torch.tensor([967, 285]), "top.2", "top"


@pytest.fixture(params=["random", "trained"])
def case(request):
    return request.getfixturevalue({"random": "small", "trained": "lite"}[request.param])


# against Captum, in float64


def test_gradient_and_saliency_are_captums(case):
    model, images, classes, *_ = case
    theirs = captum.Saliency(model)
    signed = theirs.attribute(images.clone().requires_grad_(), classes, abs=False)
    torch.testing.assert_close(attribution.gradient(model, images, classes), signed, **NEAR)
    absolute = theirs.attribute(images.clone().requires_grad_(), classes)
    torch.testing.assert_close(attribution.saliency(model, images, classes), absolute.amax(1), **NEAR)


def test_gradient_times_input_is_captums(case):
    model, images, classes, *_ = case
    theirs = captum.InputXGradient(model).attribute(images.clone().requires_grad_(), classes)
    torch.testing.assert_close(attribution.gradient_times_input(model, images, classes), theirs, **NEAR)


def test_smooth_grad_is_captums(case, monkeypatch):
    """Captum draws its own noise; it is given ours, which is (samples, N, …) where Captum's is (N · samples, …)."""
    model, images, classes, *_ = case
    draw = torch.Generator().manual_seed(7)
    noise = torch.stack([torch.randn(images.shape, generator=draw).to(images) for _ in range(4)])
    scale = 0.2 * (images.amax((1, 2, 3)) - images.amin((1, 2, 3)))
    noise = (noise * scale.view(1, -1, 1, 1, 1)).transpose(0, 1).flatten(0, 1)
    monkeypatch.setattr(torch, "normal", lambda mean, std: noise)
    tunnel = captum.NoiseTunnel(captum.Saliency(model))
    theirs = tunnel.attribute(images.clone().requires_grad_(), nt_samples=4, target=classes, abs=False)
    ours = attribution.smooth_grad(model, images, classes, samples=4, noise=0.2, seed=7)
    torch.testing.assert_close(ours, theirs, **NEAR)


@pytest.mark.parametrize("baseline", ["zero", "number", "colour"])
def test_integrated_gradients_are_captums(case, baseline):
    model, images, classes, *_ = case
    value = {"zero": 0.0, "number": -0.5, "colour": torch.tensor([0.1, 0.2, -0.3]).view(3, 1, 1)}[baseline]
    ours = attribution.integrated_gradients(model, images, classes, baseline=value, steps=4)
    # Captum rounds the size of a step to single precision; 1/4 survives that.
    theirs = captum.IntegratedGradients(model).attribute(
        images, torch.zeros_like(images) + value, classes, n_steps=4, method="riemann_middle"
    )
    torch.testing.assert_close(ours, theirs, **NEAR)


@pytest.mark.parametrize(("patch", "stride", "fill"), [(4, 4, 0.0), (5, 3, 0.7), ((3, 6), (2, 4), "colour")])
def test_occlusion_is_captums(small, patch, stride, fill):
    model, images, classes, *_ = small
    fill = torch.tensor([0.1, 0.2, -0.3], dtype=torch.float64).view(3, 1, 1) if fill == "colour" else fill
    ours = attribution.occlusion(model, images, classes, patch=patch, stride=stride, fill=fill, batch_size=7)
    window, move = ((side, side) if isinstance(side, int) else side for side in (patch, stride))
    theirs = captum.Occlusion(model).attribute(
        images, (3, *window), (3, *move), torch.zeros_like(images) + fill, classes
    )
    torch.testing.assert_close(ours.float(), theirs[:, 0], rtol=1e-5, atol=1e-6)  # Captum's are in single precision


def test_occlusion_is_captums_on_a_trained_network(lite):
    model, images, classes, *_ = lite
    ours = attribution.occlusion(model, images, classes, patch=24, stride=20)
    theirs = captum.Occlusion(model).attribute(images, (3, 24, 24), (3, 20, 20), 0, classes)
    torch.testing.assert_close(ours.float(), theirs[:, 0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("relu", [True, False])
def test_grad_cam_is_captums(case, relu):
    model, images, classes, last, whole = case
    theirs = captum.LayerGradCam(model, model.get_submodule(whole))
    raw = theirs.attribute(images, classes, relu_attributions=relu)
    ours = attribution.grad_cam(model, images, classes, layer=whole, relu=relu, enlarged=False)
    torch.testing.assert_close(ours, raw[:, 0], **NEAR)
    large = captum.LayerAttribution.interpolate(raw, images.shape[2:], "bilinear")
    for layer in (whole, last):
        ours = attribution.grad_cam(model, images, classes, layer=layer, relu=relu)
        torch.testing.assert_close(ours, large[:, 0], **NEAR)


def test_cam_is_captums_grad_cam_without_relu(case):
    model, images, classes, _, whole = case
    ours = attribution.cam(model, images, classes, layer=whole, enlarged=False)
    theirs = captum.LayerGradCam(model, model.get_submodule(whole)).attribute(images, classes)
    torch.testing.assert_close(ours, theirs[:, 0] * ours[0].numel(), rtol=1e-8, atol=1e-10)


# by other formulations


def test_the_gradient_predicts_what_a_small_change_does(small):
    model, images, classes, *_ = small
    slopes = attribution.gradient(model, images, classes)
    for place in [(0, 1, 4, 5), (1, 0, 0, 0), (2, 2, 11, 9)]:
        nudge = torch.zeros_like(images)
        nudge[place] = 1e-6
        up, down = (model(images + sign * nudge)[place[0], classes[place[0]]] for sign in (1, -1))
        assert slopes[place].item() == pytest.approx((up - down).item() / 2e-6, rel=1e-5, abs=1e-8)


def test_a_linear_model_is_explained_exactly_by_every_method():
    torch.manual_seed(1)
    model, images = nn.Sequential(nn.Flatten(), nn.Linear(2 * 4 * 6, 3)).double(), torch.randn(2, 2, 4, 6).double()
    weights = model[1].weight[torch.tensor([2, 0])].view(2, 2, 4, 6).detach()
    parts = weights * images
    torch.testing.assert_close(attribution.gradient(model, images, [2, 0]), weights)
    torch.testing.assert_close(attribution.smooth_grad(model, images, [2, 0], samples=3), weights)
    torch.testing.assert_close(attribution.saliency(model, images, [2, 0]), weights.abs().amax(1))
    torch.testing.assert_close(attribution.gradient_times_input(model, images, [2, 0]), parts)
    torch.testing.assert_close(attribution.integrated_gradients(model, images, [2, 0], steps=1), parts)
    # A patch of one pixel takes away what this pixel adds.
    torch.testing.assert_close(attribution.occlusion(model, images, [2, 0], patch=1), parts.sum(1))


@pytest.mark.parametrize("baseline", [0.0, -1.0])
def test_integrated_gradients_are_complete(small, baseline):
    lenet = load_weights(LeNet(), DIGITS_WEIGHTS).double().eval()
    for model, images, classes in ((*small[:2], small[2]), (lenet, small[1].new_tensor(digit()), torch.tensor([3]))):
        errors = []
        for steps in (10, 300):
            maps = attribution.integrated_gradients(model, images, classes, baseline=baseline, steps=steps)
            with torch.no_grad():
                difference = model(images) - model(torch.full_like(images, baseline))
            difference = difference.gather(1, classes[:, None])[:, 0]
            errors.append(((maps.sum((1, 2, 3)) - difference).abs() / difference.abs().clamp(min=1)).max().item())
        # The error of a sum over a function with kinks falls with the number of steps.
        assert errors[1] < 5e-3 and errors[1] < errors[0]


def digit() -> list:
    from utils.data import digits

    data = digits().test
    return data.inputs(slice(0, 1)).tolist()


def test_occlusion_is_a_loop_over_patches(small):
    model, images, classes, *_ = small
    total, count = torch.zeros(12, 10).double(), torch.zeros(12, 10)
    with torch.no_grad():
        before = model(images[:1])[0, 4]
        for r in range(0, 12, 5):
            for c in range(0, 10, 5):
                covered = images[:1].clone()
                covered[:, :, r : r + 5, c : c + 5] = 0.5
                total[r : r + 5, c : c + 5] += before - model(covered)[0, 4]
                count[r : r + 5, c : c + 5] += 1
    ours = attribution.occlusion(model, images, classes, patch=5, stride=5, fill=0.5)
    assert count.min() == count.max() == 1
    torch.testing.assert_close(ours[0], total, **NEAR)


def test_the_mean_of_cam_and_the_bias_are_the_score(case):
    model, images, classes, _, whole = case
    maps = attribution.cam(model, images, classes, layer=whole, enlarged=False)
    head = [part for part in model.modules() if isinstance(part, nn.Linear)][-1]
    scores = model(images).gather(1, classes[:, None])[:, 0]
    torch.testing.assert_close(maps.mean((1, 2)) + head.bias[classes], scores, **NEAR)


def test_grad_cam_at_a_dense_layers_maps_by_hand():
    """Where the maps are flattened into a dense layer, the weights of Grad-CAM are means of that layer's rows."""
    model, images = load_weights(LeNet(), DIGITS_WEIGHTS).double().eval(), torch.rand(2, 1, 28, 28).double()
    names = [name for name, part in model.named_modules() if isinstance(part, nn.Conv2d)]
    shift = torch.zeros(2, 1, 28, 28).double()
    ours = attribution.grad_cam(model, images + shift, [3, 5], layer=names[-1], relu=False, enlarged=False)
    kept = {}
    hook = model.get_submodule(names[-1]).register_forward_hook(lambda _l, _i, o: kept.update(maps=o))
    scores = model(images)[torch.arange(2), torch.tensor([3, 5])]
    hook.remove()
    for n in range(2):
        slopes = torch.autograd.grad(scores[n], kept["maps"], retain_graph=True)[0]
        by_hand = sum(slopes[n, k].mean() * kept["maps"][n, k] for k in range(slopes.shape[1]))
        torch.testing.assert_close(ours[n], by_hand.detach(), **NEAR)


# how they are called

METHODS = {
    "gradient": attribution.gradient,
    "saliency": attribution.saliency,
    "gradient_times_input": attribution.gradient_times_input,
    "smooth_grad": lambda *a: attribution.smooth_grad(*a, samples=2),
    "integrated_gradients": lambda *a: attribution.integrated_gradients(*a, steps=2),
    "occlusion": lambda *a: attribution.occlusion(*a, patch=6),
    "cam": lambda *a: attribution.cam(*a, layer="body"),
    "grad_cam": lambda *a: attribution.grad_cam(*a, layer="body.1.1"),
}


@pytest.fixture(params=METHODS)
def method(request):
    return METHODS[request.param]


def test_a_batch_gives_what_its_images_give_alone(small, method, request):
    model, images, classes, *_ = small
    if "smooth_grad" in request.node.name:
        pytest.skip("the noise of an image depends on its place in the batch")
    together = method(model, images, classes)
    for n in range(3):
        torch.testing.assert_close(together[n : n + 1], method(model, images[n : n + 1], classes[n : n + 1]))
        torch.testing.assert_close(together[n : n + 1], method(model, images[n : n + 1], int(classes[n])))


def test_without_classes_the_answer_is_explained(small, method):
    model, images, *_ = small
    assert torch.equal(method(model, images, None), method(model, images, model(images).argmax(1).tolist()))


def test_the_model_and_the_images_are_left_as_they_were(method):
    torch.manual_seed(0)
    model, images = Small().train(), torch.randn(2, 3, 12, 12, requires_grad=True)
    model.body[0][1].eval()  # a frozen norm within a model that is training
    model.head.bias.grad = torch.ones(5)
    before, state = images.detach().clone(), {k: v.clone() for k, v in model.state_dict().items()}
    random = torch.get_rng_state()
    maps = method(model, images, [1, 2])
    assert not maps.requires_grad and maps.isfinite().all()
    assert model.training and model.head.training and not model.body[0][1].training
    assert torch.equal(model.head.bias.grad, torch.ones(5)) and model.head.weight.grad is None
    assert images.grad is None and images.requires_grad and torch.equal(images, before)
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())
    with pytest.raises(ValueError, match="there is no class 5; the model has 5, from 0 to 4"):
        method(model, images, 5)
    assert model.training and not model.body[0][1].training  # also after an error
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_frozen_parameters_and_a_caller_without_gradients_do_not_matter(small, method, mode):
    model, images, classes, *_ = small
    expected = method(model, images, classes)
    model.requires_grad_(False)
    try:
        with mode():
            assert torch.equal(method(model, images.clone(), classes), expected)
    finally:
        model.requires_grad_(True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_maps_have_the_dtype_and_the_device_of_the_images(small, method, dtype):
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = Small().to(device, dtype)
    maps = method(model, small[1].to(device, dtype), small[2])
    assert maps.dtype == dtype and maps.device.type == device
    assert maps.shape in ((3, 12, 10), (3, 3, 12, 10))


def test_a_large_network_with_shortcuts_has_grad_cam_and_cam():
    torch.manual_seed(0)
    model, images = ResNet(18, classes=4).eval(), torch.randn(2, 3, 64, 96)
    cam = attribution.cam(model, images, 1, layer="conv5_x", enlarged=False)
    grad_cam = attribution.grad_cam(model, images, 1, layer="conv5_x", relu=False, enlarged=False)
    assert cam.shape == (2, 2, 3)
    torch.testing.assert_close(grad_cam * 6, cam, rtol=1e-4, atol=1e-5)


# bad input


@pytest.mark.parametrize(
    ("images", "error", "words"),
    [
        ("coffee", TypeError, "float tensor .N, C, H, W., but this is a str"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), TypeError, "torch.uint8; standardise them first"),
        (torch.zeros(3, 8, 8), ValueError, r"this is \(3, 8, 8\); add the batch: images\[None\]"),
        (torch.zeros(0, 3, 8, 8), ValueError, r"this is \(0, 3, 8, 8\)"),
        (torch.zeros(1, 3, 8, 8).double(), ValueError, "float64 and the model's parameters torch.float32"),
        (torch.zeros(1, 3, 8, 8, device="meta"), ValueError, "images are on meta and the model is on cpu"),
    ],
)
def test_images_that_do_not_fit(method, images, error, words):
    with pytest.raises(error, match=words):
        method(Small(), images, 0)


@pytest.mark.parametrize(
    ("classes", "error", "words"),
    [
        (-1, ValueError, "there is no class -1"),
        ([0, 7], ValueError, "there is no class 7; the model has 5, from 0 to 4"),
        ([0, 1, 2], ValueError, r"2 images, but classes has shape \(3,\)"),
        (1.0, TypeError, "whole numbers, but these are torch.float32"),
        (torch.tensor([True, False]), TypeError, "whole numbers, but these are torch.bool"),
    ],
)
def test_classes_that_do_not_exist(method, classes, error, words):
    with pytest.raises(error, match=words):
        method(Small(), torch.zeros(2, 3, 8, 8), classes)


def test_models_without_gradients_are_refused_by_name_and_occlusion_works():
    class Silent(Small):
        @torch.no_grad()
        def forward(self, x):
            return super().forward(x)

    images = torch.randn(1, 3, 8, 8)
    for name in ("gradient", "saliency", "gradient_times_input", "smooth_grad", "integrated_gradients", "grad_cam"):
        with pytest.raises(ValueError, match=r"no gradient: the model's forward runs under torch.no_grad\(\)"):
            METHODS[name](Silent(), images, 0)
    assert METHODS["occlusion"](Silent(), images, 0).shape == (1, 8, 8)
    assert METHODS["cam"](Silent(), images, 0).shape == (1, 8, 8)


def test_models_that_give_no_logits(method):
    class Maps(Small):
        def forward(self, x):
            return self.body(x)

    with pytest.raises(ValueError, match=r"must give logits \(1, classes\) for 1 images, but gave \(1, 8, 4, 4\)"):
        method(Maps(), torch.zeros(1, 3, 8, 8), 0)


@pytest.mark.parametrize("function", [attribution.cam, attribution.grad_cam])
@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ("boddy", "no layer 'boddy'; it has, for example, 'body'"),
        ("unused", "'unused' did not run in the pass, but it must run once"),
        ("again", "'again' ran 2 times in the pass"),
        ("head", r"'head' gives \(1, 5\), but maps \(N, K, h, w\) are needed"),
    ],
)
def test_layers_that_have_no_maps(function, layer, words):
    with pytest.raises(ValueError, match=words):
        function(Small(), torch.zeros(1, 3, 8, 8), 0, layer=layer)


def test_a_layer_beside_the_way_to_the_score():
    class Beside(Small):
        def forward(self, x):
            self.unused(x)
            return super().forward(x)

    with pytest.raises(ValueError, match="'unused' have no influence on the score"):
        attribution.grad_cam(Beside(), torch.zeros(1, 3, 8, 8), 0, layer="unused")


def test_cam_needs_a_mean_and_one_dense_layer():
    images = torch.randn(2, 1, 8, 8)
    features = [nn.Conv2d(1, 4, 3), nn.ReLU()]
    mean = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    for rest in (
        [nn.Flatten(), nn.Linear(4 * 36, 3)],  # no mean
        [*mean, nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3)],  # two dense layers
        [*mean, nn.Linear(4, 3), nn.Softmax(1)],  # not the scores
        [nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(4, 3)],
        [*mean, nn.LayerNorm(4), nn.Linear(4, 3)],
    ):
        with pytest.raises(ValueError, match="CAM needs a network that ends with the mean of each map of '1'"):
            attribution.cam(nn.Sequential(*features, *rest), images, 0, layer="1")
    with pytest.raises(ValueError, match="needs a dense layer"):
        attribution.cam(nn.Sequential(nn.Conv2d(1, 3, 3), *mean), images, 0, layer="0")
    with pytest.raises(ValueError, match="the mean of each map of '0'"):  # the convolution, not its ReLU
        attribution.cam(nn.Sequential(*features, *mean, nn.Linear(4, 3)), images, 0, layer="0")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m, x: attribution.occlusion(m, x, 0, patch=9), "patch 9×9 is larger than the images, 8×8"),
        (lambda m, x: attribution.occlusion(m, x, 0, patch=2, stride=3), "stride 3×3 is larger than the patch 2×2"),
        (lambda m, x: attribution.occlusion(m, x, 0, patch=0), "patch is 0, but it must be a whole number"),
        (lambda m, x: attribution.occlusion(m, x, 0, patch=(1, 2, 3)), "whole number, or two"),
        (lambda m, x: attribution.occlusion(m, x, 0, batch_size=0), "batch_size is 0"),
        (
            lambda m, x: attribution.occlusion(m, x, 0, patch=4, fill=torch.zeros(2, 1, 1)),
            r"fill has shape \(2, 1, 1\)",
        ),
        (lambda m, x: attribution.integrated_gradients(m, x, 0, baseline=torch.zeros(7)), r"baseline has shape \(7,\)"),
        (lambda m, x: attribution.integrated_gradients(m, x, 0, steps=0), "steps is 0"),
        (lambda m, x: attribution.integrated_gradients(m, x, 0, steps=2.5), "steps is 2.5"),
        (lambda m, x: attribution.smooth_grad(m, x, 0, samples=True), "samples is True"),
        (lambda m, x: attribution.smooth_grad(m, x, 0, noise=-0.1), "noise is -0.1"),
    ],
)
def test_settings_out_of_range(call, words):
    with pytest.raises(ValueError, match=words):
        call(Small(), torch.zeros(1, 3, 8, 8))


# helpers


def test_per_pixel():
    maps = torch.tensor([[1.0, -3.0], [2.0, 2.0]]).view(1, 2, 1, 2)
    assert attribution.per_pixel(maps).tolist() == [[[3, -1]]]
    assert attribution.per_pixel(maps, "abs").tolist() == [[[3, 5]]]
    assert attribution.per_pixel(maps, "max").tolist() == [[[2, 3]]]
    assert attribution.per_pixel(maps[:, 0]).tolist() == [[[1, -3]]]
    assert attribution.per_pixel(maps[:, 0], "abs").tolist() == [[[1, 3]]]
    with pytest.raises(ValueError, match="one of sum, abs, max"):
        attribution.per_pixel(maps, "mean")


def test_rank_correlation_is_scipys():
    torch.manual_seed(0)
    a, b = torch.randn(4, 5, 6), torch.randn(4, 5, 6).relu()  # half of b are equal: zeros
    ours = attribution.rank_correlation(a, b)
    expected = [spearmanr(x.flatten(), y.flatten()).statistic for x, y in zip(a, b, strict=True)]
    torch.testing.assert_close(ours, torch.tensor(expected, dtype=torch.float64))
    torch.testing.assert_close(attribution.rank_correlation(b, 3 * b.exp()), torch.ones(4).double())
    torch.testing.assert_close(attribution.rank_correlation(a, -a), -torch.ones(4).double())
    assert attribution.rank_correlation(a, torch.zeros(4, 5, 6)).isnan().all()
    with pytest.raises(ValueError, match="must be the same"):
        attribution.rank_correlation(a, b[:, :2])


def test_overlay_colours_by_sign_and_leaves_zero_alone():
    image = torch.full((3, 2, 3), 0.5)
    map_ = torch.tensor([[0.0, 1.0, -1.0], [0.5, -0.5, 0.0]])
    axes = plots.overlay([image], [map_, torch.zeros(2, 3)], ["map", "nothing"], strength=1)
    mixed = axes[0].images[0].get_array()
    assert mixed[0, 0].tolist() == mixed[1, 2].tolist() == [0.5] * 3
    assert mixed[0, 1, 0] > mixed[0, 1, 2] and mixed[0, 2, 2] > mixed[0, 2, 0]  # orange, blue
    assert mixed[0, 1, 0] > mixed[1, 0, 0] > 0.5
    assert (axes[1].images[0].get_array() == 0.5).all()
    plt.close("all")
    with pytest.raises(ValueError, match=r"a map has shape \(3, 2\) over an image of \(2, 3\)"):
        plots.overlay([image], [map_.T])
    with pytest.raises(ValueError, match="1 maps for 2 images"):
        plots.overlay([image, image], [map_])
    with pytest.raises(ValueError, match="strength is 2"):
        plots.overlay([image], [map_], strength=2)
