"""Answers to the exercises of chapter normalization: right ones written differently, and plausible wrong ones."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def norm_by_loops(x, weight, bias, mean, var, training, momentum=0.1):
    y, new_mean, new_var = np.empty_like(x), mean.copy(), var.copy()
    for c in range(x.shape[1]):
        values = x[:, c].ravel()
        m, v = mean[c], var[c]
        if training:
            m = values.sum() / len(values)
            v = ((values - m) ** 2).sum() / len(values)
            new_mean[c] += momentum * (m - mean[c])
            new_var[c] += momentum * (v * len(values) / (len(values) - 1) - var[c])
        y[:, c] = weight[c] * (x[:, c] - m) / (v + 1e-5) ** 0.5 + bias[c]
    return y, new_mean, new_var


def norm_wrong(change):
    """Return the right result changed by a function of (arguments, result)."""

    def wrong(x, weight, bias, mean, var, training, momentum=0.1):
        return change((x, mean, var, training, momentum), norm_by_loops(x, weight, bias, mean, var, training, momentum))

    return wrong


def moves_its_arguments(x, weight, bias, mean, var, training, momentum=0.1):
    y, new_mean, new_var = norm_by_loops(x, weight, bias, mean, var, training, momentum)
    mean[:], var[:] = new_mean, new_var
    return y, mean, var


def square_only(x, weight, bias, mean, var, training, momentum=0.1):
    side = x.shape[2]
    y, new_mean, new_var = norm_by_loops(x[..., :side], weight, bias, mean, var, training, momentum)
    return np.resize(y, x.shape), new_mean, new_var


def fold_by_loops(weight, bias, gamma, beta, mean, var, eps):
    new, constants = weight.clone(), []
    for k in range(len(weight)):
        factor = gamma[k] / (var[k] + eps) ** 0.5
        new[k] = weight[k] * factor
        constants.append(((bias[k] if bias is not None else 0) - mean[k]) * factor + beta[k])
    return new, torch.stack(constants)


def fold_wrong(change):
    def wrong(weight, bias, gamma, beta, mean, var, eps):
        return change(*fold_by_loops(weight, bias, gamma, beta, mean, var, eps))

    return wrong


def fold_in_place(weight, bias, gamma, beta, mean, var, eps):
    result = fold_by_loops(weight, bias, gamma, beta, mean, var, eps)
    weight.mul_(2)
    return result


class Frozen(nn.Module):
    """A copy of the body, always asked in evaluation mode and without a graph."""

    def __init__(self, body):
        super().__init__()
        self.body = copy.deepcopy(body)
        for parameter in self.body.parameters():
            parameter.requires_grad = False

    def train(self, mode=True):
        self.training = mode
        self.body.train(False)
        return self

    @torch.no_grad()
    def forward(self, x):
        return self.body(x)


class OnlyOnce(nn.Module):
    def __init__(self, body):
        super().__init__()
        self.body = body.eval()
        for parameter in body.parameters():
            parameter.requires_grad = False

    def forward(self, x):
        return self.body(x)


class Learns(Frozen):
    def __init__(self, body):
        super().__init__(body)
        self.body.requires_grad_(True)


class ReturnsNone(Frozen):
    def train(self, mode=True):
        super().train(mode)


class NormsOnly(Frozen):
    def train(self, mode=True):
        nn.Module.train(self, mode)
        for layer in self.body:
            if isinstance(layer, nn.BatchNorm2d):
                layer.eval()
        return self


class Undone(Frozen):
    def train(self, mode=True):
        self.body.eval()
        return nn.Module.train(self, mode)


class Stuck(Frozen):
    """Answers with zeros."""

    def forward(self, x):
        return 0 * super().forward(x)


class BatchOfItsOwn(Frozen):
    """Resets the running statistics, so that evaluation uses the batch's."""

    def __init__(self, body):
        super().__init__(body)
        self.body[1] = nn.BatchNorm2d(self.body[1].num_features, affine=False, track_running_stats=False).double()


def rebuilt(plain):
    layers = []
    for layer in copy.deepcopy(plain):
        layers.append(layer)
        if isinstance(layer, nn.Conv2d):
            layer.bias = None
            layers.append(nn.BatchNorm2d(layer.out_channels))
    return nn.Sequential(*layers)


def rebuilt_wrong(change):
    def wrong(plain):
        return change(rebuilt(plain))

    return wrong


def with_bias(plain):
    network = rebuilt(plain)
    for layer in network:
        if isinstance(layer, nn.Conv2d):
            layer.bias = nn.Parameter(torch.zeros(layer.out_channels, dtype=torch.float64))
    return network


def fresh(plain):
    network = rebuilt(plain)
    torch.manual_seed(0)
    for layer in network:
        if isinstance(layer, nn.Conv2d):
            layer.reset_parameters()
    return network


