"""The lens: maps over photographs, for each class and layer that was asked for when the notebook was executed."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
import torch
import traitlets

from utils.widgets import source
from utils.widgets.base import Explorer

BUDGET = 600_000  # bytes of photographs and maps, as in `explore`


class Lens(Explorer):
    """Choose a photograph, a class and a layer, and lay its map over the photograph as strongly as you like.

    The maps are stored as coarse as the layer gives them; the page enlarges them, bilinearly or as squares. The colour
    is full where only 2 % of a map's numbers are stronger.

    Parameters
    ----------
    pictures : uint8 tensor (N, 3, S, S)
        The photographs.
    names : sequence of str, length N
        What they are called.
    questions : sequence, length N, of sequences of (str, float)
        For each photograph the classes that may be chosen, each with its score.
    layers : sequence of str
        The layers that may be chosen.
    maps : sequence [photograph][class][layer] of tensors (h, w)
        With their sign, as ``utils.attribution.grad_cam(..., relu=False, enlarged=False)`` gives them; all maps of a
        layer have one size. The page cuts them off at 0 until it is asked for what speaks against the class.
    start : (int, int, int)
        Which photograph, class and layer are shown first.

    Raises
    ------
    ValueError
        When the lengths, the shapes or the start do not fit together, or all takes more than 600,000 bytes.
    """

    _esm = source("base.js", "lens.js")
    _css = source("base.css", "lens.css")

    pictures = traitlets.List(traitlets.Unicode()).tag(sync=True)
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    questions = traitlets.List().tag(sync=True)
    layers = traitlets.List(traitlets.Unicode()).tag(sync=True)
    shapes = traitlets.List().tag(sync=True)
    maps = traitlets.Bytes().tag(sync=True)
    side = traitlets.Int().tag(sync=True)
    start = traitlets.List(traitlets.Int()).tag(sync=True)

    def __init__(
        self,
        pictures: torch.Tensor,
        names: Sequence[str],
        questions: Sequence[Sequence[tuple[str, float]]],
        layers: Sequence[str],
        maps: Sequence[Sequence[Sequence[torch.Tensor]]],
        *,
        start: tuple[int, int, int] = (0, 0, 0),
    ) -> None:
        pictures = torch.as_tensor(pictures).cpu()
        if pictures.dtype != torch.uint8 or pictures.dim() != 4 or pictures.shape[1] != 3 or 0 in pictures.shape:
            raise ValueError(
                f"pictures are {pictures.dtype} {tuple(pictures.shape)}; the lens takes uint8 (N, 3, S, S)."
            )
        if pictures.shape[2] != pictures.shape[3]:
            raise ValueError(f"the pictures are {pictures.shape[2]}×{pictures.shape[3]}; cut them to squares.")
        if not len(pictures) == len(names) == len(questions) == len(maps):
            raise ValueError(
                f"there are {len(pictures)} pictures, {len(names)} names, questions for {len(questions)} and maps for "
                f"{len(maps)} of them; give one of each for every picture."
            )
        shapes = [tuple(torch.as_tensor(m).shape) for m in maps[0][0]] if len(maps[0]) else []
        flat = []
        for name, asked, rows in zip(names, questions, maps, strict=True):
            if not asked or len(asked) != len(rows):
                raise ValueError(f"{name} has {len(asked)} classes and maps for {len(rows)}; give maps for each class.")
            for (word, _), row in zip(asked, rows, strict=True):
                found = [tuple(torch.as_tensor(m).shape) for m in row]
                if len(found) != len(layers) or found != shapes or any(len(shape) != 2 for shape in found):
                    raise ValueError(
                        f"the maps of {name}, {word}, have the shapes {found}; there are {len(layers)} layers, and the "
                        f"first class has {shapes}."
                    )
                flat += [torch.as_tensor(m).detach().cpu().float().flatten() for m in row]
        n, k, at = start
        if not (0 <= n < len(names) and 0 <= at < len(layers)):
            raise ValueError(f"the start is {start!r}, but there are {len(names)} pictures and {len(layers)} layers.")
        if not 0 <= k < len(questions[n]):
            raise ValueError(f"the start is {start!r}, but {names[n]} has {len(questions[n])} classes.")
        stored = torch.cat(flat).numpy().astype("<f4").tobytes()
        drawn = [_jpeg(picture) for picture in pictures.permute(0, 2, 3, 1).numpy()]
        used = sum(map(len, drawn)) + 4 * len(stored) // 3
        if used > BUDGET:
            raise ValueError(f"pictures and maps take {used:,} bytes, more than the {BUDGET:,} allowed; offer fewer.")
        super().__init__(
            pictures=drawn,
            names=list(names),
            questions=[[[str(word), float(score)] for word, score in asked] for asked in questions],
            layers=list(layers),
            shapes=[list(shape) for shape in shapes],
            maps=stored,
            side=pictures.shape[2],
            start=list(start),
        )


def _jpeg(pixels: np.ndarray) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format="JPEG", quality=90)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
