"""Fit a network, evaluate it, keep its history and its weights.

================  ==================================================================================
``loop``          ``fit`` and ``evaluate``: the loop that chapter "LeNet" writes out, and what a long
                  run needs besides
``history``       what a run measured
``schedules``     the learning rate as a function of the share of the steps that are done
``precision``     float32, bfloat16 or float16, and which is faster here
``checkpoints``   weights and whole runs on disk, written whole or not at all
``distributed``   one run on several processes, started by ``torchrun``
``launch``        start a script on several processes of this machine
``errors``        what goes wrong, in sentences
================  ==================================================================================

``python -m utils.training --help`` runs a recipe without a notebook.
"""

from __future__ import annotations

from utils.training.checkpoints import load_weights, save_weights
from utils.training.history import Evaluation, History
from utils.training.loop import evaluate, fit
from utils.training.schedules import Cosine, OneCycle, Steps

__all__ = [
    "Cosine",
    "Evaluation",
    "History",
    "OneCycle",
    "Steps",
    "evaluate",
    "fit",
    "load_weights",
    "save_weights",
]
