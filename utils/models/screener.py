"""Networks for one question, yes or no: a small one for small images, and any network for photographs on grey ones."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from utils.models.inputs import check_counts


class Screener(nn.Module):
    """(N, in_channels, H, W) → logits (N, 2): three 3×3 convolutions with batch norm, then each map's largest value.

    The first convolution and a pooling halve the sides, so that the last maps, ``block3``, have a quarter of them. The
    largest value and not the mean, since what is looked for may be small.

    Parameters
    ----------
    in_channels : int
    widths : tuple of int
        Channels of the three blocks.
    """

    def __init__(self, in_channels: int = 1, widths: tuple[int, int, int] = (16, 32, 64)) -> None:
        super().__init__()
        check_counts(in_channels=in_channels)
        self.block1, self.block2, self.block3 = (
            nn.Sequential(nn.Conv2d(a, b, 3, stride, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU())
            for a, b, stride in zip((in_channels, *widths), widths, (2, 1, 1), strict=False)
        )
        self.head = nn.Linear(widths[-1], 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(self.block2(self.block1(x)), 2)
        return self.head(self.block3(x).amax((2, 3)))


def one_channel(model: nn.Module) -> nn.Module:
    """Give a network for colour photographs a first convolution for grey images, in place, and return it.

    A grey image repeated three times meets the sum of the kernel over its channels, so the sum is the new kernel and
    nothing that was learned is lost.

    Raises
    ------
    ValueError
        When the network has no convolution, or the first one does not read three channels.
    """
    found = [(name, part) for name, part in model.named_modules() if isinstance(part, nn.Conv2d)]
    if not found or found[0][1].in_channels != 3 or found[0][1].groups != 1:
        what = f"{found[0][0]!r} reads {found[0][1].in_channels}" if found else f"{type(model).__name__} has none"
        raise ValueError(f"the first convolution must read three channels, but {what}.")
    name, old = found[0]
    new = nn.Conv2d(
        1, old.out_channels, old.kernel_size, old.stride, old.padding, old.dilation,
        bias=old.bias is not None, padding_mode=old.padding_mode,
    ).to(old.weight)  # fmt: skip
    with torch.no_grad():
        new.weight.copy_(old.weight.sum(1, keepdim=True))
        if old.bias is not None:
            new.bias.copy_(old.bias)
    model.set_submodule(name, new)
    return model
