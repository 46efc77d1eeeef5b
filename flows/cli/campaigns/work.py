"""The work of a command of a campaign, as a Prefect flow or without Prefect, and the context that it runs in."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molbuffer.flows.cli.common.first_imports import first_imports
from molbuffer.flows.cli.common.output import output_kept_for_results
from molbuffer.flows.cli.common.prefect_settings import server_is_configured
from molbuffer.flows.cli.common.prefect_setup import prefect_ready
from molbuffer.flows.cli.common.run_notes import told_how_to_go_on
from molbuffer.lab import limit_threads

if TYPE_CHECKING:
    from molbuffer.flows.settings import Settings

Work = Callable[..., dict[str, Any]]


def by_prefect(asked: bool | None, settings: Settings | None = None) -> bool:
    """Return whether a command runs its work as a Prefect flow.

    Args:
        asked: True for ``--prefect``, False for ``--no-prefect``; None chooses a flow if a server is configured or the
            runner needs Prefect.
        settings: the settings of the campaign; None where nothing is built.
    """
    if asked is not None:
        return asked
    if settings is not None and settings.runner.needs_prefect and not settings.campaign.offline:
        return True
    return server_is_configured()


def surroundings(
    store: Path, run_id: str | None = None, *, flows: bool, resumable: bool = True, longer: bool = False
) -> AbstractContextManager[None]:
    """Return the context in which a command does its work.

    Args:
        store: the folder of the store, which need not exist.
        run_id: the run, where the command knows it.
        flows: whether the work is done by Prefect flows, for which Prefect is set up (``prefect_ready``).
        resumable: whether the command has ``--resume``.
        longer: whether the command has ``--iterations``.
    """
    around = prefect_ready if flows else _without_prefect
    return around(store, resumable, run_id, longer=longer)


@contextmanager
def _without_prefect(store: Path, resumable: bool, run_id: str | None, *, longer: bool) -> Iterator[None]:
    limit_threads()
    with told_how_to_go_on(store, resumable, run_id, longer=longer), output_kept_for_results():
        yield


@first_imports()
def online_work(*, flows: bool) -> Work:
    """Return the flow ``train``, or the function that does the same without Prefect."""
    if flows:
        from molbuffer.flows.train import train

        return train
    from molbuffer.flows.tasks import local_builder
    from molbuffer.flows.work import run_online

    return functools.partial(run_online, builder=local_builder)


@first_imports()
def build_work(*, flows: bool) -> Work:
    """Return the flow ``build``, or the function that does the same without Prefect."""
    if flows:
        from molbuffer.flows.build_buffer import build

        return build
    from molbuffer.flows.tasks import made_here
    from molbuffer.flows.work import run_build

    return functools.partial(run_build, maker=made_here)


@first_imports()
def offline_work(*, flows: bool) -> Work:
    """Return the flow ``train_offline``, or the function that does the same without Prefect."""
    if flows:
        from molbuffer.flows.train_offline import train_offline

        return train_offline
    from molbuffer.flows.work import run_offline

    return run_offline


@first_imports()
def pretrain_work(*, flows: bool) -> Work:
    """Return the flow ``pretrain_prior``, or the function that does the same without Prefect."""
    if flows:
        from molbuffer.flows.pretrain import pretrain_prior

        return pretrain_prior
    from molbuffer.flows.work import run_pretraining

    return run_pretraining
