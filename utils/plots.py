"""Every figure of the book in one house style: legible in both colour modes, safe for colour-blind readers.

Functions draw and return the figure's axes; in a notebook the figure appears by itself. No text is
smaller than 9 points, and nothing is coloured red against green.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from utils.architecture import Block, Step
    from utils.diagnosis import Reliability
    from utils.training import History

# Okabe and Ito, "Color universal design", 2008, without the yellow that pales on white.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"]
MARK = "#D55E00"
# Blue below zero, white at zero, orange above: the same colours as in the explorers.
SIGNED = mpl.colors.LinearSegmentedColormap.from_list("signed", ["#2166AC", "#F7F7F7", "#C85A0A"])
WIDTH = 7.0  # inches: the width of the text


def use_house_style() -> None:
    """Set the style for all figures that follow."""
    plt.rcdefaults()
    plt.rcParams.update(
        {
            "figure.figsize": (WIDTH, 3.2),
            "figure.dpi": 150,
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
            "font.size": 10,
            "axes.titlesize": 10,
            "axes.labelsize": 10,
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
            "legend.fontsize": 9,
            "legend.frameon": False,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": mpl.cycler(color=COLOURS),
            "image.interpolation": "nearest",
            "image.cmap": "gray",
        }
    )


def show(
    images: Sequence[Any],
    titles: Sequence[str] | None = None,
    *,
    columns: int | None = None,
    signed: bool = False,
    low: float | None = None,
    high: float | None = None,
    size: float | None = None,
) -> np.ndarray:
    """Show images side by side.

    Parameters
    ----------
    images : sequence of arrays or tensors, (H, W), (1, H, W) or (3, H, W)
        Colour images lie in [0, 1].
    titles : sequence of str, optional
        One for each image.
    columns : int, optional
        Images in a row; all of them, up to 6, when left out.
    signed : bool
        Blue for negative, white for zero, orange for positive; one scale for all images.
    low, high : float, optional
        The values drawn black and white; each image's own extremes when left out.
    size : float, optional
        Width of one image in inches.

    Returns
    -------
    ndarray of Axes, one for each image
    """
    arrays = [_array(image) for image in images]
    if not arrays:
        raise ValueError("there are no images to show; give at least one.")
    if titles is not None and len(titles) != len(arrays):
        raise ValueError(f"there are {len(titles)} titles for {len(arrays)} images; give one for each.")
    columns = min(columns or 6, len(arrays))
    rows = math.ceil(len(arrays) / columns)
    width = size or min(2.4, WIDTH / columns)
    ratio = max(a.shape[0] / a.shape[1] for a in arrays)
    figure, axes = plt.subplots(
        rows, columns, figsize=(width * columns, (width * ratio + (0.3 if titles else 0.05)) * rows), squeeze=False
    )
    limit = max(float(np.abs(a).max()) for a in arrays) or 1.0
    for i, axis in enumerate(axes.flat):
        axis.set_axis_off()
        if i >= len(arrays):
            continue
        if signed:
            axis.imshow(arrays[i], cmap=SIGNED, vmin=-limit, vmax=limit)
        else:
            axis.imshow(arrays[i], vmin=low, vmax=high)
        if titles is not None:
            axis.set_title(titles[i])
    return axes.ravel()[: len(arrays)]


def overlay(
    images: Sequence[Any],
    maps: Sequence[Any],
    titles: Sequence[str] | None = None,
    *,
    columns: int | None = None,
    strength: float = 0.8,
    clip: float = 0.99,
    size: float | None = None,
) -> np.ndarray:
    """Show a map over each image, in grey: orange where it is positive, blue where negative, clear where it is 0.

    Every map has its own scale, so colours of two images must not be compared.

    Parameters
    ----------
    images : sequence of arrays or tensors, (H, W), (1, H, W) or (3, H, W)
        In [0, 1].
    maps : sequence of 2-D arrays or tensors
        One for each image, or for the only one; each is as high and wide as its image.
    titles : sequence of str, optional
        One for each map.
    columns, size
        As for :func:`show`.
    strength : float
        From 0, the image alone, to 1, where the strongest places hide the image.
    clip : float
        The share of the pixels that have a colour of their own; the few strongest ones above share the last.

    Returns
    -------
    ndarray of Axes, one for each map

    Raises
    ------
    ValueError
        When a map does not belong to an image, or a number is out of its range.
    """
    for name, value in (("strength", strength), ("clip", clip)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} is {value!r}, but it must lie between 0 and 1.")
    values = [_array(m).astype(float) for m in maps]
    grounds = [_array(image).astype(float) for image in images]
    grounds = grounds * len(values) if len(grounds) == 1 else grounds
    if len(grounds) != len(values):
        raise ValueError(f"there are {len(values)} maps for {len(grounds)} images; give one map for each image.")
    mixed = []
    for ground, value in zip(grounds, values, strict=True):
        if value.ndim != 2 or value.shape != ground.shape[:2]:
            raise ValueError(
                f"a map has shape {value.shape} over an image of {ground.shape[:2]}, but both must be (H, W); "
                "enlarge the map, or sum it over the channels."
            )
        grey = ground if ground.ndim == 2 else ground @ np.array([0.2125, 0.7154, 0.0721])
        # From 0 at black to 1 at the strongest; a map of zeros leaves the image as it is.
        weight = np.clip(np.abs(value) / (np.quantile(np.abs(value), clip) or np.abs(value).max() or 1.0), 0, 1)
        colour = np.where(value[..., None] < 0, mpl.colors.to_rgb("#2166AC"), mpl.colors.to_rgb("#E06A00"))
        weight = strength * weight[..., None]
        mixed.append(np.moveaxis((1 - weight) * np.clip(grey, 0, 1)[..., None] + weight * colour, -1, 0))
    return show(mixed, titles, columns=columns, size=size)


def numbers(
    grids: Sequence[Any],
    titles: Sequence[str] | None = None,
    *,
    marks: Sequence[Sequence[tuple[int, int]] | None] | None = None,
    digits: int = 0,
    signs: Sequence[str] | None = None,
) -> np.ndarray:
    """Show small matrices with the value written into each cell.

    Parameters
    ----------
    grids : sequence of 2-D arrays or tensors
        Cells that are not a number stay empty.
    titles : sequence of str, optional
    marks : sequence of lists of (row, column), optional
        Cells to frame, for each grid; None for a grid without.
    digits : int
        Decimals to write.
    signs : sequence of str, optional
        Text between neighbouring grids, such as ``["∗", "="]``.

    Returns
    -------
    ndarray of Axes, one for each grid
    """
    arrays = [_array(g).astype(float) for g in grids]
    widths = [a.shape[1] for a in arrays]
    cell = min(0.42, (WIDTH - 0.5 * (len(arrays) - 1)) / sum(widths))
    height = cell * max(a.shape[0] for a in arrays) + 0.45
    figure, axes = plt.subplots(
        1,
        len(arrays),
        figsize=(cell * sum(widths) + 0.5 * (len(arrays) - 1) + 0.3, height),
        width_ratios=widths,
        squeeze=False,
    )
    limit = max(float(np.nanmax(np.abs(a))) for a in arrays) or 1.0
    for i, (axis, array) in enumerate(zip(axes.flat, arrays, strict=True)):
        axis.imshow(array, cmap=SIGNED, vmin=-1.6 * limit, vmax=1.6 * limit)
        for (r, c), value in np.ndenumerate(array):
            if np.isnan(value):
                continue
            text = f"{value:.{digits}f}".replace("-", "−")
            axis.text(c, r, "0" if text == "−0" else text, ha="center", va="center", color="black", fontsize=9)
        axis.set_xticks(np.arange(array.shape[1] + 1) - 0.5, [])
        axis.set_yticks(np.arange(array.shape[0] + 1) - 0.5, [])
        axis.grid(color="#888888", linewidth=0.5)
        axis.tick_params(length=0)
        for spine in axis.spines.values():
            spine.set_visible(False)
        if titles is not None:
            axis.set_title(titles[i])
        for r, c in marks[i] if marks is not None and marks[i] else ():
            axis.add_patch(plt.Rectangle((c - 0.5, r - 0.5), 1, 1, fill=False, edgecolor="black", linewidth=2))
        if signs is not None and i < len(signs):
            axis.annotate(
                signs[i],
                (1, 0.5),
                (12, 0),
                xycoords="axes fraction",
                textcoords="offset points",
                fontsize=14,
                ha="center",
                va="center",
                annotation_clip=False,
            )
    return axes.ravel()


def learning_curves(history: History, title: str = "") -> np.ndarray:
    """Draw loss and, where measured, validation accuracy over the epochs; returns both axes."""
    figure, axes = plt.subplots(1, 2, figsize=(WIDTH, 2.6))
    epochs = range(1, history.epochs + 1)
    axes[0].plot(epochs, history.loss, marker="o", markersize=3, label="training")
    if history.validation_loss:
        axes[0].plot(epochs, history.validation_loss, marker="s", markersize=3, label="validation")
        axes[1].plot(epochs, [100 * a for a in history.validation_accuracy], marker="s", markersize=3, color=COLOURS[1])
    axes[0].set(xlabel="epoch", ylabel="mean loss", ylim=(0, None))
    axes[0].legend()
    axes[1].set(xlabel="epoch", ylabel="validation accuracy (%)")
    for axis in axes:
        axis.xaxis.get_major_locator().set_params(integer=True)
    if title:
        figure.suptitle(title, fontsize=10)
    return axes


def loss_panels(histories: Mapping[str, History], *, columns: int = 3, top: float | None = None) -> np.ndarray:
    """Draw training and validation loss of several runs, one panel each on one scale; returns the axes.

    Parameters
    ----------
    histories : dict of title to History
    columns : int
        Panels in a row.
    top : float, optional
        The largest loss drawn; the largest there is when left out.
    """
    if not histories:
        raise ValueError("there are no runs to draw; give at least one history.")
    columns = min(columns, len(histories))
    rows = math.ceil(len(histories) / columns)
    figure, axes = plt.subplots(rows, columns, figsize=(WIDTH, 0.3 + 1.85 * rows), sharey=True, squeeze=False)
    for axis in axes.flat[len(histories) :]:
        axis.set_visible(False)
    for axis, (title, history) in zip(axes.flat, histories.items(), strict=False):
        epochs = range(1, history.epochs + 1)
        axis.plot(epochs, history.loss, marker="o", markersize=3, label="training")
        if history.validation_loss:
            axis.plot(epochs, history.validation_loss, "--", marker="s", markersize=3, label="validation")
        axis.set(title=title)
        axis.xaxis.get_major_locator().set_params(integer=True)
    axes[0, 0].set_ylim(0, top or 1.05 * max(max(h.loss + h.validation_loss, default=1.0) for h in histories.values()))
    axes[0, 0].legend()
    figure.supxlabel("epoch", fontsize=10)
    figure.supylabel("mean loss", fontsize=10)
    return axes.ravel()[: len(histories)]


def shares(bars: Mapping[str, Mapping[str, float]], label: str = "share of the time (%)") -> Axes:
    """Draw a bar for each entry, cut into its parts; the same parts, in per cent, in each."""
    if not bars:
        raise ValueError("there are no bars to draw; give at least one.")
    axis = plt.figure(figsize=(WIDTH, 1.0 + 0.42 * len(bars))).gca()
    left = np.zeros(len(bars))
    for number, part in enumerate(next(iter(bars.values()))):
        widths = np.array([parts[part] for parts in bars.values()])
        axis.barh(list(bars), widths, left=left, color=COLOURS[number % len(COLOURS)], label=part)
        left += widths
    axis.invert_yaxis()
    axis.set(xlabel=label, xlim=(0, 100))
    axis.legend(ncols=5, loc="lower center", bbox_to_anchor=(0.4, 1))
    return axis


def reliability(bins: Reliability) -> Axes:
    """Draw a reliability diagram: a bar for the accuracy of each bin, a dot at its mean confidence.

    The area of a dot is the bin's share of the answers; on the dashed line the confidence is right.
    """
    number = len(bins.share)
    axis = plt.figure(figsize=(3.6, 2.9)).gca()
    there = _array(bins.share[None])[0] > 0
    share, confidence, accuracy = (_array(t[None])[0] for t in (bins.share, bins.confidence, bins.accuracy))
    axis.bar((np.arange(number) + 0.5) / number, accuracy, width=0.9 / number, color=COLOURS[4], label="accuracy")
    axis.plot([0, 1], [0, 1], "--", color="#666666", label="calibrated")
    axis.scatter(confidence[there], accuracy[there], 300 * share[there], color="black", zorder=3, clip_on=False)
    axis.set(xlim=(0, 1), ylim=(0, 1.06), xlabel="confidence", ylabel="accuracy")
    axis.legend(loc="upper left")
    return axis


def confusion(counts: Any, classes: Sequence[str]) -> Axes:
    """Draw a confusion matrix: rows are true classes, columns predictions; the diagonal is left pale."""
    counts = _array(counts)
    figure, axis = plt.subplots(figsize=(4.6, 4.2))
    wrong = np.where(np.eye(len(counts), dtype=bool), 0, counts)
    axis.imshow(wrong, cmap="Oranges", vmin=0, vmax=max(1, wrong.max()) * 1.4)
    for (r, c), value in np.ndenumerate(counts):
        if value:
            axis.text(
                c, r, str(int(value)), ha="center", va="center", fontsize=9, color="#666666" if r == c else "black"
            )
    ticks = range(len(classes))
    axis.set_xticks(ticks, classes)
    axis.set_yticks(ticks, classes)
    axis.set(xlabel="predicted", ylabel="true")
    return axis


def name_points(axis: Axes, points: Mapping[str, tuple[float, float]]) -> None:
    """Write a name beside each point, on the first of four sides where it covers no point and no other name.

    Call it when the limits and scales of the axes are set.

    Parameters
    ----------
    points : dict of name → (x, y)
        In the order of importance: the first finds its place first.
    """
    figure = axis.figure
    figure.canvas.draw()  # settles where the axes are
    taken = [
        mpl.transforms.Bbox.from_bounds(x - 6, y - 6, 12, 12)
        for x, y in axis.transData.transform(list(points.values()))
    ]
    # Alignment of the text, and its distance from the point, in points.
    sides = [("right", "center", -6, 0), ("left", "center", 6, 0), ("center", "bottom", 0, 6), ("center", "top", 0, -6)]
    for name, place in points.items():
        for horizontal, vertical, dx, dy in sides:
            text = axis.annotate(name, place, (dx, dy), textcoords="offset points", ha=horizontal, va=vertical)
            box = text.get_window_extent()
            inside = axis.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1
            if inside and not any(box.overlaps(other) for other in taken):
                break
            text.remove()
        else:  # no room: the first side, over what is there
            axis.annotate(name, place, sides[0][2:], textcoords="offset points", ha="right", va="center")
        taken.append(box)


def wiring(steps: Sequence[Step], title: str = "", source: str = "input") -> None:
    """Draw how the steps of a block are wired, from top to bottom; parallel branches stand side by side.

    Parameters
    ----------
    steps : sequence of Step
        From ``utils.architecture.trace``, best through ``merged``. One column of boxes for each branch; an edge that
        passes over rows gets a column of its own.
    source : str
        What the top box says.
    """
    # Each step stands one row below the lowest of what it reads; long edges pass through empty places (−2 − number).
    row = [0]
    for step in steps:
        row.append(1 + max(row[i + 1] for i in step.inputs))
    rows: list[list[tuple]] = [[] for _ in range(max(row) + 1)]
    parents: dict[tuple, list[tuple]] = {}
    for number in range(-1, len(steps)):
        rows[row[number + 1]].append((number,))
        parents[(number,)] = []
        for reads in steps[number].inputs if number >= 0 else ():
            last = (reads,)
            for between in range(row[reads + 1] + 1, row[number + 1]):
                place = (reads, number, between)
                rows[between].append(place)
                parents[place] = [last]
                last = place
            parents[(number,)].append(last)
    texts = {(i,): steps[i].label if i >= 0 else source for i in range(-1, len(steps))}
    widths = {
        key: 0.2 + 0.075 * max(map(len, texts[key].split("\n"))) if key in texts else 0.15
        for line in rows
        for key in line
    }
    # Lanes: the first that reads a step goes on below it; every other branch gets a lane to the right of the last.
    lanes: list[int] = [0]
    lane = {(-1,): 0}
    for number, line in enumerate(rows[1:], 1):
        claimed: set[int] = set()
        newest: dict[int, int] = {}
        for key in sorted(line, key=len):
            above = min((lane[p] for p in parents[key]), key=lanes.index)
            if above in claimed:
                place = lanes.index(newest.get(above, above)) + 1
                # A lane that nothing further down comes from is free again.
                busy = {lane[p] for later in rows[number:] for k in later for p in parents[k] if p in lane}
                if place == len(lanes) or lanes[place] in busy:
                    lanes.insert(place, len(lanes))
                newest[above] = lane[key] = lanes[place]
            else:
                lane[key] = above
                claimed.add(above)
    span = {n: max(widths[key] for key in lane if lane[key] == n) for n in lanes}
    middle = dict(zip(lanes, np.cumsum([span[n] + 0.18 for n in lanes]) - [span[n] / 2 for n in lanes], strict=True))
    across = {key: middle[n] for key, n in lane.items()}
    for line, below in zip(rows, [*rows[1:], []], strict=True):
        (key, *others) = line
        neighbours = parents[key] if len(parents[key]) > 2 else [k for k in below if key in parents[k]]
        if not others and len(neighbours) > 2:
            across[key] = float(np.mean([across[k] for k in neighbours]))
    centre = (min(across[k] - widths[k] / 2 for k in across) + max(across[k] + widths[k] / 2 for k in across)) / 2
    across = {key: x - centre for key, x in across.items()}
    heights = [0.14 + 0.165 * max((texts[k].count("\n") + 1 for k in line if k in texts), default=1) for line in rows]
    tops = np.concatenate([[0], np.cumsum([height + 0.26 for height in heights])])
    wide = max(abs(across[k]) + widths[k] / 2 for k in across)
    scale = min(1.0, (WIDTH - 0.1) / (2 * wide))
    figure, axis = plt.subplots(figsize=(2 * wide * scale + 0.1, tops[-1] + (0.25 if title else 0)))
    line_style = {"color": "#555555", "shrinkA": 0, "shrinkB": 0}
    for number, line in enumerate(rows):
        for key in line:
            x, y, tall = scale * across[key], tops[number], heights[number]
            for parent in parents[key]:
                above = row[parent[0] + 1] if len(parent) == 1 else parent[2]
                axis.annotate(
                    "",
                    (x, y),
                    (scale * across[parent], tops[above] + heights[above]),
                    arrowprops={"arrowstyle": "-|>" if len(key) == 1 else "-", **line_style},
                )
            if len(key) > 1:
                axis.annotate("", (x, y + tall), (x, y), arrowprops={"arrowstyle": "-", **line_style})
            if len(key) == 1:
                joins = key[0] >= 0 and len(steps[key[0]].inputs) > 1
                face = "#FBE3D3" if joins else "#F2F2F2" if key[0] < 0 else "#DCEBF5"
                half = scale * widths[key] / 2
                axis.add_patch(
                    plt.Rectangle((x - half, y), 2 * half, tall, facecolor=face, edgecolor="#333333", linewidth=0.8)
                )
                axis.text(x, y + tall / 2, texts[key], ha="center", va="center", fontsize=9, linespacing=1.15)
    axis.set(xlim=(-wide * scale, wide * scale), ylim=(tops[-1] - 0.2, -0.05))
    axis.set_axis_off()
    if title:
        axis.set_title(title)


def network(blocks: Sequence[Block], shape: Sequence[int], title: str = "") -> None:
    """Draw a whole network from top to bottom: a slab as wide as its maps, thicker with more channels.

    Parameters
    ----------
    blocks : sequence of Block
        From ``utils.architecture.blocks``.
    shape : (C, H, W)
        Of the image that goes in.
    """
    from utils.architecture import count

    entries = [("image", "", tuple(shape), 0, 0)]
    entries += [(b.name, b.kind, b.shape, b.parameters, b.multiply_adds) for b in blocks]
    figure, axis = plt.subplots(figsize=(WIDTH, 0.35 + 0.27 * len(entries) + (0.25 if title else 0)))
    largest = max(shape[1:])
    for i, (name, kind, size, parameters, work) in enumerate(entries):
        is_map = len(size) == 3
        wide = 1.7 * size[-1] / largest if is_map else 0.04
        tall = min(0.86, 0.10 + 0.07 * math.log2(size[0]))
        axis.add_patch(
            plt.Rectangle(
                (-wide / 2, i + (1 - tall) / 2),
                wide,
                tall,
                facecolor=COLOURS[4 if is_map else 5],
                edgecolor="#333333",
                linewidth=0.6,
            )
        )
        axis.text(
            -1.0, i + 0.5, name if name == kind or not kind else f"{name}: {kind}", ha="right", va="center", fontsize=9
        )
        axis.text(1.0, i + 0.5, "×".join(map(str, size)), va="center", fontsize=9)
        if i:
            axis.text(2.8, i + 0.5, count(parameters), ha="right", va="center", fontsize=9)
            axis.text(3.9, i + 0.5, count(work), ha="right", va="center", fontsize=9)
    for x, text, align in ((1.0, "output", "left"), (2.8, "parameters", "right"), (3.9, "multiply-adds", "right")):
        axis.text(x, -0.15, text, ha=align, va="center", fontsize=9, color="#555555")
    axis.set(xlim=(-3.1, 3.95), ylim=(len(entries) + 0.1, -0.6))
    axis.set_axis_off()
    if title:
        axis.set_title(title)


def _array(image: Any) -> np.ndarray:
    """Return (H, W) or (H, W, 3) from a tensor or array with channels first."""
    if hasattr(image, "detach"):
        image = image.detach().cpu().numpy()
    array = np.asarray(image)
    if array.ndim == 3 and array.shape[0] in (1, 3):
        array = array[0] if array.shape[0] == 1 else np.moveaxis(array, 0, -1)
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3):
        raise ValueError(f"an image has shape {array.shape}, but it must be (H, W), (1, H, W) or (3, H, W).")
    return array
