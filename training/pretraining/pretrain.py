"""Maximum-likelihood training of a generative model on molecules, which makes a prior.

The learning rate rises linearly, stays, and falls to zero in the last epochs (warm-up, stable, decay; Hu et al. 2024,
arXiv:2404.06395). Since only the last phase depends on the number of epochs, a training can be resumed with more of
them. Early stopping ends the stable phase, and the decay still follows. In transfer learning (``keep_best``), early
stopping ends the training, with the weights that were best on the held-out molecules, since a model soon overfits a
small file.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from molbuffer.samplers import derive_seed
from molbuffer.samplers.models import GenerativeModel, likelihoods
from molbuffer.storage import Place
from molbuffer.training.adam import Adam
from molbuffer.training.checkpoint import RunCheckpoints, checkpoint_files, restore
from molbuffer.training.pretraining.corpus import Corpus, CorpusBatch
from molbuffer.training.pretraining.length_buckets import bucketed_batches
from molbuffer.training.pretraining.settings import PretrainSettings


@dataclass(frozen=True)
class PretrainProgress:
    """The progress of a training after a step.

    Attributes:
        step: the number of steps done.
        steps: the number of all steps.
        loss: the mean loss per molecule of the step, in nats.
        validation_loss: the mean held-out loss, in nats; None without a validation after this step.
    """

    step: int
    steps: int
    loss: float
    validation_loss: float | None = None


class MoleculeLoss(Protocol):
    """A loss of pretraining."""

    def __call__(self, model: GenerativeModel, batch: CorpusBatch, step: int | None) -> Tensor:
        """Return the loss of each sequence [b], in nats.

        Args:
            model: the model in training.
            batch: the sequences.
            step: the step of the training, from 0, for a loss that changes during the training; None is the final loss,
                for validation.
        """
        ...


def negative_log_likelihood(model: GenerativeModel, batch: CorpusBatch, step: int | None) -> Tensor:
    """Return −log p(sequence | condition) [b], END included."""
    return -likelihoods(model, batch.tokens, batch.lengths, condition=batch.condition).sum(1)


@dataclass
class _Position:
    """The part of a checkpoint that is not a tensor.

    Attributes:
        step: the number of steps done.
        best_loss: the least held-out loss up to now, in nats.
        since_best: the number of validations since then.
        decay_from: the step at which early stopping began the decay; None if it did not.
    """

    step: int = 0
    best_loss: float = math.inf
    since_best: int = 0
    decay_from: int | None = None


class _BestWeights:
    """The weights of a model at its best validation."""

    _FILE = "best.safetensors"

    def __init__(self, model: GenerativeModel) -> None:
        self._model = model
        self.take()

    def take(self) -> None:
        """Copy the present weights of the model."""
        self._weights = {name: tensor.detach().clone() for name, tensor in self._model.state_dict().items()}

    def put_back(self) -> None:
        """Load the copied weights into the model."""
        self._model.load_state_dict(self._weights)

    def files(self, settings: PretrainSettings) -> dict[str, bytes]:
        """Return the copied weights as a file of a checkpoint, if the settings keep the best; else no file."""
        weights = {name: tensor.contiguous().cpu() for name, tensor in self._weights.items()}
        return {self._FILE: save(weights)} if settings.keep_best else {}

    def restore(self, folder: Place) -> None:
        """Read the best weights from a checkpoint, if it has them."""
        if (folder / self._FILE).exists():
            self._weights = load((folder / self._FILE).read_bytes())


def pretrain(
    model: GenerativeModel,
    corpus: Corpus,
    settings: PretrainSettings,
    *,
    loss: MoleculeLoss = negative_log_likelihood,
    checkpoints: RunCheckpoints | None = None,
    progress: Callable[[PretrainProgress], None] = lambda _: None,
) -> float:
    """Train a model in place; return the mean held-out loss per molecule, in nats.

    Args:
        model: the model, on the device to train on.
        corpus: the molecules.
        settings: the settings of the training.
        loss: the loss to minimise.
        checkpoints: the checkpoints of the run: the training goes on from the newest, and saves further ones during the
            training and at its end; None saves none.
        progress: called after each step.
    """
    optimizer = Adam(model.parameters(), settings.learning_rate)
    position, best = _Position(), _BestWeights(model)
    if checkpoints is not None and (newest := checkpoints.newest()) is not None:
        position = _Position(**restore(newest, model, optimizer))
        best.restore(newest)
    elif settings.keep_best:
        position.best_loss = held_out_loss(model, corpus, settings.batch_size, loss)
    training_lengths = corpus.lengths[corpus.training]
    per_epoch = -(-len(training_lengths) // settings.batch_size)
    total, decay_steps = settings.epochs * per_epoch, max(1, round(settings.decay_epochs * per_epoch))
    # A training on few molecules may have fewer steps than the warm-up: the warm-up is then half of the steps.
    warmup = max(1, min(settings.warmup_steps, total // 2))
    decay_from = min(max(warmup, total - decay_steps), total - 1)
    if position.decay_from is not None:
        decay_from, total = position.decay_from, position.decay_from + decay_steps
    saved_at = time.monotonic()
    for step, rows in _batches(training_lengths, settings, position.step, per_epoch):
        if step >= total or (settings.keep_best and position.since_best >= settings.patience):
            break
        rate = min(1.0, (step + 1) / warmup, (total - step) / (total - decay_from))
        optimizer.learning_rate = settings.learning_rate * rate
        with _own_dropout(model.device):
            # Dropout draws from the global generator: with a seed a step, a resumed training drops the same units.
            torch.manual_seed(derive_seed(settings.seed, "dropout", step))
            batch = corpus.batch(corpus.training[rows]).to(model.device)
            lowered = _train_step(model, optimizer, batch, settings, loss=loss, step=step)
        position.step = step + 1
        validation = None
        if position.step % (settings.validate_every or per_epoch) == 0:
            validation = held_out_loss(model, corpus, settings.batch_size, loss)
            if settings.keep_best and validation < position.best_loss:
                best.take()
            position.since_best = 0 if validation < position.best_loss else position.since_best + 1
            position.best_loss = min(position.best_loss, validation)
            if not settings.keep_best and position.since_best >= settings.patience and position.step < decay_from:
                decay_from = position.decay_from = position.step
                total = decay_from + decay_steps
        progress(PretrainProgress(position.step, total, lowered, validation))
        if checkpoints is not None and time.monotonic() - saved_at > settings.checkpoint_seconds:
            checkpoints.save(position.step, checkpoint_files(model, optimizer, asdict(position)) | best.files(settings))
            saved_at = time.monotonic()
    if checkpoints is not None:
        checkpoints.save(position.step, checkpoint_files(model, optimizer, asdict(position)) | best.files(settings))
    if settings.keep_best:
        best.put_back()
    return held_out_loss(model, corpus, settings.batch_size, loss)


@contextmanager
def _own_dropout(device: torch.device) -> Iterator[None]:
    """Restore the global generators of torch afterwards, which it supports for the CPU and for CUDA."""
    on_cuda = device.type == "cuda"
    with torch.random.fork_rng(devices=[device] if on_cuda else [], device_type="cuda"):
        yield


def _batches(
    lengths: NDArray[np.int32], settings: PretrainSettings, first: int, per_epoch: int
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield (step, row numbers) from step ``first`` on, without end."""
    epoch = first // per_epoch
    while True:
        batches = bucketed_batches(lengths, settings.batch_size, settings.seed, epoch)
        for i in range(max(0, first - epoch * per_epoch), per_epoch):
            yield epoch * per_epoch + i, batches[i]
        epoch += 1


