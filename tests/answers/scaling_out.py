"""Answers to the exercises on several processes: right ones, written differently, and wrong ones."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from utils.exercises.scaling_out import gradient, shuffled

SETTINGS = [[100, 500, 0.1], [400, 125, 0.4], [100, 500, 0.1], [2048, 25, 2.048]]


def changed(row, values):
    return [*SETTINGS[:row], values, *SETTINGS[row + 1 :]]


def by_adding(gradients, counts):
    result = torch.zeros_like(gradients[0])
    for g, n in zip(gradients, counts, strict=True):
        if n:
            result = result + g * n
    return result / sum(counts)


def by_product(gradients, counts):
    weights = torch.tensor(counts).to(gradients[0].dtype) / sum(counts)
    return (weights @ torch.stack(gradients).flatten(1)).view_as(gradients[0])


def changes_its_gradients(gradients, counts):
    for g, n in zip(gradients, counts, strict=True):
        g.mul_(n)
    return sum(gradients) / sum(counts)


def by_striding(images, rank, processes, seed, epoch):
    return shuffled(images, seed + epoch)[rank::processes].tolist()


def by_counting(images, rank, processes, seed, epoch):
    order = torch.randperm(images, generator=torch.Generator().manual_seed(seed + epoch)).tolist()
    return [image for place, image in enumerate(order) if place % processes == rank]


def by_rows(reports):
    loss = right = images = 0
    for mean, correct, n in reports.tolist():
        if n:
            loss, right, images = loss + mean * n, right + correct, images + n
    return torch.tensor([loss / images, right / images], dtype=torch.float64)


def by_matrix(reports):
    reports = reports.nan_to_num()
    totals = torch.stack([reports[:, 2] @ reports[:, 0], reports[:, 1].sum()])
    return totals / reports[:, 2].sum()


def step_time(n, computing, numbers, bandwidth, latency):
    return computing / n + 2 * (n - 1) / n * 4 * numbers / bandwidth + 2 * (n - 1) * latency


def by_min(computing, numbers, bandwidth, latency, most):
    return min(range(1, most + 1), key=lambda n: step_time(n, computing, numbers, bandwidth, latency))


def by_search(computing, numbers, bandwidth, latency, most):
    best = 1
    for n in range(2, most + 1):
        given = computing, numbers, bandwidth, latency
        if step_time(n, *given) < step_time(best, *given):
            best = n
    return best


def by_powers(*case):
    """Tries 1, 2, 4, 8, … alone."""
    numbers = [2**i for i in range(12) if 2**i <= case[-1]]
    return min(numbers, key=lambda n: step_time(n, *case[:-1]))


def loop(weight, inputs, labels, processes, batch, rate, epochs, *, seed=lambda e: e, grow=False, plain=False):
    """The loop of the notebook, repaired unless told otherwise."""
    for epoch in range(epochs):
        for index in shuffled(len(inputs), seed(epoch)).split(batch * processes if grow else batch):
            total = torch.zeros_like(weight)
            for rank in range(processes):
                part = index[rank::processes]
                share = 1 / processes if plain else len(part) / len(index)
                total = total + share * gradient(weight, inputs[part], labels[part])
            weight = weight - rate * total
    return weight


def softmax_loop(weight, inputs, labels, processes, batch, rate, epochs):
    """Without autograd and without processes: they must not matter."""
    weight = weight.clone()
    for epoch in range(epochs):
        for index in shuffled(len(inputs), epoch).split(batch):
            error = (inputs[index] @ weight.T).softmax(1) - F.one_hot(labels[index], len(weight))
            weight -= rate * error.T @ inputs[index] / len(index)
    return weight


def in_place(weight, *rest):
    return weight.copy_(loop(weight, *rest))


def broken(weight, inputs, labels, processes, batch, rate, epochs):
    """The text of the notebook."""
    for _ in range(epochs):
        order = shuffled(len(inputs), 0)
        for index in order.split(batch * processes):
            parts = [index[rank::processes] for rank in range(processes)]
            gradients = [gradient(weight, inputs[part], labels[part]) for part in parts]
            weight = weight - rate * sum(gradients) / processes
    return weight


RIGHT = {
    "settings": [SETTINGS, [tuple(row) for row in SETTINGS]],
    "together": [by_adding, by_product],
    "shard": [by_striding, by_counting],
    "combined": [by_rows, by_matrix],
    "best_number": [by_min, by_search],
    "train": [loop, softmax_loop],
}

WRONG = {
    "settings": {
        "batch_size of fit counts over all processes": changed(0, [400, 125, 0.4]),
        "for its process alone": changed(1, [100, 500, 0.1]),
        "rounded up": changed(3, [2048, 24, 2.048]),
        "not the number of processes": changed(2, [100, 500, 1.0]),
        "20.48 times 100": changed(3, [2048, 25, 6.4]),
        "here it stays at 0.1": [SETTINGS[0], [400, 125, 0.1], SETTINGS[2], [2048, 25, 0.1]],
        "multiplied, not divided": [SETTINGS[0], [400, 125, 0.025], SETTINGS[2], [2048, 25, 0.1 / 20.48]],
        "must have 4": SETTINGS[:3],
        "must be a whole number": changed(0, [100.0, 500, 0.1]),
    },
    "together": {
        "weight each gradient by its images": lambda gradients, counts: sum(gradients) / len(gradients),
        "the others are still uneven": lambda gradients, counts: sum(gradients) / sum(n > 0 for n in counts),
        "of all images, not of processes": lambda gradients, counts: (
            by_adding(gradients, counts) * (sum(counts) / len(counts))
        ),
        "number of all images.": lambda gradients, counts: by_adding(gradients, counts) * sum(counts),
        "a sum counts the batch once": lambda gradients, counts: sum(gradients),
        "must be torch.float32": lambda gradients, counts: by_adding([g.double() for g in gradients], counts),
        "changed its arguments": changes_its_gradients,
        "must have (2, 3)": lambda gradients, counts: by_adding(gradients, counts).flatten(),
        "(NoneType)": lambda gradients, counts: None,
        "got      [0, 0]": lambda gradients, counts: torch.zeros_like(gradients[0]),
    },
    "shard": {
        "no image counts twice": lambda images, rank, processes, seed, epoch: (
            lambda order: (order * processes)[: -(-images // processes) * processes][rank::processes]
        )(shuffled(images, seed + epoch).tolist()),
        "every image belongs to somebody": lambda images, rank, processes, seed, epoch: shuffled(images, seed + epoch)[
            rank::processes
        ].tolist()[: images // processes],
        "all epochs have one order": lambda images, rank, processes, seed, epoch: by_striding(
            images, rank, processes, seed, 0
        ),
        "the parts overlap": lambda images, rank, processes, seed, epoch: by_counting(
            images, rank, processes, seed + rank, epoch
        ),
        "one by one, as cards": lambda images, rank, processes, seed, epoch: [
            part.tolist() for part in shuffled(images, seed + epoch).tensor_split(processes)
        ][rank],
        "not shuffled": lambda images, rank, processes, seed, epoch: [
            i for i in range(images) if i % processes == rank
        ],
        "as a list": lambda images, rank, processes, seed, epoch: shuffled(images, seed + epoch)[rank::processes],
        "entries, but it must have": lambda images, rank, processes, seed, epoch: shuffled(
            images, seed + epoch
        ).tolist(),
        "(NoneType)": lambda *case: None,
        "got      [1, 3, 5]": lambda images, rank, processes, seed, epoch: sorted(range(images)[rank::processes]),
    },
    "combined": {
        "these are averages of averages; the parts": lambda reports: torch.stack(
            [
                reports[reports[:, 2] > 0][:, 0].mean(),
                (reports[:, 1] / reports[:, 2])[reports[:, 2] > 0].mean(),
            ]
        ),
        "makes them NaN": lambda reports: torch.stack(
            [reports[:, 0].sum() / len(reports), (reports[:, 1] / reports[:, 2]).sum() / len(reports)]
        ),
        "the loss is an average of averages": lambda reports: torch.stack(
            [reports[:, 0].nanmean(), by_rows(reports)[1]]
        ),
        "the accuracy is an average of averages": lambda reports: torch.stack(
            [by_rows(reports)[0], (reports[:, 1] / reports[:, 2]).nanmean()]
        ),
        "0 · NaN is NaN": lambda reports: torch.stack(
            [(reports[:, 0] * (reports[:, 2] / reports[:, 2].sum())).sum(), reports[:, 1].sum() / reports[:, 2].sum()]
        ),
        "weight them by their images": lambda reports: (
            torch.stack([reports[:, 0].nansum(), reports[:, 1].sum()]) / reports[:, 2].sum()
        ),
        "divide the sum of the losses": lambda reports: torch.stack(
            [reports[:, [0, 2]].prod(1).nansum(), by_rows(reports)[1]]
        ),
        "must be a tensor": lambda reports: by_rows(reports).tolist(),
        "must be torch.float64": lambda reports: by_rows(reports).float(),
        "changed its arguments": lambda reports: by_rows(reports.nan_to_num_()),
        "got      [0, 0]": lambda reports: torch.zeros(2, dtype=torch.float64),
    },
    "best_number": {
        "takes 4 bytes": lambda computing, numbers, *rest: by_min(computing, numbers / 4, *rest),
        "the sum goes around, too": lambda computing, numbers, *rest: by_min(computing, numbers / 2, *rest),
        "not 2 (N − 1) times all of it": lambda computing, numbers, bandwidth, latency, most: min(
            range(1, most + 1),
            key=lambda n: computing / n + 2 * (n - 1) * 4 * numbers / bandwidth + 2 * (n - 1) * latency,
        ),
        "waits for the latency": lambda computing, numbers, bandwidth, latency, most: by_min(
            computing, numbers, bandwidth, 0, most
        ),
        "not N − 1": lambda computing, numbers, bandwidth, latency, most: by_min(
            computing, numbers, bandwidth, latency / 2, most
        ),
        "smallest time": lambda *case: min(step_time(n, *case[:-1]) for n in range(1, case[-1] + 1)),
        "one less than the number": lambda *case: by_search(*case) - 1,
        "not always faster": lambda *case: case[-1],
        "the result is": by_powers,
        "must be a whole number": lambda *case: float(by_search(*case)),
        "(NoneType)": lambda *case: None,
    },
    "train": {
        "all three mistakes are still there": broken,
        "plain: weight each gradient": lambda *case: loop(*case, plain=True),
        "grows with the number of processes": lambda *case: loop(*case, grow=True),
        "the order of epoch 0": lambda *case: loop(*case, seed=lambda epoch: 0),
        "the order is right, the batch and the average are not": lambda *case: loop(*case, grow=True, plain=True),
        "the batch is right, the order and the average are not": lambda *case: loop(
            *case, seed=lambda epoch: 0, plain=True
        ),
        "the average is right, the order and the batch are not": lambda *case: loop(
            *case, seed=lambda epoch: 0, grow=True
        ),
        "changed its arguments": in_place,
        "the values differ": lambda *case: loop(*case[:5], case[5] * case[3], case[6]),
        "must be torch.float64": lambda *case: loop(*case).float(),
        "(NoneType)": lambda *case: None,
    },
}
