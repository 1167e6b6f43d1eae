"""Images: one small module per source, one common type.

Nothing here needs a network, except ``mnist``, ``fashion_mnist``, ``cifar10``, ``pets`` and ``chest_xray`` when they are asked for first.
Augmentation of batches is in :mod:`utils.data.augment`.
"""

from __future__ import annotations

from utils.data.chest_xray import chest_xray
from utils.data.common import Images, Splits, stratified_split
from utils.data.corruptions import CORRUPTIONS, NATURAL, corrupt
from utils.data.digits import digits
from utils.data.faces import faces
from utils.data.folder import folder, folder_images
from utils.data.marker import corner, cover, stamp
from utils.data.photos import PHOTOS, photo
from utils.data.shapes import SHAPES, TEXTURES, Scenes, scenes, shapes
from utils.data.torchvision_sets import cifar10, fashion_mnist, mnist, pets

__all__ = [
    "CORRUPTIONS",
    "NATURAL",
    "PHOTOS",
    "SHAPES",
    "TEXTURES",
    "Images",
    "Scenes",
    "Splits",
    "chest_xray",
    "cifar10",
    "corner",
    "corrupt",
    "cover",
    "digits",
    "faces",
    "fashion_mnist",
    "folder",
    "folder_images",
    "mnist",
    "pets",
    "photo",
    "scenes",
    "shapes",
    "stamp",
    "stratified_split",
]
