"""The vision transformer: an image as a row of patches, and attention in place of convolutions.

A. Dosovitskiy, L. Beyer, A. Kolesnikov, D. Weissenborn, X. Zhai and others, "An image is worth 16×16 words: transformers
for image recognition at scale", ICLR 2021 (arXiv 2010.11929): its figure 1, equations 1 to 4 and table 1. Attention is
that of A. Vaswani and others, "Attention is all you need", NIPS 2017, section 3.2. Chapter: vision_transformer.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from utils.models.inputs import check_counts, check_images


class Positions(nn.Module):
    """(N, tokens, width) → the same: a learned vector for each place is added, the E_pos of equation 1."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.randn(1, tokens, width) * 0.02)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.position


class Attention(nn.Module):
    """(N, tokens, width) → the same: multi-head self-attention, equations 5 to 8 in appendix A.

    Every token gets a weighted mean of the values of all tokens. The weights come from the image, one set for each head.

    Parameters
    ----------
    width, heads : int
        The heads share the width among them: ``width`` must be a multiple of ``heads``.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)  # queries, keys and values of all heads in one product
        self.out = nn.Linear(width, width)

    def split(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return queries, keys and values, each (N, heads, tokens, width / heads)."""
        return self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)

    def weights(self, x: torch.Tensor) -> torch.Tensor:
        """Return who looks where, (N, heads, tokens, tokens): row i has the weights of token i, and their sum is 1."""
        query, key, _ = self.split(x)
        return (query @ key.transpose(2, 3) / query.shape[3] ** 0.5).softmax(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = self.split(x)
        x = F.scaled_dot_product_attention(query, key, value)  # weights(x) @ value, without keeping the weights
        return self.out(x.transpose(1, 2).flatten(2))


class EncoderBlock(nn.Module):
    """(N, tokens, width) → the same: attention, then an MLP on each token, each normed in front and added, equations 2, 3."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """(N, in_channels, size, size) → logits (N, classes): figure 1; the default is ViT-B/16 of table 1.

    Equal to torchvision's ``vit_b_16``; the weights copy in order. The head is one layer, as the paper has it when it
    fine-tunes, and starts at zero; dropout is left out.

    Parameters
    ----------
    size, patch : int
        Side of the images and of the patches, in pixels: ``size`` must be a multiple of ``patch``.
    depth, width, heads : int
        Blocks, numbers per token, heads of each attention.
    classes, in_channels : int
    token : bool
        Whether the answer is read from an additional token, as in the paper, or from the average of all patches.

    Raises
    ------
    ValueError
        When a number does not fit; in the forward pass, when the images do not.
    """

    def __init__(
        self, size: int = 224, patch: int = 16, depth: int = 12, width: int = 768, heads: int = 12,
        classes: int = 1000, in_channels: int = 3, token: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        check_counts(
            size=size, patch=patch, depth=depth, width=width, heads=heads, classes=classes, in_channels=in_channels
        )
        if size % patch:
            raise ValueError(
                f"size is {size}, which patches of {patch}×{patch} do not tile; take a multiple of {patch}."
            )
        if width % heads:
            raise ValueError(f"width is {width}, which {heads} heads cannot share; take a multiple of {heads}.")
        self.size, self.in_channels = size, in_channels
        self.class_token = nn.Parameter(torch.zeros(1, 1, width)) if token else None
        self.patches = nn.Conv2d(in_channels, width, patch, stride=patch)
        self.positions = Positions((size // patch) ** 2 + token, width)
        self.blocks = nn.Sequential(*(EncoderBlock(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, classes)
        self.reset()

    def reset(self) -> None:
        """Draw the dense layers as Glorot and Bengio do (2010); the head starts at 0, so all classes start alike."""
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)
        nn.init.trunc_normal_(self.patches.weight, std=self.patches.weight[0].numel() ** -0.5)
        nn.init.zeros_(self.patches.bias)
        nn.init.zeros_(self.head.weight)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        check_images(
            "VisionTransformer", images, channels=self.in_channels, exact=self.size, fits="position embeddings fit"
        )
        x = self.patches(images).flatten(2).transpose(1, 2)  # (N, width, rows, columns) → (N, patches, width)
        if self.class_token is not None:
            x = torch.cat([self.class_token.expand(x.shape[0], -1, -1), x], 1)
        x = self.norm(self.blocks(self.positions(x)))
        return self.head(x.mean(1) if self.class_token is None else x[:, 0])


class SmallViT(VisionTransformer):
    """(N, in_channels, 32, 32) → logits (N, classes): 64 patches of 4×4 pixels, three blocks, the patches' average."""

    def __init__(self, classes: int = 10, in_channels: int = 3) -> None:
        super().__init__(32, 4, 3, 60, 4, classes, in_channels, token=False)