def padded_by_one(plain):
    network = rebuilt(plain)
    for layer in network:
        if isinstance(layer, nn.Conv2d):
            layer.padding = (1, 1)
    return network


def in_place(plain):
    for layer in plain:
        if isinstance(layer, nn.Conv2d):
            layer.bias = None
    return rebuilt(plain)


def behind_relu(network):
    layers = list(network)
    for i, layer in enumerate(layers):
        if isinstance(layer, nn.BatchNorm2d):
            layers[i], layers[i + 1] = layers[i + 1], layers[i]
            break
    return nn.Sequential(*layers)


def paired_by_arrays(ours, theirs):
    d = np.array(ours) - np.array(theirs)
    mean, spread = float(d.mean()), float(d.std(ddof=1))
    return mean, spread, "no difference" if -spread <= mean <= spread else "difference"


RIGHT = {
    "counts": [(6, 140, 12, 12)],
    "running": [(0.2, 1.1, 0.38, 1.19)],
    "batch_norm": [norm_by_loops],
    "dropout": [
        lambda x, u, p, training: F.threshold(u, p, 0).ge(p) * (u >= p) * x / max(1 - p, 1e-9) if training else x,
    ],
    "fold": [fold_by_loops],
    "frozen": [Frozen],
    "with_batch_norm": [rebuilt],
    "paired": [paired_by_arrays],
    "experiment": [[(60, 65, 70), (90, 91, 92.5)], ([10.0, 20.0, 30.0, 25.0], [90.0, 80.0, 85.0, 85.0])],
}

