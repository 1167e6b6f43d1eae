"""ColourNet: a small, fast network for 32×32 colour photographs, built up step by step in the CIFAR-10 project.

The whitening stem, the order convolution, pooling, batch norm, GELU, and the identity start are collected in K.
Jordan, "94% on CIFAR-10 in 3.29 seconds on a single GPU", 2024, who refines D. Page, "How to train your ResNet",
2018. The skip is that of He et al., "Deep residual learning for image recognition", 2016.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class ColourBlock(nn.Module):
    """(n, inputs, H, W) → (n, outputs, H/2, W/2): two 3×3 convolutions, with a 2×2 maximum behind the first.

    With ``residual`` the second convolution adds to its input instead of replacing it.
    """

    def __init__(self, inputs: int, outputs: int, norm: bool, residual: bool, gelu: bool) -> None:
        super().__init__()
        # Batch norm subtracts the mean, and with it any bias in front.
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=not norm)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=not norm)
        # The rates of short runs are high, so the running statistics must forget quickly: momentum 0.4, not 0.1.
        self.norm1, self.norm2 = (nn.BatchNorm2d(outputs, momentum=0.4) if norm else nn.Identity() for _ in range(2))
        self.activation = F.gelu if gelu else F.relu
        self.residual = residual

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.activation(self.norm1(F.max_pool2d(self.conv1(x), 2)))
        y = self.activation(self.norm2(self.conv2(x)))
        return x + y if self.residual else y


class ColourNet(nn.Module):
    """(n, 3, H, W), sides of at least 9, → logits (n, classes).

    Parameters
    ----------
    classes : int
    widths : tuple of int
        Channels of the blocks; each block halves the sides.
    norm : bool
        Batch norm behind every convolution of the blocks.
    residual : bool
        A skip around the second convolution of each block.
    whitened : bool
        A first layer of 24 filters of 2×2, set by :meth:`whiten` and not trained; GELU in place of ReLU; 3×3
        convolutions that begin by copying their first channels; and scales of batch norm that stay 1.
    """

    def __init__(
        self,
        classes: int = 10,
        widths: tuple[int, ...] = (64, 128, 256),
        *,
        norm: bool = True,
        residual: bool = True,
        whitened: bool = True,
    ) -> None:
        super().__init__()
        first = 24 if whitened else 3
        self.stem = nn.Conv2d(3, first, 2) if whitened else None
        self.blocks = nn.Sequential(
            *(ColourBlock(a, b, norm, residual, gelu=whitened) for a, b in zip((first, *widths), widths, strict=False))
        )
        self.head = nn.Linear(widths[-1], classes, bias=False)
        if whitened:
            for conv in (m for block in self.blocks for m in (block.conv1, block.conv2)):
                nn.init.dirac_(conv.weight.data[: conv.in_channels])
            for layer in self.blocks.modules():
                if isinstance(layer, nn.BatchNorm2d):
                    layer.weight.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.stem is not None:
            x = F.gelu(self.stem(x))
        x = self.blocks(x)
        # Maxima are large: without the division the logits begin far from 0, and a high rate tears them apart.
        return self.head(x.amax((2, 3))) / 9

    @torch.no_grad()
    def whiten(self, images: torch.Tensor, epsilon: float = 5e-4) -> ColourNet:
        """Set the stem so that its outputs are uncorrelated and equally strong on ``images``; return the model.

        The filters are the eigenvectors of the covariance (12, 12) of all 2×2 patches, each divided by the square
        root of its eigenvalue, and the same with the other sign.

        Parameters
        ----------
        images : float tensor (n, 3, H, W)
            Standardised training images; a few thousand do.
        epsilon : float
            Added to the eigenvalues, so that directions with next to no variance are not blown up.

        Raises
        ------
        ValueError
            When the network was made with ``whitened=False``.
        """
        if self.stem is None:
            raise ValueError("this ColourNet has no stem to whiten; make it with whitened=True.")
        patches = F.unfold(images, 2).transpose(1, 2).reshape(-1, 12)
        values, vectors = torch.linalg.eigh(patches.T.cov())
        filters = (vectors / (values + epsilon).sqrt()).T.view(12, 3, 2, 2)
        self.stem.weight.copy_(torch.cat([filters, -filters]))
        # The mean patch gives 0.
        self.stem.bias.copy_(-(self.stem.weight.flatten(1) @ patches.mean(0)))
        self.stem.requires_grad_(False)
        return self


class Mirrored(nn.Module):
    """A model that looks at an image and at its mirror image, and adds its logits: flip at test.

    Parameters
    ----------
    model : nn.Module
        (n, C, H, W) → logits (n, classes).
    shift : int
        When above 0, it also looks at both after moving them up left and down right by so many pixels, the gap filled
        by reflection; the four moved views together count as much as the two others.
    """

    def __init__(self, model: nn.Module, shift: int = 0) -> None:
        super().__init__()
        self.model, self.shift = model, shift

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = self._both(x)
        if not self.shift:
            return logits
        height, width = x.shape[-2:]
        padded, far = F.pad(x, [self.shift] * 4, mode="reflect"), 2 * self.shift
        moved = padded[..., far : far + height, far : far + width], padded[..., :height, :width]
        return logits + sum(map(self._both, moved)) / 2

    def _both(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(x) + self.model(x.flip(-1))
