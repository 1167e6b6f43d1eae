"""ConvNeXt: a residual network of the shape of a transformer, made of convolutions.

Z. Liu, H. Mao, C.-Y. Wu, C. Feichtenhofer, T. Darrell and S. Xie, "A ConvNet for the 2020s", CVPR 2022 (arXiv
2201.03545): the block is figure 4, right, the networks are section 3. Chapter: convnext.
"""

from __future__ import annotations

import torch
from torch import nn

from utils.models.inputs import check_counts, check_images
from utils.models.units import StochasticDepth

# Section 3, end: width of the first stage (each later one has twice that of the one before), blocks of the four
# stages; and the rate of stochastic depth with which ImageNet-1K is learned (appendix A.1).
VARIANTS = {
    "tiny": (96, (3, 3, 9, 3), 0.1),
    "small": (96, (3, 3, 27, 3), 0.4),
    "base": (128, (3, 3, 27, 3), 0.5),
    "large": (192, (3, 3, 27, 3), 0.5),
}


class LayerNorm2d(nn.LayerNorm):
    """(N, channels, H, W) → the same: each place of each image is standardised over its channels.

    ``nn.LayerNorm`` does so with the last axis, so the channels move there and back.
    """

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__(channels, eps=eps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNeXtBlock(nn.Module):
    """(N, width, H, W) → the same: a depthwise convolution, then two dense layers at each place, figure 4, right.

    Parameters
    ----------
    width : int
    kernel : int
        Odd side of the depthwise kernel.
    initial : float
        What layer scale multiplies the branch with at first, in each channel.
    drop : float
        Rate of stochastic depth.
    """

    def __init__(self, width: int, kernel: int = 7, initial: float = 1e-6, drop: float = 0.0) -> None:
        super().__init__()
        check_counts(width=width, kernel=kernel)
        if kernel % 2 == 0:
            raise ValueError(f"kernel is {kernel}, but its side must be odd, so that padding keeps the size.")
        self.spatial = nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.expand = nn.Linear(width, 4 * width)  # on (N, H, W, width): a 1×1 convolution
        self.activation = nn.GELU()
        self.reduce = nn.Linear(4 * width, width)
        self.scale = nn.Parameter(torch.full((width, 1, 1), initial))
        self.drop = StochasticDepth(drop)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(self.spatial(x).permute(0, 2, 3, 1))
        y = self.reduce(self.activation(self.expand(y))).permute(0, 3, 1, 2)
        return x + self.drop(self.scale * y)


def downsampling(inputs: int, outputs: int) -> nn.Sequential:
    """Return (N, inputs, H, W) → (N, outputs, ⌊H/2⌋, ⌊W/2⌋), which stands between two stages."""
    return nn.Sequential(LayerNorm2d(inputs), nn.Conv2d(inputs, outputs, 2, stride=2))


def patches(in_channels: int, width: int, side: int) -> nn.Sequential:
    """Return the stem: (N, in_channels, H, W) → (N, width, ⌊H/side⌋, ⌊W/side⌋), patches that do not overlap."""
    return nn.Sequential(nn.Conv2d(in_channels, width, side, stride=side), LayerNorm2d(width))


def start(model: nn.Module) -> None:
    """Set the weights of a network as appendix A.1 does: a normal distribution of spread 0.02, biases 0."""
    for layer in model.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)


