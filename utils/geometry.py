"""Sizes, receptive fields, parameters and multiply-adds of layers, from their formulas.

Whole numbers in, whole numbers out; nothing here imports torch. Every function is compared with
PyTorch on thousands of random cases in ``tests/test_geometry.py``.

Chapters: padding and stride, pooling, convolution.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral


def _whole(name: str, value: object, least: int) -> int:
    """Return ``value`` as int, or say in one sentence why it is none."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(
            f"{name} is {value!r} ({type(value).__name__}), but it must be a whole number; "
            f"for a layer that differs by axis, call this once for the height and once for the width."
        )
    if value < least:
        raise ValueError(f"{name} is {value}, but it must be at least {least}.")
    return int(value)


def output_size(
    size: int,
    kernel: int,
    stride: int | None = None,
    padding: int | str = 0,
    dilation: int = 1,
    *,
    ceil_mode: bool = False,
    pooling: bool = False,
) -> int:
    """Return the output size of a convolution or pooling layer along one axis.

    ``floor((size + 2·padding − dilation·(kernel − 1) − 1) / stride) + 1``, the formula in the
    documentation of ``torch.nn.Conv2d`` and ``torch.nn.MaxPool2d``.

    Parameters
    ----------
    size, kernel : int
        Pixels along the axis: of the input, of the kernel.
    stride : int, optional
        Pixels from one window to the next; 1 when left out, or ``kernel`` when ``pooling``.
    padding : int or "same" or "valid"
        Pixels added on *each* side. ``"same"`` keeps the size and, as in PyTorch, needs stride 1.
    dilation : int
        Distance between neighbouring taps of the kernel; 1 is the ordinary kernel.
    ceil_mode : bool
        Round up instead of down (pooling only), but drop a last window that would start in the
        right padding, as PyTorch does.
    pooling : bool
        Apply the rules of pooling: stride defaults to the kernel, padding at most half the kernel.

    Raises
    ------
    TypeError
        When a value is not a whole number.
    ValueError
        When a value is out of range or the kernel does not fit into the padded input.

    Examples
    --------
    >>> output_size(28, 5), output_size(224, 7, stride=2, padding=3), output_size(28, 2, pooling=True)
    (24, 112, 14)
    """
    size = _whole("size", size, 1)
    kernel = _whole("kernel", kernel, 1)
    dilation = _whole("dilation", dilation, 1)
    stride = _whole("stride", (kernel if pooling else 1) if stride is None else stride, 1)
    if ceil_mode and not pooling:
        raise ValueError("ceil_mode is for pooling layers; pass pooling=True, or leave it out for a convolution.")
    if padding == "same":
        if pooling:
            raise ValueError("padding is 'same', which pooling layers do not have; give a whole number.")
        if stride != 1:
            raise ValueError(
                f"padding='same' needs stride 1, but the stride is {stride}; give the padding as a number."
            )
        return size
    if isinstance(padding, str) and padding != "valid":
        raise ValueError(f"padding is {padding!r}, but it must be a whole number, 'same' or 'valid'.")
    padding = 0 if padding == "valid" else _whole("padding", padding, 0)
    extent = dilation * (kernel - 1) + 1
    # Some versions of PyTorch allow half of the dilated kernel; this is the rule that all accept.
    if pooling and 2 * padding > kernel:
        raise ValueError(f"padding is {padding}, but a pooling kernel of {kernel} allows at most {kernel // 2}.")
    free = size + 2 * padding - extent
    # Rounding up, PyTorch accepts a single window that hangs over the right edge.
    if free < 0 and not (ceil_mode and free > -stride):
        raise ValueError(
            f"the kernel covers {extent} pixels (kernel {kernel}, dilation {dilation}), but the padded input has "
            f"only {size + 2 * padding} ({size} + 2·{padding}); use a larger input, more padding or a smaller kernel."
        )
    if not ceil_mode:
        return free // stride + 1
    windows = -(-free // stride) + 1
    # A window must start inside the input or its left padding.
    return windows - 1 if (windows - 1) * stride >= size + padding else windows


def transposed_output_size(
    size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1, output_padding: int = 0
) -> int:
    """Return the output size of a transposed convolution along one axis.

    ``(size − 1)·stride − 2·padding + dilation·(kernel − 1) + output_padding + 1``, the formula in
    the documentation of ``torch.nn.ConvTranspose2d``. Parameters as in :func:`output_size`;
    ``output_padding`` pixels are added on the right only.

    Raises
    ------
    TypeError, ValueError
        When a value is no whole number, is out of range, or nothing would be left.
    """
    size = _whole("size", size, 1)
    kernel = _whole("kernel", kernel, 1)
    stride = _whole("stride", stride, 1)
    padding = _whole("padding", padding, 0)
    dilation = _whole("dilation", dilation, 1)
    output_padding = _whole("output_padding", output_padding, 0)
    if output_padding >= max(stride, dilation):
        raise ValueError(
            f"output_padding is {output_padding}, but it must be smaller than the stride ({stride}) "
            f"or the dilation ({dilation})."
        )
    result = (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1
    if result < 1:
        raise ValueError(f"nothing is left: the output size would be {result}; use less padding than {padding}.")
    return result


def same_padding(kernel: int, dilation: int = 1) -> tuple[int, int]:
    """Return the padding on the left and on the right that keeps the size at stride 1.

    The two differ by one when ``dilation·(kernel − 1)`` is odd, which happens for even kernels: no
    symmetric padding keeps the size then. PyTorch's ``padding="same"`` puts the extra pixel right.

    Examples
    --------
    >>> same_padding(3), same_padding(3, dilation=2), same_padding(4)
    ((1, 1), (2, 2), (1, 2))
    """
    total = _whole("dilation", dilation, 1) * (_whole("kernel", kernel, 1) - 1)
    return total // 2, total - total // 2


@dataclass(frozen=True)
class ReceptiveField:
    """What one unit sees along one axis: ``size`` pixels of the input; neighbours are ``jump`` pixels apart."""

    size: int
    jump: int


def receptive_field(layers: Iterable[tuple[int, ...]]) -> ReceptiveField:
    """Return the receptive field of one unit after a stack of layers, along one axis.

    ``r ← r + dilation·(kernel − 1)·j``, then ``j ← j·stride``, from r = j = 1: see Araujo, Norris
    and Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill, 2019.

    Parameters
    ----------
    layers : iterable of (kernel,), (kernel, stride) or (kernel, stride, dilation)
        Convolutions and poolings from the input upwards. Padding does not matter here.

    Raises
    ------
    TypeError, ValueError
        When a layer is no such tuple or a value is out of range; the message names the layer.

    Examples
    --------
    >>> receptive_field([(3,), (3,), (3,)]).size
    7
    >>> receptive_field([(5, 1), (2, 2), (5, 1), (2, 2)])  # the features of LeNet
    ReceptiveField(size=16, jump=4)
    """
    size = jump = 1
    for number, layer in enumerate(layers):
        if not isinstance(layer, (tuple, list)) or not 1 <= len(layer) <= 3:
            raise TypeError(
                f"layer {number} is {layer!r}, but a layer is (kernel,), (kernel, stride) or (kernel, stride, dilation)."
            )
        kernel, stride, dilation = (*layer, *(1, 1, 1)[len(layer) :])
        kernel = _whole(f"the kernel of layer {number}", kernel, 1)
        stride = _whole(f"the stride of layer {number}", stride, 1)
        dilation = _whole(f"the dilation of layer {number}", dilation, 1)
        size += dilation * (kernel - 1) * jump
        jump *= stride
    return ReceptiveField(size, jump)


def conv_parameters(in_channels: int, out_channels: int, kernel: int, *, groups: int = 1, bias: bool = True) -> int:
    """Return the number of parameters of a 2-D convolution with a square kernel.

    ``out·(in/groups)·kernel²`` weights and ``out`` biases. For an oblong kernel, see
    ``torch.nn.Conv2d``; this is the count a chapter does by hand.

    Examples
    --------
    >>> conv_parameters(3, 64, 3)
    1792
    """
    in_channels = _whole("in_channels", in_channels, 1)
    out_channels = _whole("out_channels", out_channels, 1)
    kernel = _whole("kernel", kernel, 1)
    groups = _whole("groups", groups, 1)
    for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
        if channels % groups:
            raise ValueError(f"{name} is {channels}, which {groups} groups do not divide; choose a divisor.")
    return out_channels * (in_channels // groups) * kernel**2 + (out_channels if bias else 0)


def conv_multiply_adds(
    in_channels: int, out_channels: int, kernel: int, output: int | tuple[int, int], *, groups: int = 1
) -> int:
    """Return the multiply-adds of a 2-D convolution for one image: one for each weight at each position.

    ``output`` is the output size: one number for a square map, or (height, width). Biases are not counted.

    Examples
    --------
    >>> conv_multiply_adds(3, 64, 3, 224)
    86704128
    """
    height, width = (output, output) if isinstance(output, Integral) else output
    positions = _whole("the output height", height, 1) * _whole("the output width", width, 1)
    return conv_parameters(in_channels, out_channels, kernel, groups=groups, bias=False) * positions


def linear_parameters(in_features: int, out_features: int, *, bias: bool = True) -> int:
    """Return the number of parameters of a dense layer: ``in·out`` weights and ``out`` biases.

    Its multiply-adds for one input are its weights: ``linear_parameters(i, o, bias=False)``.

    Examples
    --------
    >>> linear_parameters(224 * 224 * 3, 1000)
    150529000
    """
    in_features = _whole("in_features", in_features, 1)
    out_features = _whole("out_features", out_features, 1)
    return in_features * out_features + (out_features if bias else 0)
