"""Checks that a loss is valid on the rows that it learns from, before a training and for each batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from molbuffer.samplers import Pipeline, Vocabulary
from molbuffer.storage import HistoryIndex
from molbuffer.training.batches import BUFFER, MixedLoader, TrainingBatch
from molbuffer.training.errors import UnsuitableDataError
from molbuffer.training.losses import Loss, ValidOn

WITHOUT, TRUNCATED = "no behaviour log-probabilities", "been drawn with top_k or top_p"


def keep_to_valid_rows(loss: Loss, loader: MixedLoader) -> None:
    """Check that a loss is valid on the rows of a loader.

    For a loss that is valid on on-policy rows alone, set the plan of the loader to ``live_only``.

    Raises:
        UnsuitableDataError: the loader gives rows that the loss is not valid on; the message names the selection, or
            the samplers of the rows.
    """
    if loss.valid_on is ValidOn.ON_POLICY:
        if loader.live is None:
            raise UnsuitableDataError(
                f"the loss {loss} is valid only on rows that the policy in training has just drawn, but the selection "
                f"{loader.buffer.selection} gives stored rows; take a loss that is valid on them, such as reinvent",
                rows={BUFFER: len(loader.buffer.index)},
            )
        if loader.plan.replay.updates > 1:
            raise UnsuitableDataError(
                f"the loss {loss} is valid only on rows that the policy in training has just drawn, but after the "
                f"first of {loader.plan.replay.updates} updates an earlier policy has drawn them; take updates = 1, or "
                "a loss that is valid on any rows, such as reinvent",
                rows={BUFFER: len(loader.buffer.index)},
            )
        _refuse_chosen(loss, loader.live.pipeline)
        loader.plan = replace(loader.plan, live_only=True)
        return
    if loss.valid_on is ValidOn.BEHAVIOUR and loader.plan.replay.randomise:
        raise UnsuitableDataError(
            f"the loss {loss} weighs rows by their likelihood under the behaviour policy, which is unknown for the "
            "random SMILES of randomise; leave randomise out, or take a loss that is valid on any rows, such as "
            "reinvent",
            rows={BUFFER: len(loader.buffer.index)},
        )
    if loader.live is None:
        _check_index(loss, loader.buffer.index, loader.buffer.vocabulary)


def _refuse_chosen(loss: Loss, pipeline: Pipeline) -> None:
    """Refuse a pipeline that keeps only some draws of the policy by their properties: a choice, or screening."""
    chosen = None
    if pipeline.choice is not None:
        chosen = f"the choice {pipeline.choice} keeps only some of them, which differ; leave choose out"
    elif pipeline.screener is not None:
        chosen = "screening keeps only the most promising of them; leave it out"
    if chosen is not None:
        raise UnsuitableDataError(
            f"the loss {loss} is valid only on rows that the policy in training has just drawn, but {chosen}, or take "
            "a loss that is valid on any rows, such as reinvent",
            rows={},
        )


def check_rows(loss: Loss, batch: TrainingBatch) -> None:
    """Check that a loss is valid on all rows of a batch.

    Raises:
        UnsuitableDataError: the loss is not valid on some rows; ``rows`` has their number by origin.
    """
    if loss.valid_on is ValidOn.ON_POLICY and BUFFER in batch.origins:
        stored = Counter(origin for origin in batch.origins if origin == BUFFER)
        raise UnsuitableDataError(_message(loss, "been stored before", stored, len(batch)), rows=stored)
    if loss.valid_on is not ValidOn.BEHAVIOUR:
        return
    unknown = batch.behaviour_log_probs.isnan().any(1)
    truncated = batch.columns.get("truncated")
    for reason, rows in {WITHOUT: unknown, TRUNCATED: None if _allows(loss) else truncated}.items():
        if rows is not None and bool(rows.any()):
            origins = Counter(batch.origins[row] for row in rows.nonzero()[:, 0].tolist())
            raise UnsuitableDataError(_message(loss, reason, origins, len(batch)), rows=origins)


def _check_index(loss: Loss, index: HistoryIndex, vocabulary: Vocabulary) -> None:
    if loss.valid_on is not ValidOn.BEHAVIOUR:
        return
    builds = index.builds.select(["sampler", "temperature", "vocabulary_sha256"]).to_pylist()
    # Log-probabilities are unknown for samplers without a policy (no temperature) and for re-encoded rows.
    without = [each["temperature"] is None or each["vocabulary_sha256"] != vocabulary.sha256 for each in builds]
    found = {WITHOUT: np.array(without, bool).take(index.build_numbers)}
    found[TRUNCATED] = index.truncated & ~found[WITHOUT] & (not _allows(loss))
    for reason, rows in found.items():
        if rows.any():
            numbers = Counter(index.build_numbers[rows].tolist())
            samplers: Counter[str] = Counter()
            for number, count in numbers.items():
                samplers[builds[number]["sampler"]] += count
            raise UnsuitableDataError(_message(loss, reason, samplers, len(index)), rows=samplers)


def _allows(loss: Loss) -> bool:
    return bool(getattr(loss, "allow_truncated", False))


def _message(loss: Loss, reason: str, rows: Mapping[str, int], of: int) -> str:
    named = ", ".join(f"{count} of {origin}" for origin, count in rows.items())
    advice = "leave these out with an SQL condition or other samplers, or take a loss that is valid on any rows"
    if reason is TRUNCATED:
        advice += "; allow_truncated = true of the loss uses them as they are"
    return (
        f"{sum(rows.values())} of {of} rows have {reason} ({named}), and the loss {loss} is not valid on them; {advice}"
    )
