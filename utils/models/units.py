"""Parts that several architectures share: a convolution with norm and activation, squeeze-and-excitation, stochastic depth."""

from __future__ import annotations

import torch
from torch import nn


def whole_channels(channels: float, step: int = 8) -> int:
    """Return the multiple of ``step`` nearest to a number of channels, never more than a tenth below it.

    The rule by which MobileNet and EfficientNet round widths (Sandler et al. 2018, and their published code).
    """
    rounded = max(step, int(channels + step / 2) // step * step)
    return rounded if rounded >= 0.9 * channels else rounded + step


class ConvUnit(nn.Sequential):
    """(N, inputs, H, W) → (N, outputs, ⌈H / stride⌉, ⌈W / stride⌉): convolution, batch norm, activation.

    Parameters
    ----------
    inputs, outputs : int
    kernel : int
        Odd side of the kernel; the padding keeps the size at stride 1.
    stride : int
    groups : int
        Equal to ``inputs`` for a depthwise convolution.
    activation : class of module or None
        None where a linear layer is wanted.
    eps, momentum : float
        Of the batch norm.
    norm : bool
        False leaves the batch norm out; the convolution then has a bias.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1,
        activation: type[nn.Module] | None = nn.ReLU, eps: float = 1e-5, momentum: float = 0.1, norm: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=not norm),
            *([nn.BatchNorm2d(outputs, eps=eps, momentum=momentum)] if norm else []),
            *([activation()] if activation else []),
        )


class SqueezeExcitation(nn.Module):
    """(N, channels, H, W) → the same: each channel is multiplied by a number between 0 and 1 found from all averages.

    Hu, Shen and Sun, "Squeeze-and-excitation networks", CVPR 2018, section 3.

    Parameters
    ----------
    channels, squeezed : int
        Width in front, and in the narrow layer between.
    activation, gate : class of module
        Behind the first and the second layer; the paper has ReLU and the sigmoid.
    """

    def __init__(
        self, channels: int, squeezed: int,
        activation: type[nn.Module] = nn.ReLU, gate: type[nn.Module] = nn.Sigmoid,
    ) -> None:  # fmt: skip
        super().__init__()
        self.squeeze = nn.AdaptiveAvgPool2d(1)
        self.reduce = nn.Conv2d(channels, squeezed, 1)  # a dense layer, written as a 1×1 convolution
        self.activation = activation()
        self.expand = nn.Conv2d(squeezed, channels, 1)
        self.gate = gate()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gate(self.expand(self.activation(self.reduce(self.squeeze(x)))))


class StochasticDepth(nn.Module):
    """(N, …) → the same: in training a whole image's branch is dropped with probability ``rate``, the others scaled up.

    Huang, Sun, Liu, Sedra and Weinberger, "Deep networks with stochastic depth", ECCV 2016. It stands at the end of a
    residual branch, so that a block without its branch is the identity.
    """

    def __init__(self, rate: float) -> None:
        if not 0 <= rate < 1:
            raise ValueError(f"rate is {rate!r}, but a probability of at least 0 and below 1 is needed.")
        super().__init__()
        self.rate = rate

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training or self.rate == 0:
            return x
        kept = torch.rand(x.shape[0], *[1] * (x.dim() - 1), device=x.device) >= self.rate
        return x * kept / (1 - self.rate)

    def extra_repr(self) -> str:
        return f"rate={self.rate}"
