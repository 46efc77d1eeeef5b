"""Checks before a command starts a run: the configuration, the store, the names in both, and whether a run can resume.

These checks import neither torch nor Prefect unless they must, so that a mistake is reported within a second or two.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from molbuffer.flows.cli.common.options import CampaignOptions, known_run
from molbuffer.flows.cli.common.output import output_kept_for_results
from molbuffer.flows.errors import UsageError

if TYPE_CHECKING:
    from molbuffer.flows.settings import Override, Problem, Settings
    from molbuffer.storage import ArchiveLimits, RunKind, SampleStore


@dataclass(frozen=True)
class Prepared:
    """A run that can be started.

    Attributes:
        settings: the checked configuration.
        run_id: the id of the run to resume, or a new id.
    """

    settings: Settings
    run_id: str


def overrides_of(texts: Sequence[str] | None) -> list[Override]:
    """Parse the options ``--set``.

    Raises:
        UsageError: one of them is not KEY=VALUE.
    """
    from molbuffer.flows.settings import parse_overrides

    try:
        return parse_overrides(texts or ())
    except ValueError as error:
        raise UsageError(str(error)) from error


def prepared_run(
    given: CampaignOptions,
    overrides: Sequence[Override],
    *,
    kind: RunKind | None = None,
    iterations: int | None = None,
    own_rows: bool = False,
) -> Prepared:
    """Check everything that can be checked before a run starts, and return it.

    Args:
        given: the options of the command. The store need not exist; the device of the configuration is not checked if
            the command names one.
        overrides: values of keys that replace those in the file.
        kind: the kind of the run; None is a training, offline if the configuration says so.
        iterations: the number of iterations of the training, instead of that of the file.
        own_rows: whether the store must exist, since the run reads its rows.

    Raises:
        ConfigurationError: the file has problems, or names what the store does not have.
        RunConflictError: the run cannot go on with this configuration.
        StoreError: the store cannot be used.
    """
    file, store = given.file, given.store
    settings = checked_settings(file, overrides, check_device=given.device is None)
    if iterations is not None:
        settings = _with_iterations(settings, iterations)
    run_id = known_run(store, given.resume)
    with opened_if_there(store, must_exist=own_rows or (settings.campaign.offline and kind is None)) as opened:
        check_names(settings, file, opened, store)
        if opened is not None:
            _refuse_an_archive(opened)
            if run_id is not None:
                _check_resumed(opened, run_id, settings, kind)
    return Prepared(settings, run_id or uuid.uuid4().hex)


def check_rows_there(
    ready: Prepared,
    store: Path,
    sources: Sequence[Path] = (),
    where: str | None = None,
    snapshot: int | None = None,
    limits: ArchiveLimits | None = None,
) -> None:
    """Refuse an offline training whose sources are missing or damaged, or have no row to learn from.

    An archive in a tar file is unpacked for this check, and again by the training, so that a problem with it is found
    before a server starts.

    Args:
        ready: the run.
        store: the folder of its store.
        sources: the archives and stores of its rows; if empty, its store alone.
        where: an SQL condition on ``sample_history``; None is that of the configuration.
        snapshot: the snapshot of the store to read; None is the present one.
        limits: the limits on the size of each archive; None is the default.

    Raises:
        ArchiveError: an archive is damaged, or differs from its own description.
        StoreError: a store cannot be opened.
        BatchShortError: no row has a reward under the objective.
    """
    there = (store / "store.toml").is_file()
    if not there and not sources:
        return
    from molbuffer.flows.campaign import check_rows, offline_condition
    from molbuffer.lab import opened_rows
    from molbuffer.storage import ArchiveLimits, SampleStore

    places = [str(place.resolve()) for place in sources]
    with ExitStack() as opened:
        own = opened.enter_context(SampleStore.open(store, read_only=True)) if there else None
        rows = opened.enter_context(opened_rows(own, places, limits or ArchiveLimits()))
        opened.enter_context(output_kept_for_results())
        check_rows(
            settings=ready.settings,
            store=own,
            run_id=ready.run_id,
            rows=rows,
            where=offline_condition(ready.settings, where),
            snapshot=snapshot,
        )


def checked_settings(file: Path, overrides: Sequence[Override], *, check_device: bool = True) -> Settings:
    """Load the settings of a file; output that the user's modules print during their import goes to standard error."""
    from molbuffer.flows.settings import load_settings

    with output_kept_for_results():
        return load_settings(file, overrides, check_device=check_device)


