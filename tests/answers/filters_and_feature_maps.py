"""Answers to the exercises of chapter filters_and_feature_maps: right ones written differently, and plausible wrong ones."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from utils.activations import capture, evaluating


def by_clamp(filters):
    limit = max(filters.max().item(), -filters.min().item())
    return (filters / limit + 1) / 2 if limit else filters + 0.5


def stretched(filters):
    flat = filters.flatten(1)
    low, high = flat.amin(1).view(-1, 1, 1, 1), flat.amax(1).view(-1, 1, 1, 1)
    return torch.nan_to_num((filters - low) / (high - low))


def in_place(filters):
    limit = filters.abs().max().clamp(min=1e-30)
    return filters.div_(2 * limit).add_(0.5)


def captured(network, name, image):
    with torch.no_grad(), capture(network, name) as seen:
        network(image)
    return seen[name].squeeze(0)


def by_name_loop(network, name, image):
    kept, handles = {}, []
    for place, layer in network.named_modules():
        if place == name:
            handles.append(layer.register_forward_hook(lambda one, inputs, output: kept.update(last=output)))
    network(image)
    handles[0].remove()
    return kept["last"].detach()[0]


def last_map(network, name, image):
    return captured(network, name, image)[-1:]


def in_training(network, name, image):
    network.train()
    return captured(network, name, image)


def image_doubled(network, name, image):
    return captured(network, name, image.mul_(2))


def without_hook(network, name, image):
    network = network.get_submodule(name.rpartition(".")[0])
    return network(image)[0]


def by_context(network, name, image):
    with evaluating(network), torch.no_grad(), capture(network, name) as seen:
        network(image)
    return seen[name]


def leaky(network, name, image):
    kept = {}
    network.get_submodule(name).register_forward_hook(lambda *all: kept.update(m=all[2].detach().clone()))
    with evaluating(network):
        network(image)
    return kept["m"]


def only_detached(network, name, image):
    kept = {}
    handle = network.get_submodule(name).register_forward_hook(lambda *all: kept.update(m=all[2].detach()))
    try:
        with evaluating(network):
            network(image)
    finally:
        handle.remove()
    return kept["m"]


def only_cloned(network, name, image):
    kept = {}
    handle = network.get_submodule(name).register_forward_hook(lambda *all: kept.update(m=all[2].clone()))
    try:
        with evaluating(network):
            network(image)
    finally:
        handle.remove()
    return kept["m"]


def not_finally(network, name, image):
    kept = {}
    handle = network.get_submodule(name).register_forward_hook(lambda *all: kept.update(m=all[2].detach().clone()))
    with evaluating(network):
        network(image)
    handle.remove()
    return kept["m"]


def all_trained(network, name, image):
    network.eval()
    try:
        with torch.no_grad(), capture(network, name) as seen:
            network(image)
    finally:
        network.train()
    return seen[name]


def left_in_eval(network, name, image):
    network.eval()
    with torch.no_grad(), capture(network, name) as seen:
        network(image)
    return seen[name]


def in_training_mode(network, name, image):
    with torch.no_grad(), capture(network, name) as seen:
        network(image)
    return seen[name]


def swallowed(network, name, image):
    try:
        return by_context(network, name, image)
    except RuntimeError:
        return None


def slices(images, maps, field, jump, offset, count):
    """Cut what is there and pad it, instead of cutting from padded images."""
    scored = sorted(range(len(maps)), key=lambda n: -maps[n].max().item())[:count]
    patches = torch.zeros(count, images.shape[1], field, field)
    for i, n in enumerate(scored):
        r, c = (maps[n] == maps[n].max()).nonzero()[0].tolist()
        for y in range(field):
            for x in range(field):
                down, right = r * jump - offset + y, c * jump - offset + x
                if 0 <= down < images.shape[2] and 0 <= right < images.shape[3]:
                    patches[i, :, y, x] = images[n, :, down, right]
    return patches


def wrong_top(change):
    def answer(images, maps, field, jump, offset, count):
        return change(images, maps, field, jump, offset, count)

    return answer


RIGHT = {
    "as_pictures": [by_clamp],
    "feature_map": [captured, by_name_loop],
    "watch": [by_context],
    "sizes": [(27, 51, 8)],
    "top_patches": [slices],
    "colour": ["kept"],
}

WRONG = {
    "as_pictures": {
        "each filter has a scale of its own": lambda f: (
            0.5 + f / (2 * f.abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-9))
        ),
        "stretches each filter": stretched,
        "zero is not 0.5": lambda f: (f - f.min()) / (f.max() - f.min()).clamp(min=1e-30),
        "from −1 to 1": lambda f: f / f.abs().max().clamp(min=1e-30),
        "the sign is lost": lambda f: 0.5 + f.abs() / (2 * f.abs().max().clamp(min=1e-30)),
        "changed its arguments": in_place,
        "must be torch.float32": lambda f: by_clamp(f.double()),
        "NaN or infinite": lambda f: 0.5 + f / (2 * f.abs().max()),
        "the values differ": lambda f: torch.full_like(f, 0.5),
        "must be a tensor": lambda f: by_clamp(f).tolist(),
        "must have": lambda f: by_clamp(f)[0],
    },
    "feature_map": {
        "the batch axis is still there": lambda *a: captured(*a)[None],
        "the network's answer": lambda network, name, image: network(image)[0],
        "the output of the outer part": lambda network, name, image: captured(network, name.split(".")[0], image),
        "shape (1": last_map,
        "the result is": in_training,
        "the image was changed": image_doubled,
        "raised RuntimeError": lambda network, name, image: network.get_submodule("head")(image),
        "NoneType, not a tensor": lambda network, name, image: (
            network.get_submodule(name).register_forward_hook(print) and None
        ),
    },
    "watch": {
        "a hook is still there": leaky,
        "overwritten what was kept": only_detached,
        "hold the graph": only_cloned,
        "remove it in a `finally`": not_finally,
        "every part must get its own mode back": all_trained,
        "stays in evaluation mode": lambda *a: left_in_eval(*a),
        "batch norm worked in training mode": in_training_mode,
        "NoneType, not a tensor": swallowed,
    },
    "sizes": {
        "the pooling takes windows of 3": [28, 51, 8],
        "the pooling adds": [27, 45, 8],
        "the product of all strides": [27, 51, 16],
        "2 entries": [27, 51],
        "not right": [27, 50, 8],
    },
    "top_patches": {
        "rows and columns are exchanged": lambda images, maps, *rest: slices(images, maps.transpose(1, 2), *rest),
        "begins at i·jump − offset": lambda images, maps, field, jump, offset, count: slices(
            images, maps, field, jump, 0, count
        ),
        "the weakest pictures": lambda images, maps, *rest: _weakest(images, maps, *rest),
        "one pixel too far down": lambda images, maps, field, jump, offset, count: slices(
            images, maps, field, jump, offset - 1, count
        ),
        "must have": lambda images, maps, field, jump, offset, count: slices(images, maps, field, jump, offset, 1)[0],
        "the values differ": lambda *a: torch.zeros_like(slices(*a)),
        "must be torch.float32": lambda *a: slices(*a).double(),
    },
    "colour": {
        "push the three channels together": "faded",
        "compare the gradients": "changed",
        "not right": "grey",
    },
}


def _weakest(images, maps, field, jump, offset, count):
    order = maps.flatten(1).amax(1).argsort()
    picked = order[:count]
    patches = [slices(images[n][None], maps[n][None], field, jump, offset, 1)[0] for n in picked]
    return F.pad(torch.stack(patches), (0, 0))
