"""What a command of a campaign does, and in what surroundings: as a Prefect flow, or with ``--direct`` as it is."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from molbuffer.flows.cli.common.first_imports import first_imports
from molbuffer.flows.cli.common.options import CampaignOptions
from molbuffer.flows.cli.common.output import output_kept_for_results
from molbuffer.flows.cli.common.prefect_setup import prefect_ready
from molbuffer.flows.cli.common.run_notes import told_how_to_go_on
from molbuffer.lab import limit_threads

Work = Callable[..., dict[str, Any]]


def surroundings(given: CampaignOptions, run_id: str, *, longer: bool = False) -> AbstractContextManager[None]:
    """Return what the work is done within; see ``prefect_ready``, which sets Prefect up as well."""
    around = _without_prefect if given.direct else prefect_ready
    return around(given.store, run_id=run_id, longer=longer)


@contextmanager
def _without_prefect(store: Path, *, run_id: str, longer: bool) -> Iterator[None]:
    limit_threads()
    with told_how_to_go_on(store, True, run_id, longer=longer), output_kept_for_results():
        yield


@first_imports()
def online_work(direct: bool) -> Work:
    """Return the flow ``train``, or what it does."""
    if not direct:
        from molbuffer.flows.train import train

        return train
    from molbuffer.flows.tasks import local_builder
    from molbuffer.flows.work import run_online

    return functools.partial(run_online, builder=local_builder)


@first_imports()
def build_work(direct: bool) -> Work:
    """Return the flow ``build``, or what it does."""
    if not direct:
        from molbuffer.flows.build_buffer import build

        return build
    from molbuffer.flows.tasks import made_here
    from molbuffer.flows.work import run_build

    return functools.partial(run_build, maker=made_here)


@first_imports()
def offline_work(direct: bool) -> Work:
    """Return the flow ``train_offline``, or what it does."""
    if not direct:
        from molbuffer.flows.train_offline import train_offline

        return train_offline
    from molbuffer.flows.work import run_offline

    return run_offline