def _with_iterations(settings: Settings, number: int) -> Settings:
    """Return the settings with another number of iterations, or of steps for an offline training."""
    from molbuffer.flows.settings import Settings

    data = json.loads(settings.to_json())
    table, key = ("offline", "steps") if settings.campaign.offline else ("campaign", "iterations")
    data[table][key] = number
    return Settings.from_json(json.dumps(data))


def check_names(settings: Settings, file: Path, store: SampleStore | None, place: Path) -> None:
    """Refuse a configuration that names policies, latents or runs that a store does not have.

    Raises:
        ConfigurationError: the configuration names such policies, latents or runs.
    """
    from molbuffer.flows.campaign import unknown_names

    _refuse(file, unknown_names(settings, store, place))


def check_policies(settings: Settings, file: Path) -> None:
    """Refuse policies that do not fit each other or the samplers, as far as this is known without a store.

    Raises:
        ConfigurationError: the configuration names such policies.
    """
    from molbuffer.flows.campaign import unfit_policies

    _refuse(file, unfit_policies(settings, None))


def _refuse(file: Path, problems: Sequence[Problem]) -> None:
    from molbuffer.flows.settings import ConfigurationError, locate

    if problems:
        raise ConfigurationError(str(file), locate(problems, file.read_text(encoding="utf-8")))


def _check_resumed(store: SampleStore, run_id: str, settings: Settings, kind: RunKind | None) -> None:
    from molbuffer.flows.campaign import check_resumed, with_resolved_policies
    from molbuffer.storage import RunKind

    training = RunKind.OFFLINE if settings.campaign.offline else RunKind.TRAIN
    check_resumed(store, run_id, kind or training, with_resolved_policies(settings, store, run_id))


def _refuse_an_archive(store: SampleStore) -> None:
    from molbuffer.lab import refuse_archive

    refuse_archive(store)


def known_policy(path: Path, name: str | None) -> str | None:
    """Check that a policy exists, and return its name; for ``run:RUN_ID``, return the sha256 of the run's last policy.

    Raises:
        UnknownPolicyError: no policy has this name.
    """
    if name is None:
        return None
    from molbuffer.flows.campaign import found_policy
    from molbuffer.flows.settings import bundled_names, did_you_mean
    from molbuffer.storage import UnknownPolicyError

    with opened_if_there(path) as store:
        try:
            return found_policy(name, store, path)
        except UnknownPolicyError as error:
            close, known = did_you_mean(name, bundled_names()).removesuffix("."), ", ".join(bundled_names())
            raise UnknownPolicyError(
                f"{name!r} is no bundled policy ({known}), no folder of one, and not in the store{close} ({error})"
            ) from error


@contextmanager
def opened_if_there(path: Path, *, must_exist: bool = False) -> Iterator[SampleStore | None]:
    """Open a store for reading; yield None if the store does not exist and can be made."""
    from molbuffer.storage import SampleStore

    nothing = not path.exists() or (path.is_dir() and not any(path.iterdir()))
    if nothing and not must_exist:
        yield None
        return
    if not must_exist and not (path / "store.toml").exists():
        # The folder is an archive, or not empty: this call raises the error that says why no store can be made.
        SampleStore.open_or_create(path).close()
    with SampleStore.open(path, read_only=True) as opened:
        yield opened
