"""Images as most tutorials' loops have them: one picture at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.utils.data import Dataset

from utils.data.common import Images


class Pictures(Dataset):
    """A data set whose examples are PIL pictures, each transformed when it is asked for, with their labels.

    Parameters
    ----------
    data : Images
    transform : callable
        Of torchvision, say; it takes a PIL picture, grey or RGB.
    """

    def __init__(self, data: Images, transform: Callable[[Any], Any]) -> None:
        pixels = data.images.cpu().permute(0, 2, 3, 1).contiguous().numpy()
        self.images = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
        self.labels, self.transform = data.labels.tolist(), transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[Any, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.images[i])), self.labels[i]
