"""What a run measured."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch


@dataclass
class History:
    """What one run of :func:`utils.training.fit` measured.

    Attributes
    ----------
    loss : list of float
        Mean training loss over all images of each whole epoch (not of its last batch).
    validation_loss, validation_accuracy : list of float
        Measured after each epoch; empty without validation images. Accuracy is a share in [0, 1].
    step_loss, step_rate : list of float
        Loss and learning rate (of the first parameter group) of each step of the whole epochs.
    seconds : float
        Of the whole run, validation and what was done before a resumption included.
    precision : str
        "float32", "bfloat16" or "float16".
    interrupted : bool
        The run was stopped by hand; the model holds the weights it had reached.
    """

    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    step_loss: list[float] = field(default_factory=list)
    step_rate: list[float] = field(default_factory=list)
    seconds: float = 0.0
    precision: str = "float32"
    interrupted: bool = False

    @property
    def epochs(self) -> int:
        """Number of whole epochs."""
        return len(self.loss)

    @property
    def best_epoch(self) -> int:
        """The epoch, counted from 1, of the highest validation accuracy; of equal ones the lowest loss.

        0 when no epoch was validated.
        """
        pairs = zip(self.validation_accuracy, self.validation_loss, strict=True)
        ranked = [(accuracy, -loss) for accuracy, loss in pairs]
        return ranked.index(max(ranked)) + 1 if ranked else 0

    def __str__(self) -> str:
        parts = [f"{self.epochs} epoch{'' if self.epochs == 1 else 's'} in ≈ {self.seconds:.1f} s"]
        if self.loss:
            parts.append(f"training loss ≈ {self.loss[-1]:.4f}")
        if self.validation_accuracy:
            parts.append(f"validation accuracy ≈ {100 * self.validation_accuracy[-1]:.1f} %")
        return ("interrupted after " if self.interrupted else "") + ", ".join(parts)


@dataclass(frozen=True)
class Evaluation:
    """Loss, accuracy (a share in [0, 1]) and logits (N, classes) of a model on a set of images."""

    loss: float
    accuracy: float
    logits: torch.Tensor
    labels: torch.Tensor

    @property
    def predictions(self) -> torch.Tensor:
        """The class with the largest logit, int64 (N,)."""
        return self.logits.argmax(1)

    def confusion(self) -> torch.Tensor:
        """Counts, int64 (classes, classes): row = true class, column = predicted class."""
        classes = self.logits.shape[1]
        pairs = self.labels * classes + self.predictions
        return pairs.bincount(minlength=classes**2).view(classes, classes)
