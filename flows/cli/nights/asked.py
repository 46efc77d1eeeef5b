"""The common options of ``deploy`` and ``serve``, and the deployments that follow from them."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from molbuffer.flows.cli.common.notes import note
from molbuffer.flows.cli.common.options import SetOption, file_or_preset
from molbuffer.flows.cli.common.preparation import check_names, checked_settings, opened_if_there, overrides_of
from molbuffer.flows.errors import UsageError

if TYPE_CHECKING:
    from molbuffer.flows.deployments import Nights, Planned
    from molbuffer.flows.settings import Settings

_FLOW_OF_CRON = re.compile(r"([a-z-]+)=(.*)", re.DOTALL)


@dataclass(frozen=True)
class NightOptions:
    """The arguments and options of each command that registers deployments."""

    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE.toml",
            help="The configuration file of the campaign, or the name of one that comes with molbuffer.",
            callback=file_or_preset,
        ),
    ] = None
    store: Annotated[
        Path | None,
        typer.Option(
            "--store", metavar="DIR", help="The folder of the store; default: none, with which only --check works."
        ),
    ] = None
    cron: Annotated[
        list[str] | None,
        typer.Option(
            "--cron",
            metavar="[FLOW=]CRON",
            help='When to build, such as "0 2 * * *", or when to run another flow, such as train="0 3 * * 6"; may be '
            "repeated. Default: no schedule, except that close-dead-runs runs every hour. A schedule that a deployment "
            "already has stays.",
        ),
    ] = None
    timezone: Annotated[
        str, typer.Option("--timezone", metavar="NAME", help="The time zone of the schedules, such as Europe/Berlin.")
    ] = "UTC"
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="The name of the deployments; default: the campaign's.")
    ] = None
    out: Annotated[
        str | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="The folder of archives, exports and reports; default: the path of the store with -files appended.",
        ),
    ] = None
    retries: Annotated[
        int, typer.Option("--retries", min=0, max=20, metavar="N", help="How often a failed run is resumed.")
    ] = 2
    hours: Annotated[float, typer.Option("--hours", min=0.01, metavar="N", help="The most hours of a run.")] = 23.0
    heartbeat: Annotated[
        int,
        typer.Option(
            "--heartbeat",
            min=30,
            metavar="SECONDS",
            help="The seconds between two heartbeats of a run, which counts as dead when four are missing.",
        ),
    ] = 30
    sets: SetOption = None


def asked_nights(given: NightOptions, *, pool: str | None, store_there: str | None = None) -> Nights:
    """Check the configuration and the names in it, and return the flows and options to register.

    Args:
        given: the options.
        pool: the work pool; None if the command runs the flows itself.
        store_there: the folder of the store on the hosts of the workers; None if it is that of this host.

    Raises:
        ConfigurationError: the file has problems, or names policies or runs that do not exist.
        UsageError: there is no file or no store, or an option cannot be used.
    """
    if given.file is None or given.store is None:
        raise UsageError("expected a configuration file and a store: molbuffer deploy campaign.toml --store lab")
    from molbuffer.flows.deployments import Nights, slug

    settings = checked_settings(given.file, overrides_of(given.sets), check_device=False)
    with opened_if_there(given.store) as opened:
        check_names(settings, given.file, opened, given.store)
    settings = _with_stored_policies(settings, given.store)
    return Nights(
        settings=settings,
        store=store_there or str(given.store.absolute()),
        name=slug(given.name or settings.campaign.name),
        crons=crons_of(given.cron or ()),
        timezone=_known_zone(given.timezone),
        work_pool=pool,
        out=given.out if given.out is None or store_there else str(Path(given.out).absolute()),
        heartbeat=given.heartbeat,
        limits={"retries": given.retries, "timeout_hours": given.hours},
    )


def crons_of(texts: Sequence[str]) -> dict[str, str]:
    """Return the schedules of flows by the names of the flows; a schedule without a name is that of builds.

    Raises:
        UsageError: a text is no schedule in cron's notation, or a flow has two schedules.
    """
    from molbuffer.flows.deployments import BUILD

    found: dict[str, str] = {}
    for text in texts:
        named = _FLOW_OF_CRON.fullmatch(text)
        flow, cron = (named[1], named[2]) if named else (BUILD, text)
        if flow in found:
            raise UsageError(f"expected one schedule for {flow}, got {found[flow]!r} and {cron!r}")
        found[flow] = _checked_cron(cron.strip())
    return found


def _checked_cron(cron: str) -> str:
    from prefect.client.schemas.schedules import CronSchedule
    from pydantic import ValidationError

    try:
        CronSchedule(cron=cron)
    except ValidationError as error:
        raise UsageError(
            f'expected a schedule in cron\'s notation, such as "0 2 * * *" for every night at two, got {cron!r}'
        ) from error
    return cron


def _known_zone(name: str) -> str:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise UsageError(f"expected a time zone such as UTC or Europe/Berlin, got {name!r}") from error


def _with_stored_policies(settings: Settings, place: Path) -> Settings:
    """Copy policies from folders into the store, which workers can read, and return settings with their sha256."""
    from molbuffer.flows.settings import Settings as Checked

    def in_the_store(folder: str) -> str:
        from molbuffer.samplers import register_policy
        from molbuffer.storage import SampleStore

        with SampleStore.open_or_create(place) as store:
            return register_policy(Path(folder), store)

    assert isinstance(settings, Checked)
    return settings.with_stored_policies(in_the_store)


def told_of_files(nights: Nights, *, portable: bool) -> None:
    """Write a message with the files of this host that workers must have, or refuse settings that name such files.

    Args:
        nights: the flows and options to register.
        portable: refuse settings that name files of this host.

    Raises:
        UsageError: ``portable`` is set, and the settings name such files.
    """
    from molbuffer.flows.deployments import local_files

    named = [each.text for each in local_files(nights.settings.model_dump(mode="json"))]
    if not named:
        return
    listed = "\n  ".join(named)
    if portable:
        raise UsageError(
            f"the settings name files of this host, {platform.node()}:\n  {listed}\nPut modules into a package that "
            "the workers install, and other files at a path that all hosts have; without --portable they are only "
            "listed"
        )
    note(f"files of this host, {platform.node()}, which each host of a worker must have at the same path:\n  {listed}")


def listed(plans: Sequence[Planned]) -> str:
    """Return the deployments as lines of text, each with its schedule."""
    width = max(len(each.full_name) for each in plans)
    return "\n".join(f"{each.full_name:{width}}  {_schedule(each)}" for each in plans)


def _schedule(plan: Planned) -> str:
    return f"{plan.cron} ({plan.timezone})" if plan.cron else f"when asked: prefect deployment run {plan.full_name}"


def as_rows(plans: Sequence[Planned]) -> list[dict[str, Any]]:
    """Return the deployments as JSON values."""
    return [
        {"deployment": each.full_name, "cron": each.cron, "timezone": each.timezone, "entrypoint": each.entrypoint}
        for each in plans
    ]
