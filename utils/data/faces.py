"""200 small grey crops, 100 faces and 100 pieces of background, from scikit-image's package."""

from __future__ import annotations

from functools import cache

import torch

from utils.data.common import Images, Splits, stratified_split


@cache
def faces(seed: int = 0, *, validation: int = 20, test: int = 80) -> Splits:
    """Return crops (1, 25, 25) that show a face or not: by default 100 for training, 20 for validation, 80 for the test.

    Both classes have the same share of each part. A test of 80 is coarse: an accuracy of 95 % has a standard error of 2.4
    points, so measure over several seeds, each with another split. Two more reasons for care: nothing says
    which person a crop shows, and many of the others contain a black wedge, the margin of a picture that
    was turned upright, or are nearly flat. A classifier may learn this instead of faces.

    The file ``lfw_subset.npy`` is in the package; no network is needed. Its values are not whole numbers of grey
    and are rounded to bytes. Source: Huang, Mattar, Lee and Learned-Miller, "Learning to align from scratch", NIPS,
    2012, by way of scikit-image.

    Parameters
    ----------
    seed : int
        Of the split.
    validation, test : int
        Number of images in each of these parts; what is left is for training.

    Raises
    ------
    ValueError
        When a part would be empty.
    """
    import skimage.data

    pixels = torch.from_numpy(skimage.data.lfw_subset())
    images = (255 * pixels).round().to(torch.uint8)[:, None]
    labels = torch.arange(len(images)).lt(100).to(torch.int64)  # the first hundred are faces
    return stratified_split(Images(images, labels, ("no face", "face")), validation=validation, test=test, seed=seed)
