"""The stopwatch of chapter fast training, on a pretended machine; and the pictures of the tutorials' loop."""

from __future__ import annotations

import random
from statistics import median

import pytest
import torch
from torchvision.transforms import functional as TF

from utils import plots, timing
from utils.data import Images
from utils.data.pictures import Pictures
from utils.exercises.fast_training import Machine, times_as_fast


def test_ratios_are_those_of_the_machine():
    for *numbers, rounds in times_as_fast.cases(random.Random(0)):
        machine = Machine(*numbers)
        found = timing.ratios(machine.old, machine.new, rounds, wait=machine.wait, clock=machine.clock)
        assert len(found) == rounds
        assert median(found) == pytest.approx(times_as_fast.reference(*numbers, rounds))
    # an undisturbed machine: one millisecond for the order, then the work
    machine = Machine(9, 4, 500, 0, ())
    found = timing.ratios(machine.old, machine.new, 3, wait=machine.wait, clock=machine.clock)
    assert found == pytest.approx([2, 2, 2])


def test_compare_prints_what_is_masked(capsys):
    assert timing.compare("nothing", int, int, rounds=5) > 0
    assert capsys.readouterr().out.startswith("nothing: ≈ ")
    with pytest.raises(ValueError, match="at least 1"):
        timing.ratios(int, int, 0)


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_are_the_images(channels):
    images = torch.randint(256, (4, channels, 5, 7), dtype=torch.uint8)
    data = Images(images, torch.tensor([0, 1, 1, 0]), ("a", "b"))
    pictures = Pictures(data, TF.pil_to_tensor)
    assert len(pictures) == 4
    assert [label for _, label in pictures] == [0, 1, 1, 0]
    assert torch.equal(torch.stack([picture for picture, _ in pictures]), images)


def test_bars_of_shares_are_stacked():
    import matplotlib.pyplot as plt

    axis = plots.shares({"a": {"x": 25, "y": 75}, "b": {"x": 50, "y": 50}})
    found = [(bar.get_x(), bar.get_width()) for bar in axis.patches]
    assert found == [(0, 25), (0, 50), (25, 75), (50, 50)]
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["x", "y"]
    plt.close("all")
    with pytest.raises(ValueError, match="at least one"):
        plots.shares({})
