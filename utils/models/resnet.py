"""ResNet: blocks that add to their input, and networks of 8 to 152 layers made of them.

K. He, X. Zhang, S. Ren and J. Sun, "Deep residual learning for image recognition", CVPR 2016 (arXiv 1512.03385):
the blocks are its figures 2 and 5, ``ResNet`` its table 1, ``CifarResNet`` its section 4.2. The pre-activation block
is figure 4 (e) of the same authors' "Identity mappings in deep residual networks", ECCV 2016. Chapter: resnet.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from utils.models.inputs import check_counts, check_images

# Table 1: the kind of block, and how many of them stand in conv2_x, conv3_x, conv4_x and conv5_x.
TABLE = {
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
}


class ZeroPadding(nn.Module):
    """(N, inputs, H, W) → (N, outputs, ⌈H/stride⌉, ⌈W/stride⌉) without a parameter: option A of section 3.3.

    Every ``stride``-th pixel is kept, and the channels that are missing are zeros.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride, self.missing = stride, outputs - inputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.missing))


def shortcut(inputs: int, outputs: int, stride: int, option: str) -> nn.Module:
    """Return what stands beside a branch: nothing where its shapes agree, else what makes them agree."""
    if stride == 1 and inputs == outputs:
        return nn.Sequential()
    if option == "padding":
        return ZeroPadding(inputs, outputs, stride)
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))