def _train_step(
    model: GenerativeModel,
    optimizer: Adam,
    batch: CorpusBatch,
    settings: PretrainSettings,
    *,
    loss: MoleculeLoss,
    step: int,
) -> float:
    """Take one gradient step on a batch, and return the mean loss per molecule before it, in nats."""
    model.train()
    with _products_in(settings.precision, batch.tokens.device.type):
        losses = loss(model, batch, step)
    optimizer.zero_grad()
    # The mean over tokens, so that a batch of long molecules has no larger gradient than a batch of short ones.
    (losses.sum() / batch.lengths.sum()).backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_norm)
    optimizer.step()
    return float(losses.mean().detach())


@contextmanager
def _products_in(precision: str, device: str) -> Iterator[None]:
    """Compute the matrix products of a forward pass and of its backward pass in a precision."""
    with ExitStack() as chosen:
        if precision == "bfloat16":
            chosen.enter_context(torch.autocast(device, torch.bfloat16))
            if device == "cpu":
                # On the CPU, the backward pass of fused attention takes longer than all the rest of a step.
                chosen.enter_context(sdpa_kernel(SDPBackend.MATH))
        yield


@torch.no_grad()
def held_out_loss(
    model: GenerativeModel, corpus: Corpus, batch_size: int, loss: MoleculeLoss = negative_log_likelihood
) -> float:
    """Return the mean loss per held-out molecule, END included, in nats."""
    model.eval()
    by_length = corpus.held_out[np.argsort(corpus.lengths[corpus.held_out], kind="stable")]
    batches = (by_length[start : start + batch_size] for start in range(0, len(by_length), batch_size))
    held_out = (corpus.batch(rows).to(model.device) for rows in batches)
    return sum(float(loss(model, batch, None).sum()) for batch in held_out) / len(by_length)