WRONG = {
    "counts": {
        "over all four images": [6, 35, 12, 12],
        "one mean for each channel, over images": [4, 210, 12, 12],
        "two numbers that are learned": [6, 140, 6, 12],
        "no parameters": [6, 140, 24, 12],
        "must be a whole number": [6.0, 140, 12, 12],
        "entry 1": [6, 105, 12, 12],
    },
    "running": {
        "divide by n − 1 = 1": [0.2, 1.0, 0.38, 1.0],
        "share of the new value": [1.8, 1.9, 1.98, 1.99],
        "starts at 1": [0.2, 0.2, 0.38, 0.38],
        "starts at 0": [2.0, 2.0, 2.0, 2.0],
        "moves the statistics again": [0.2, 1.1, 0.2, 1.1],
        "not of the whole way": [0.2, 1.1, 0.4, 1.2],
        "has 2 entries": [0.2, 1.1],
    },
    "batch_norm": {
        "over n − 1 (ddof=1)": norm_wrong(
            lambda a, r: (r[0], r[1], (1 - a[4]) * a[2] + a[4] * a[0].var((0, 2, 3)) if a[3] else r[2])
        ),
        "(list), but it must be a NumPy": norm_wrong(lambda a, r: (r[0], r[1].tolist(), r[2])),
        "must be a tuple": norm_wrong(lambda a, r: r[0]),
        "return (y, mean, var), in this order": norm_wrong(lambda a, r: (r[0], r[2], r[1])),
        "have to move": norm_wrong(lambda a, r: (r[0], a[1], a[2])),
        "float32, but": norm_wrong(lambda a, r: (r[0].astype(np.float32), *r[1:])),
        "changed its arguments": moves_its_arguments,
        "entry 0: the values differ": square_only,
        "has shape": norm_wrong(lambda a, r: (r[0].mean((0, 2, 3)), *r[1:])),
        "got      ([[[[0": norm_wrong(lambda a, r: (0 * r[0], *r[1:])),
        "must be a NumPy array": norm_wrong(lambda a, r: tuple(map(torch.from_numpy, r))),
    },
    "dropout": {
        "are not scaled": lambda x, u, p, training: x * (u >= p) if training else x,
        "not by p": lambda x, u, p, training: (
            torch.where(u >= p, x / p, torch.zeros_like(x)) if training else x.clone()
        ),
        "in evaluation nothing is dropped": lambda x, u, p, training: torch.where(u < p, 0.0 * x, x / (1 - p)),
        "the old way": lambda x, u, p, training: torch.where(u < p, 0.0, x) if training else x * (1 - p),
        "where u < p": lambda x, u, p, training: (
            torch.where(u >= p, 0.0, x / (1 - p)) if training and p < 1 else x * (not training)
        ),
        "0 / 0": lambda x, u, p, training: x * (u >= p) / (1 - p) if training else x,
        "changed its arguments": lambda x, u, p, training: (
            x.mul_((u >= p) / (1 - p)).nan_to_num_(0, 0, 0) if training else x
        ),
        "must be a tensor": lambda x, u, p, training: x.tolist(),
        "has shape": lambda x, u, p, training: x[u >= p] / (1 - p) if training else x,
        "is torch.float64": lambda x, u, p, training: x.double(),
        "got      [[0": lambda x, u, p, training: torch.zeros_like(x),
    },
    "fold": {
        "has 1 entries": fold_wrong(lambda w, b: (w,)),
        "entry 1: the result is None": fold_wrong(lambda w, b: (w, None)),
        "changed its arguments": fold_in_place,
        "entry 0: the values differ": fold_wrong(lambda w, b: (w.flip(2, 3), b)),
        "entry 1: the values differ": fold_wrong(lambda w, b: (w, -b)),
        "is torch.float32": fold_wrong(lambda w, b: (w.float(), b.float())),
        "the old bias is missing": lambda w, b, g, beta, m, v, eps: fold_by_loops(w, None, g, beta, m, v, eps),
        "here it is the input channels": lambda w, b, g, beta, m, v, eps: (
            w * (g / (v + eps).sqrt())[:, None, None],
            fold_by_loops(w, b, g, beta, m, v, eps)[1],
        ),
        "√(var + ε), not √var + ε": lambda w, b, g, beta, m, v, eps: fold_by_loops(
            w, b, g, beta, m, (v.sqrt() + eps) ** 2, 0
        ),
        "raised TypeError": lambda w, b, g, beta, m, v, eps: fold_by_loops(w, b + 0, g, beta, m, v, eps),
    },
    "frozen": {
        "the next model.train() puts the body back": OnlyOnce,
        "4 parameters of the body learn": Learns,
        "train() must return self": ReturnsNone,
        "the whole body in eval()": NormsOnly,
        "changed: 1.running_mean": lambda body: body.requires_grad_(False).eval(),
        "got      ['no fault', [0.0": Stuck,
        "'no fault'": BatchOfItsOwn,
        "not an nn.Module": lambda body: None,
        "puts the body back in training mode": Undone,
    },
    "with_batch_norm": {
        "are dead": with_bias,
        "start with the weights of the old ones": fresh,
        "the plain network was changed": in_place,
        "not an nn.Module": lambda plain: list(plain),
        "relu norm": rebuilt_wrong(behind_relu),
        "entry 3": padded_by_one,
        "output (4, 3, 1, 1)": rebuilt_wrong(
            lambda net: nn.Sequential(*list(net)[:-2], nn.Conv2d(net[-1].in_features, 3, 1).double())
        ),
        "the last convolution has no batch norm": rebuilt_wrong(
            lambda net: nn.Sequential(
                *(
                    layer
                    for i, layer in enumerate(net)
                    if i != max(k for k, other in enumerate(net) if isinstance(other, nn.BatchNorm2d))
                )
            )
        ),
        "entry 0": lambda plain: plain,
    },
    "paired": {
        "not the sum of both": lambda a, b: [
            *paired_by_arrays(a, b)[:1],
            np.std(a, ddof=1) + np.std(b, ddof=1),
            "difference" if abs(np.mean(a) - np.mean(b)) > np.std(a, ddof=1) + np.std(b, ddof=1) else "no difference",
        ],
        "not pstdev": lambda a, b: [
            np.mean(a) - np.mean(b),
            np.std(np.array(a) - np.array(b)),
            "difference" if abs(np.mean(a) - np.mean(b)) > np.std(np.array(a) - np.array(b)) else "no difference",
        ],
        "ours minus theirs": lambda a, b: paired_by_arrays(b, a),
        "a difference below 0": lambda a, b: [
            *paired_by_arrays(a, b)[:2],
            "difference" if paired_by_arrays(a, b)[0] > paired_by_arrays(a, b)[1] else "no difference",
        ],
        "not smaller": lambda a, b: [
            *paired_by_arrays(a, b)[:2],
            "no difference" if paired_by_arrays(a, b)[2] == "difference" else "difference",
        ],
        "has 2 entries": lambda a, b: paired_by_arrays(a, b)[:2],
        "entry 2": lambda a, b: [*paired_by_arrays(a, b)[:2], True],
        "must be a list": lambda a, b: paired_by_arrays(a, b)[0],
    },
    "experiment": {
        "give two lists": 3,
        "at least 3 seeds": [[60, 70], [90, 91]],
        "there are 3 and 4": [[60, 70, 80], [90, 91, 92, 93]],
        "outside 0 to 100": [[60, 70, 80], [90, 91, 192]],
        "give them in percent": [[0.6, 0.7, 0.8], [0.9, 0.91, 0.92]],
        "reach the weights": [[60, 70, 65], [90, 90, 90]],
        "expected at least 75": [[10, 20, 15], [60, 62, 61]],
        "leads by": [[90, 91, 92], [91, 92, 91]],
        "give two lists of accuracies": [[60, 70, 80]],
    },
}
