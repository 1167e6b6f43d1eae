"""What goes wrong in a run, in sentences that say what to do."""

from __future__ import annotations

import torch
from torch import nn

from utils.activations import evaluating
from utils.data import Images
from utils.training.history import History


@torch.no_grad()
def check(model: nn.Module, data: Images, name: str) -> None:
    """Try one image, so that a mistake is named before torch's matrix message comes.

    Raises
    ------
    ValueError
        No images, wrong channels or size, labels without an output.
    """
    if len(data) == 0:
        raise ValueError(f"there are no {name} images; give at least one.")
    shape = tuple(data.images.shape[1:])
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    if first is not None and first.in_channels != shape[0]:
        raise ValueError(
            f"the {name} images have {shape[0]} channel{'' if shape[0] == 1 else 's'} (shape {shape}), but the first "
            f"convolution takes {first.in_channels}; convert the images or build the model with in_channels={shape[0]}."
        )
    try:
        parameter = next(model.parameters(), torch.zeros(()))
        with evaluating(model):
            output = model(data.inputs(slice(0, 1)).to(parameter.device))
    except RuntimeError as error:
        raise ValueError(
            f"the model cannot take the {name} images of shape {shape} ({str(error).splitlines()[0]}); "
            "compare the size that the model was built for."
        ) from error
    highest = int(data.labels.max())
    if output.dim() != 2 or highest >= output.shape[1]:
        raise ValueError(
            f"the {name} labels go up to {highest}, but the model's output for one image has shape "
            f"{tuple(output.shape)}; it must be (1, classes) with at least {highest + 1} classes."
        )


def whole(name: str, value: object, low: int = 1) -> None:
    """Raise a ValueError unless ``value`` is a whole number, at least ``low``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ValueError(f"{name} is {value!r}, but it must be a whole number, at least {low}.")


def not_finite(
    model: nn.Module, value: float, *, epoch: int, batch: int, batches: int, rate: float, history: History
) -> FloatingPointError:
    """Return the error for a loss that is NaN or infinite; it carries the history so far as ``error.history``."""
    lost = [name for name, p in model.named_parameters() if not torch.isfinite(p).all()]
    where = f"; not finite any more: {', '.join(lost[:3])}{' and others' if len(lost) > 3 else ''}" if lost else ""
    error = FloatingPointError(
        f"the loss of epoch {epoch} is {value} at batch {batch} of {batches} (step {(epoch - 1) * batches + batch}, "
        f"learning rate {rate:g}){where}. Likely causes: a learning rate that is too large (try a tenth), "
        "inputs that are not standardised, or a division by zero or logarithm of zero in the model or the loss."
    )
    error.history = history
    return error


def out_of_memory(error: BaseException, batch_size: int, accumulate: int) -> MemoryError | None:
    """Return the error that names a batch size to try, or None when ``error`` is about something else."""
    text = str(error).lower()
    if not isinstance(error, torch.OutOfMemoryError) and "out of memory" not in text and "can't allocate" not in text:
        return None
    part = -(-batch_size // accumulate)
    if part == 1:
        advice = "one image at a time is too many; use smaller images or a smaller model"
    else:
        advice = (
            f"try accumulate={2 * accumulate}, which computes the same batch in parts of {-(-part // 2)}, "
            f"or batch_size={batch_size // 2}"
        )
    return MemoryError(
        f"batch_size={batch_size}{f' in {accumulate} parts' if accumulate > 1 else ''} does not fit into the "
        f"device's memory ({str(error).splitlines()[0]}); {advice}."
    )