class BasicBlock(nn.Module):
    """(N, inputs, H, W) → (N, width, H/stride, W/stride): two 3×3 convolutions beside a shortcut, figure 2.

    Parameters
    ----------
    inputs, width : int
        Channels that come in and go out.
    stride : int
        Of the first convolution, and of the shortcut.
    residual : bool
        Without, the block has no shortcut: two layers of a plain network.
    option : {"projection", "padding"}
        What the shortcut does where shapes differ: options B and A of section 3.3.
    """

    expansion = 1  # output channels for each channel of the 3×3 convolutions

    def __init__(
        self, inputs: int, width: int, stride: int = 1, *, residual: bool = True, option: str = "projection"
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.skip = shortcut(inputs, width, stride, option) if residual else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return F.relu(y if self.skip is None else y + self.skip(x))


class Bottleneck(nn.Module):
    """(N, inputs, H, W) → (N, 4·width, H/stride, W/stride): 1×1, 3×3, 1×1 beside a shortcut, figure 5, right.

    Parameters
    ----------
    inputs, width : int
        Channels that come in, and channels of the 3×3 convolution.
    stride : int
    version : {1, 1.5}
        Where the stride is: on the first 1×1 convolution (1, the paper) or on the 3×3 (1.5, which reads every pixel).
    """

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int = 1, *, version: float = 1.5) -> None:
        super().__init__()
        first, second = (stride, 1) if version == 1 else (1, stride)
        self.conv1 = nn.Conv2d(inputs, width, 1, stride=first, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=second, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(4 * width)
        self.skip = shortcut(inputs, 4 * width, stride, "projection")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        y = F.relu(self.norm2(self.conv2(y)))
        return F.relu(self.norm3(self.conv3(y)) + self.skip(x))


class PreactivationBlock(nn.Module):
    """As BasicBlock, with norm and ReLU in front of each convolution, so that nothing follows the sum (2016b).

    Where shapes agree, the input reaches the output unchanged, through any number of blocks.
    """

    expansion = 1

    def __init__(
        self, inputs: int, width: int, stride: int = 1, *, residual: bool = True, option: str = "projection"
    ) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, width, 3, stride=stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.skip = shortcut(inputs, width, stride, option) if residual else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv1(F.relu(self.norm1(x)))
        y = self.conv2(F.relu(self.norm2(y)))
        return y if self.skip is None else y + self.skip(x)


def stage(
    block: type[nn.Module], inputs: int, width: int, number: int, stride: int, **options: object
) -> nn.Sequential:
    """Return ``number`` blocks in a row; the first has the stride and takes ``inputs`` channels."""
    first = block(inputs, width, stride, **options)
    return nn.Sequential(first, *(block(width * block.expansion, width, **options) for _ in range(number - 1)))


class ResNet(nn.Module):
    """(N, in_channels, H, W) → logits (N, classes): table 1, made for 224×224.

    Equal to torchvision's ``resnet18`` to ``resnet152`` (with ``version=1.5``); the weights copy in order.

    Parameters
    ----------
    depth : {18, 34, 50, 101, 152}
        Layers with weights on the longest way, the shortcuts' not counted.
    classes, in_channels : int
    version : {1, 1.5}
        1.5 strides on the 3×3 of a bottleneck, as torchvision does; 1 on the first 1×1, as in the paper.

    Raises
    ------
    ValueError
        When a number is none of these; in the forward pass, when the images do not fit.
    """

    def __init__(self, depth: int = 50, classes: int = 1000, in_channels: int = 3, version: float = 1.5) -> None:
        super().__init__()
        if depth not in TABLE:
            raise ValueError(
                f"depth is {depth!r}, but the table of ResNet has {', '.join(map(str, TABLE))}; "
                "CifarResNet takes any depth of the form 6n + 2."
            )
        if version not in (1, 1.5):
            raise ValueError(f"version is {version!r}, but it must be 1 (the paper) or 1.5 (stride on the 3×3).")
        check_counts(classes=classes, in_channels=in_channels)
        kind, numbers = TABLE[depth]
        block, options = (BasicBlock, {}) if kind == "basic" else (Bottleneck, {"version": version})
        grow = block.expansion
        self.in_channels = in_channels
        self.conv1 = nn.Sequential(
            nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False), nn.BatchNorm2d(64), nn.ReLU()
        )
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.conv2_x = stage(block, 64, 64, numbers[0], 1, **options)
        self.conv3_x = stage(block, 64 * grow, 128, numbers[1], 2, **options)
        self.conv4_x = stage(block, 128 * grow, 256, numbers[2], 2, **options)
        self.conv5_x = stage(block, 256 * grow, 512, numbers[3], 2, **options)
        self.head = nn.Linear(512 * grow, classes)
        he(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        check_images("ResNet", x, channels=self.in_channels, training=self.training, shrinks=32)
        x = self.pool(self.conv1(x))
        x = self.conv5_x(self.conv4_x(self.conv3_x(self.conv2_x(x))))
        return self.head(x.mean((2, 3)))


class CifarResNet(nn.Module):
    """(N, in_channels, H, W) → logits (N, classes): the networks of 6n + 2 layers for small images, section 4.2.

    A 3×3 convolution, three stages of n blocks with ``width``, 2·``width`` and 4·``width`` channels, whose maps
    measure H×W, half and a quarter of it, and a dense layer. Any image size will do. The book's small ResNet for
    32×32 images is ``CifarResNet(8, width=14)``: 57,816 parameters, 9.4 million multiply-adds.

    Parameters
    ----------
    depth : int
        8, 14, 20, …: 6n + 2.
    width : int
        Channels of the first stage; 16 in the paper.
    residual : bool
        False gives the plain network of the same layers.
    option : {"padding", "projection"}
        The shortcut where shapes differ; "padding" (option A), as in the paper, costs no parameter.
    preactivation : bool
        Blocks of :class:`PreactivationBlock`, with one norm and ReLU in front of the head.
    classes, in_channels : int

    Raises
    ------
    ValueError
        When a number is none of these; in the forward pass, when the images do not fit.
    """

    def __init__(
        self,
        depth: int = 20,
        width: int = 16,
        residual: bool = True,
        option: str = "padding",
        preactivation: bool = False,
        classes: int = 10,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        check_counts(depth=depth, width=width, classes=classes, in_channels=in_channels)
        if depth < 8 or depth % 6 != 2:
            near = max(8, depth - (depth - 2) % 6)
            raise ValueError(
                f"depth is {depth}, but it must be 6n + 2 (three stages of n blocks of two layers, the first layer and "
                f"the last): 8, 14, 20, …; {near} and {near + 6} are near."
            )
        if option not in ("padding", "projection"):
            raise ValueError(f"option is {option!r}, but it must be 'padding' or 'projection'.")
        block, number = PreactivationBlock if preactivation else BasicBlock, (depth - 2) // 6
        options = {"residual": residual, "option": option}
        self.in_channels = in_channels
        end = [] if preactivation else [nn.BatchNorm2d(width), nn.ReLU()]
        self.stem = nn.Sequential(nn.Conv2d(in_channels, width, 3, padding=1, bias=False), *end)
        self.blocks = nn.Sequential(
            *stage(block, width, width, number, 1, **options),
            *stage(block, width, 2 * width, number, 2, **options),
            *stage(block, 2 * width, 4 * width, number, 2, **options),
        )
        self.end = nn.Sequential(nn.BatchNorm2d(4 * width), nn.ReLU()) if preactivation else nn.Sequential()
        self.head = nn.Linear(4 * width, classes)
        he(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        check_images("CifarResNet", x, channels=self.in_channels, training=self.training, shrinks=4)
        return self.head(self.end(self.blocks(self.stem(x))).mean((2, 3)))


class SmallResNet(nn.Module):
    """(N, 3, H, W) → logits (N, classes): the network that many tutorials train on CIFAR-10; 2,777,674 parameters.

    The stem and the three stages of section 4.2 with the widths 64, 128 and 256 of table 1, two blocks each, and
    projections. Its weights are drawn as PyTorch does.
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        check_counts(classes=classes)
        self.stem = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU())
        self.blocks = nn.Sequential(
            *stage(BasicBlock, 64, 64, 2, 1), *stage(BasicBlock, 64, 128, 2, 2), *stage(BasicBlock, 128, 256, 2, 2)
        )
        self.head = nn.Linear(256, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        check_images("SmallResNet", x, channels=3, training=self.training, shrinks=4)
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


def he(model: nn.Module) -> None:
    """Draw the convolutions' weights as He et al. do (ICCV 2015), by the number of outputs that read each input."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
