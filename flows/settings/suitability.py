"""Check that the loss is valid on the rows of samplers and selections, by the properties that each declares (R22)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from molbuffer.flows.settings.problems import Problem
from molbuffer.flows.settings.rules import stored_share
from molbuffer.flows.settings.samplers import SamplerSettings
from molbuffer.samplers import BEST, TOLERANCE, TokenSource
from molbuffer.training import LOSSES, Loss, ValidOn, blind_part

if TYPE_CHECKING:
    from molbuffer.flows.settings.settings import Settings


def unsuitable_rows(settings: Settings) -> list[Problem]:
    """Return a problem for each sampler and each selection on whose rows the loss is not valid."""
    offline = settings.offline
    problems = list(_offline(settings)) if offline.loss is not None or settings.campaign.offline else []
    if settings.campaign.offline:
        return problems
    named, loss = settings.training.loss.kind, settings.training.built_loss
    problems += _of_choice(settings, named, loss)
    problems += _of_best_agent(settings, named, loss)
    if not any(each.fills_buffer for each in settings.samplers):
        blind = blind_part(settings.buffer.selection.build(), own=True)
        problems += [] if blind is None else [Problem(("buffer", "selection"), blind)]
    stored = stored_share(settings.model_dump(mode="json"))
    if loss.valid_on is ValidOn.ON_POLICY and stored > TOLERANCE:
        message = (
            f"the loss {named} is valid on rows that the policy in training has just drawn, but {stored:.3g} of a "
            f"batch comes from the buffer; let the p_batch of samplers add up to 1, {_advice()}"
        )
        problems.append(Problem(("buffer", "selection"), message))
    problems += _of_updates(settings, named, loss)
    for i, table in enumerate(settings.samplers):
        if table.draws_live or (stored > TOLERANCE and table.fills_buffer):
            problems += [Problem(("samplers", i, key), text) for key, text in _of_sampler(table, named, loss)]
    return problems


def _of_choice(settings: Settings, named: str, loss: Loss) -> Iterator[Problem]:
    """Yield a problem for each choice among the policy's draws, which changes their distribution."""
    if loss.valid_on is not ValidOn.ON_POLICY:
        return
    valid = f"the loss {named} is valid on rows as the policy in training draws them, and"
    if settings.objective.choose is not None:
        message = f"{valid} a choice keeps only the most different ones; remove the key, {_advice()}"
        yield Problem(("objective", "choose"), message)
    if settings.screening is not None:
        message = f"{valid} screening keeps only the most promising ones; remove the table, {_advice()}"
        yield Problem(("screening",), message)


def _of_best_agent(settings: Settings, named: str, loss: Loss) -> Iterator[Problem]:
    """Yield the problems of samplers that draw from the best agent of the run, and of a loss that needs such rows."""
    reminds = bool(getattr(loss, "needs_reminders", False))
    drawing = [(i, each) for i, each in enumerate(settings.samplers) if BEST in each.table.policies]
    for i, sampler in drawing:
        source = sampler.table.token_source
        if sampler.kind != "model":
            yield Problem(("samplers", i), 'only a sampler of the kind model draws from the policy "best"')
        elif sampler.fills_buffer:
            message = f'got {sampler.buffer_size}, and "best" draws live: leave the key out, and set a p_batch'
            yield Problem(("samplers", i, "buffer_size"), message)
        elif reminds and source is not None and (source.truncated or source.temperature != 1):
            message = (
                f"the loss {named} compares rows with their likelihood under the best agent, and the settings of this "
                "sampler change the distribution of its draws; leave temperature, top_k and top_p out"
            )
            yield Problem(("samplers", i), message)
    if reminds and not any(each.draws_live for _, each in drawing):
        message = f'{named} learns from rows of the best agent, and no sampler with the policy "best" has a p_batch'
        yield Problem(("training", "loss"), message)


def _of_updates(settings: Settings, named: str, loss: Loss) -> Iterator[Problem]:
    """Yield the problems of further updates and of randomised SMILES under a loss that is not valid on such rows."""
    updates = settings.training.updates
    if loss.valid_on is ValidOn.ON_POLICY and updates > 1:
        message = (
            f"the loss {named} is valid on rows that the policy in training has just drawn, but the first of {updates} "
            f"updates changes that policy; set updates to 1, {_advice()}"
        )
        yield Problem(("training", "updates"), message)
    if loss.valid_on is ValidOn.BEHAVIOUR and settings.buffer.randomise:
        message = (
            f"the loss {named} weighs rows by the likelihood with which they were drawn, and another SMILES of a "
            f"molecule has none; set randomise to false, {_advice()}"
        )
        yield Problem(("buffer", "randomise"), message)


def _offline(settings: Settings) -> Iterator[Problem]:
    own, online = settings.offline.loss, settings.training
    loss, named = settings.offline.built_loss(online), (own or online.loss).kind
    if loss.valid_on is ValidOn.ON_POLICY:
        place = ("training", "loss") if own is None else ("offline", "loss")
        message = (
            f"{named} is valid on rows that the policy in training has just drawn, but the selection "
            f"{settings.offline.selection.kind} gives stored rows; {_advice().removeprefix('or ')}"
        )
        yield Problem(place, message)
    yield from _of_offline_smiles(settings, named, loss)


def _of_offline_smiles(settings: Settings, named: str, loss: Loss) -> Iterator[Problem]:
    if loss.valid_on is ValidOn.BEHAVIOUR and settings.offline.randomise:
        message = (
            f"the loss {named} weighs rows by the likelihood with which they were drawn, and another SMILES of a "
            f"molecule has none; set randomise to false, {_advice()}"
        )
        yield Problem(("offline", "randomise"), message)


def _of_sampler(table: SamplerSettings, named: str, loss: Loss) -> Iterator[tuple[str, str]]:
    """Yield the keys of a sampler that are wrong under the loss, each with a message."""
    source, advice = table.table.token_source, _advice()
    if loss.valid_on is ValidOn.ON_POLICY and table.draws_live and (why := _not_on_policy(source)):
        yield (
            "p_batch",
            f"the loss {named} is valid on rows that the policy in training has just drawn, at temperature 1 and from "
            f'all tokens, but the sampler "{table.name}" {why}; set its p_batch to 0, {advice}',
        )
    if loss.valid_on is not ValidOn.BEHAVIOUR or source is None:
        return
    if source.policy is None:
        yield (
            "kind",
            f"the loss {named} weighs rows by the likelihood with which they were drawn, and those of the sampler "
            f'"{table.name}" have none; remove it, {advice}',
        )
    elif source.truncated and not getattr(loss, "allow_truncated", False):
        key = "top_k" if getattr(table.table, "top_k", None) else "top_p"
        yield (
            key,
            f"the loss {named} weighs rows by the likelihood with which they were drawn, and the sampler "
            f'"{table.name}" leaves tokens out, so that it can never draw some molecules; remove the key, or set '
            "allow_truncated = true for the loss",
        )


def _not_on_policy(source: TokenSource | None) -> str | None:
    """Return why the rows of a sampler are not on-policy, as a text; None if they are."""
    if source is None or source.policy is None:
        return "gives other rows"
    if source.policy != "agent":
        return f'draws from the policy "{source.policy}"'
    if source.truncated:
        return "leaves tokens out, by top_k or top_p"
    return f"draws at temperature {source.temperature:g}" if source.temperature != 1 else None


def _advice() -> str:
    kinds = [name for name, kind in LOSSES.kinds.items() if kind.is_own and kind.registered.valid_on is ValidOn.ANY]
    return f"or take a loss that is valid on any rows: {', '.join(kinds)}"
