"""Pictures of units that take longer than a chapter may: ``python -m benchmarks.dream_pictures``.

EfficientNet-Lite0, images of 96×96 with all regularisers, 96 steps: the first six channels of five layers (none were
picked), one channel from four starts, and the same channel asked in other ways: one neuron of it, a class, a layer.

Writes ``benchmarks/results/dream_pictures.json`` with the pictures in it, as JPEG in base64; two minutes of one core.
"""

from __future__ import annotations

import argparse
import base64
import io
from collections.abc import Iterator

import torch
from PIL import Image

from utils import dreaming, results
from utils.dreaming import Fourier
from utils.models import pretrained

LAYERS = ("stages.1.1", "stages.2.1", "stages.3.2", "stages.4.2", "stages.5.3")
CHANNELS = list(range(6))
STARTS = 4
LATE = ("stages.5.3", 7)
DAISY = 985


def first_channels(layer: str) -> dreaming.Objective:
    """Return the objective whose image i is judged by channel i."""

    def score(maps: torch.Tensor) -> torch.Tensor:
        return maps[torch.arange(len(maps)), CHANNELS].mean((1, 2))

    return dreaming.Objective(layer, score, f"{layer}, its first channels")


def wanted() -> Iterator[tuple[str, dreaming.Objective, list[str]]]:
    """Yield the group, the objective of a batch, and the name of each of its images."""
    for layer in LAYERS:
        yield layer, first_channels(layer), [f"channel {i}" for i in CHANNELS]
    yield "starts", dreaming.channel(*LATE), [f"start {i}" for i in range(STARTS)]
    yield "asked", dreaming.neuron(*LATE), ["neuron"]
    yield "asked", dreaming.category(DAISY), ["class daisy"]
    yield "asked", dreaming.layer("stages.4.2"), ["layer"]


def jpeg(image: torch.Tensor) -> str:
    """Return an image (3, H, W) in [0, 1] as JPEG in base64."""
    pixels = (image * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=88, subsampling=0, optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def main() -> None:
    """Dream all and record them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=96, help="fewer only to try it out")
    steps = parser.parse_args().steps
    lite = pretrained.load()
    options = {"mean": lite.mean, "std": lite.std}
    rows = []
    for group, objective, names in wanted():
        picture = Fourier(len(names), decorrelated=True)
        images = dreaming.dream(lite.model, objective, picture, steps=steps, **options).image
        values = dreaming.measure(lite.model, objective, images, **options).tolist()
        for name, image, value in zip(names, images, values, strict=True):
            rows.append({"group": group, "name": name, "value": round(value, 2), "jpeg": jpeg(image)})
            print(group, name, rows[-1]["value"], flush=True)
    path = results.record(
        "dream_pictures",
        rows,
        command="python -m benchmarks.dream_pictures" + ("" if steps == 96 else f" --steps {steps}"),
        data="no images: noise of 96×96 pixels; EfficientNet-Lite0 with its ImageNet weights",
        seeds=[0],
        note=f"{steps} steps of Adam at 0.08, Fourier parametrisation, decorrelated colours, jitter by 8 pixels, scale 0.85 "
        "to 1.15, rotation by 10°. Values are those before the picture became a JPEG. Group: a layer, whose first six "
        "channels were asked; or starts, channel 7 of stages.5.3 from four; or asked, other objectives.",
    )
    print(f"recorded in {path.name}")


if __name__ == "__main__":
    main()