class ConvNeXt(nn.Module):
    """(N, in_channels, H, W), sides of at least 32 and best 224 → logits (N, classes).

    Equal to torchvision's ``convnext_tiny`` to ``convnext_large``; the weights copy in order.

    Parameters
    ----------
    variant : {"tiny", "small", "base", "large"}
    classes, in_channels : int

    Raises
    ------
    ValueError
        When an argument is none of these; in the forward pass, when the images do not fit.
    """

    def __init__(self, variant: str = "tiny", classes: int = 1000, in_channels: int = 3) -> None:
        super().__init__()
        if variant not in VARIANTS:
            raise ValueError(f"variant is {variant!r}, but ConvNeXt has {', '.join(VARIANTS)}.")
        check_counts(classes=classes, in_channels=in_channels)
        width, depths, most = VARIANTS[variant]
        rates = [most * i / (sum(depths) - 1) for i in range(sum(depths))]  # the deeper a block, the oftener it is out
        self.in_channels = in_channels
        layers: list[nn.Module] = [patches(in_channels, width, 4)]
        for stage, depth in enumerate(depths):
            if stage:
                layers.append(downsampling(width, 2 * width))
                width *= 2
            layers.append(nn.Sequential(*(ConvNeXtBlock(width, drop=rates.pop(0)) for _ in range(depth))))
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(width, eps=1e-6), nn.Linear(width, classes)
        )
        start(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        check_images("ConvNeXt", x, channels=self.in_channels, least=32)
        return self.head(self.features(x))


class SmallConvNeXt(nn.Module):
    """(N, in_channels, 32, 32) → logits (N, classes): patches of 2×2, then 1, 2 and 1 blocks of 32, 64 and 128 channels.

    By default 264,874 parameters and 10.4 M multiply-adds. Two things are made for short runs, in which the paper's
    values would need thousands of steps to grow: layer scale starts at 1, not at 1e-6, and the weights are those that
    PyTorch draws. Sides of at least 8 will do, and a batch of one.

    Parameters
    ----------
    classes, in_channels : int
    kernel : int
        Odd side of the depthwise kernels.
    initial : float
        Of layer scale.

    Raises
    ------
    ValueError
        When an argument is none of these; in the forward pass, when the images do not fit.
    """

    def __init__(self, classes: int = 10, in_channels: int = 3, kernel: int = 7, initial: float = 1.0) -> None:
        super().__init__()
        check_counts(classes=classes, in_channels=in_channels)
        self.in_channels = in_channels
        self.features = nn.Sequential(
            patches(in_channels, 32, 2),  # 32×16×16
            ConvNeXtBlock(32, kernel, initial),
            downsampling(32, 64),  # 64×8×8
            ConvNeXtBlock(64, kernel, initial), ConvNeXtBlock(64, kernel, initial),
            downsampling(64, 128),  # 128×4×4
            ConvNeXtBlock(128, kernel, initial),
        )  # fmt: skip
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(128, eps=1e-6), nn.Linear(128, classes)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        check_images("SmallConvNeXt", x, channels=self.in_channels, least=8)
        return self.head(self.features(x))


# Section 2, table 10: what each step changes, in the order of the paper; a step keeps all changes before it.
ROADMAP: dict[str, dict] = {
    "ResNet-50": {},
    "stage ratio": {"depths": (3, 3, 9, 3)},
    "patchify stem": {"patchify": True},
    "depthwise convolution": {"depthwise": True},
    "width 96": {"width": 96},
    "inverted bottleneck": {"inverted": True},
    "depthwise first": {"first": True},
    "kernel 7×7": {"kernel": 7},
    "GELU": {"activation": nn.GELU},
    "fewer activations": {"few_activations": True},
    "fewer norms": {"few_norms": True},
    "layer norm": {"norm": LayerNorm2d},
    "separate downsampling": {"separate": True},
}


def convolution(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, norm=None, depthwise: bool = False):
    """Return a convolution that keeps the size at stride 1, and behind it a norm if one is given."""
    conv = nn.Conv2d(
        inputs, outputs, kernel, stride, padding=kernel // 2,
        groups=inputs if depthwise else 1, bias=norm is not nn.BatchNorm2d,
    )  # fmt: skip
    return nn.Sequential(conv, norm(outputs)) if norm else conv


class RoadmapBlock(nn.Module):
    """(N, inputs, H, W) → (N, outputs, ⌈H/stride⌉, ⌈W/stride⌉): a block between a bottleneck and ConvNeXt's.

    Parameters
    ----------
    inputs, hidden, outputs : int
        Channels that come in, stand between the 1×1 convolutions, and go out.
    stride : int
        Of the spatial convolution and of the shortcut.
    first : bool
        The spatial convolution stands in front of the 1×1 convolutions, not between them.
    kernel, depthwise : int, bool
        Of the spatial convolution.
    activation, norm : class of module
    few_activations, few_norms : bool
        One of them in the block, in place of one behind each convolution.
    """

    def __init__(
        self, inputs: int, hidden: int, outputs: int, stride: int = 1, first: bool = False, kernel: int = 3,
        depthwise: bool = False, activation: type[nn.Module] = nn.ReLU, norm: type[nn.Module] = nn.BatchNorm2d,
        few_activations: bool = False, few_norms: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        later = None if few_norms else norm
        act = nn.Identity if few_activations else activation
        spatial = {"kernel": kernel, "stride": stride, "depthwise": depthwise}
        if first:
            self.conv1 = convolution(inputs, inputs, norm=norm, **spatial)
            self.conv2 = convolution(inputs, hidden, norm=later)
        else:
            self.conv1 = convolution(inputs, hidden, norm=norm)
            self.conv2 = convolution(hidden, hidden, norm=later, **spatial)
        self.conv3 = convolution(hidden, outputs, norm=later)
        self.act1, self.act2, self.act3 = act(), activation(), act()
        same = stride == 1 and inputs == outputs
        self.skip = None if same else convolution(inputs, outputs, stride=stride, norm=norm)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.act1(self.conv1(x))
        y = self.act2(self.conv2(y))
        return self.act3(self.conv3(y) + (x if self.skip is None else self.skip(x)))


class Modernised(nn.Module):
    """(N, in_channels, H, W) → logits (N, classes): the network of one step of the roadmap, from ResNet-50 on.

    The first is equal to ``ResNet(50)``; the last is ``ConvNeXt("tiny")`` without layer scale.

    Parameters
    ----------
    step : str
        A key of ``ROADMAP``.
    classes, in_channels : int

    Raises
    ------
    ValueError
        When the roadmap has no such step.
    """

    def __init__(self, step: str, classes: int = 1000, in_channels: int = 3) -> None:
        super().__init__()
        if step not in ROADMAP:
            raise ValueError(f"step is {step!r}, but the roadmap has {', '.join(ROADMAP)}.")
        check_counts(classes=classes, in_channels=in_channels)
        changes: dict = {}
        for name, change in ROADMAP.items():
            changes |= change
            if name == step:
                break
        depths, width = changes.pop("depths", (3, 4, 6, 3)), changes.pop("width", 64)
        patchify, inverted, separate = (changes.pop(key, False) for key in ("patchify", "inverted", "separate"))
        self.in_channels = in_channels
        stem: list[nn.Module] = [nn.Conv2d(in_channels, width, 4, stride=4)]
        if not patchify:
            stem = [convolution(in_channels, width, 7, 2, nn.BatchNorm2d), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1)]
        layers = [patches(in_channels, width, 4) if separate else nn.Sequential(*stem)]
        inputs = width
        for stage, depth in enumerate(depths):
            hidden, outputs = (4 * width, width) if inverted else (width, 4 * width)
            if stage and separate:
                layers.append(downsampling(inputs, outputs))
                inputs = outputs
            blocks = []
            for number in range(depth):
                stride = 2 if stage and number == 0 and not separate else 1
                blocks.append(RoadmapBlock(inputs, hidden, outputs, stride, **changes))
                inputs = outputs
            layers.append(nn.Sequential(*blocks))
            width *= 2
        self.features = nn.Sequential(*layers)
        end = [nn.LayerNorm(inputs, eps=1e-6)] if separate else []
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), *end, nn.Linear(inputs, classes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        check_images("Modernised", x, channels=self.in_channels, least=32)
        return self.head(self.features(x))
