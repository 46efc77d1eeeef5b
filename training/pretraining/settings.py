"""The settings of a pretraining, and the columns of a table that it reads.

Nothing here imports torch, so that a flow can name these types before it sets the threads of torch.
"""

from __future__ import annotations

from dataclasses import dataclass

PRECISIONS = ("float32", "bfloat16")
"""The precisions of matrix products. bfloat16 is slower on a processor that lacks it."""


@dataclass(frozen=True)
class PretrainSettings:
    """The settings of a pretraining.

    Attributes:
        epochs: the number of passes over the training molecules, the decay included.
        decay_epochs: the number of last passes in which the learning rate falls linearly to 0.
        batch_size: the number of molecules of a step.
        learning_rate: the learning rate of Adam in the stable phase.
        warmup_steps: the number of steps in which the learning rate rises from 0.
        gradient_norm: the largest norm of a step's gradient; longer gradients are scaled down to it.
        held_out: the number of molecules held out for validation, chosen at random by the seed; at most a tenth.
        patience: the number of validations without improvement after which the decay begins.
        validate_every: the number of steps between validations; 0 is an epoch.
        checkpoint_seconds: the least time between two checkpoints, in seconds.
        seed: the seed of the split, the order and the initial weights.
        precision: the precision of matrix products in training, one of ``PRECISIONS``; weights, gates and losses are
            float32.
        keep_best: end with the weights of the best validation, the weights before the first step included. After
            ``patience`` validations without improvement the training ends, and no decay follows.
    """

    epochs: int = 10
    decay_epochs: float = 3.0
    batch_size: int = 128
    learning_rate: float = 2e-3
    warmup_steps: int = 300
    gradient_norm: float = 1.0
    held_out: int = 5000
    patience: int = 3
    validate_every: int = 0
    checkpoint_seconds: float = 120.0
    seed: int = 0
    precision: str = "float32"
    keep_best: bool = False

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(f"expected precision to be one of {', '.join(PRECISIONS)}, got {self.precision!r}")


TRANSFER = PretrainSettings(
    epochs=30, decay_epochs=0.0, batch_size=32, learning_rate=3e-4, warmup_steps=20, patience=3, keep_best=True
)
"""The settings of transfer learning: small steps on a small file, which end when the held-out loss no longer falls."""


@dataclass(frozen=True)
class Columns:
    """The names of the columns of a table; None is the usual name.

    Attributes:
        molecules: the column of the molecules.
        sources: the column of the sources of pairs.
        targets: the column of the targets of pairs.
    """

    molecules: str | None = None
    sources: str | None = None
    targets: str | None = None
