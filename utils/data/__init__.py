"""Images: one small module per source, one common type. Everything here needs no network."""

from __future__ import annotations

from utils.data.common import Images, Splits, stratified_split
from utils.data.digits import digits
from utils.data.photos import PHOTOS, photo
from utils.data.shapes import SHAPES, Scenes, scenes, shapes

__all__ = ["PHOTOS", "SHAPES", "Images", "Scenes", "Splits", "digits", "photo", "scenes", "shapes", "stratified_split"]
