"""The parameters of the scheduled flows, as models, which Prefect's page shows as forms with titles and defaults.

Each flow has one parameter, of one of these types, since Prefect takes the titles of a flow's own parameters from their
names.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

AS_CONFIGURED = "as configured"
_AGE = r"^\d+[smhdw]$"

Store = Annotated[
    str, Field(title="Store", description="The folder of the store, as the hosts of the workers see it.", min_length=1)
]
Age = Annotated[str, Field(pattern=_AGE)]
Condition = Annotated[
    str | None,
    Field(
        title="Only rows with", description="An SQL condition on sample_history, such as reward > 0.8; all if empty."
    ),
]
Runs = Annotated[
    list[str], Field(title="Only runs", description="The ids of runs, or their starts; all runs if empty.")
]


class _Form(BaseModel):
    """A form; a misspelt key is refused, and not ignored."""

    model_config = ConfigDict(extra="forbid")


def _settings_last(schema: dict[str, Any]) -> None:
    """Put the settings, which have hundreds of lines, below the fields that users change."""
    fields = schema["properties"]
    fields["settings"] = fields.pop("settings")
    for position, field in enumerate(fields.values()):
        field["position"] = position


class CampaignParameters(_Form):
    """The parameters of a run of a campaign."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=_settings_last)

    settings: dict[str, Any] = Field(
        title="Settings",
        description="The checked settings of the campaign, with all defaults, as JSON. `molbuffer deploy` writes them "
        "from the TOML file.",
    )
    store: Store
    device: Literal["as configured", "auto", "cpu", "cuda", "mps"] = Field(
        "as configured", title="Device", description="The device of models: auto is the fastest of the worker's host."
    )
    run_id: str | None = Field(
        None, title="Run to resume", description="The whole id of a run of the store; a new run if empty."
    )
    retries: int = Field(
        2,
        ge=0,
        le=20,
        title="Retries",
        description="How often the run is resumed after a transient error, or after its process has died. It goes on "
        "from what is stored: nothing is scored twice.",
    )
    timeout_hours: float | None = Field(
        23.0,
        gt=0,
        title="Hours at most",
        description="The run ends after this many hours, and can be resumed; no limit if empty.",
    )

    @property
    def device_name(self) -> str | None:
        """The name of the device; None for that of the settings."""
        return None if self.device == AS_CONFIGURED else self.device

    @property
    def run_settings(self) -> dict[str, Any]:
        """The settings of the run, with the values of the form in place of those in the settings."""
        return self.settings


class BuildingParameters(CampaignParameters):
    """The parameters of a run of a campaign that builds."""

    runner: Literal["as configured", "threads", "processes", "dask", "ray"] = Field(
        "as configured",
        title="Task runner",
        description="What makes the parts of a build: threads or processes of the worker's host, or a cluster. The "
        "rows are the same with each.",
    )
    workers: int | None = Field(
        None,
        ge=1,
        title="Parts at once",
        description="The number of parts of a build that are made at once; as configured if empty.",
    )
    address: str | None = Field(
        None,
        title="Address of the cluster",
        description="tcp://HOST:8786 of the scheduler of Dask, ray://HOST:10001 of Ray; if empty, that of the "
        "settings, or a cluster of the worker's host.",
    )

    @property
    def run_settings(self) -> dict[str, Any]:
        said: dict[str, Any] = dict(self.settings.get("runner") or {})
        if self.runner not in (AS_CONFIGURED, said.get("kind")):
            # The configured address belongs to a cluster of the configured kind.
            said = said | {"kind": self.runner, "address": None}
        given = {"workers": self.workers, "address": self.address}
        said |= {name: value for name, value in given.items() if value is not None}
        return self.settings | {"runner": said} if said else self.settings


class BuildParameters(BuildingParameters):
    """The parameters of a build, which fills the buffer once, with buffer_size molecules of each sampler."""


class TrainParameters(BuildingParameters):
    """The parameters of a training on live and stored molecules."""


class OfflineParameters(CampaignParameters):
    """The parameters of a training on stored molecules alone."""

    snapshot: int | None = Field(
        None, ge=0, title="Snapshot", description="The snapshot of the store to learn from; the newest if empty."
    )
    where: Condition = None


class ScorePendingParameters(_Form):
    """The parameters of the scoring of the backlog."""

    store: Store
    run: str | None = Field(
        None, title="Only run", description="The id of a run of the store, or its start; every run if empty."
    )
    watch: bool = Field(False, title="Go on", description="Wait for more rows when none is left, until the time limit.")
    batch: int = Field(256, ge=1, title="Rows at once")
    timeout_hours: float | None = Field(
        23.0, gt=0, title="Hours at most", description="The flow run ends after this many hours; its scores stay."
    )


class ActParameters(_Form):
    """The parameters of an actor, which draws for an asynchronous training until that ends."""

    store: Store
    campaign: str | None = Field(
        None, title="Campaign", description="The name of the campaign of the training; any campaign if empty."
    )
    learner: str | None = Field(
        None,
        title="Training",
        description="The id of the run of the training, or the start of it; the newest running one if empty.",
    )
    builds: int | None = Field(None, ge=1, title="Builds at most", description="Until the training ends if empty.")
    device: Literal["as configured", "auto", "cpu", "cuda", "mps"] = Field("as configured", title="Device")
    run_id: str | None = Field(
        None, title="Actor to resume", description="The whole id of a run of an actor; a new one if empty."
    )
    retries: int = Field(2, ge=0, le=20, title="Retries", description="How often it is resumed after an error or kill.")
    timeout_hours: float | None = Field(23.0, gt=0, title="Hours at most", description="No limit if empty.")


class MaintainParameters(_Form):
    """The parameters of the maintenance of a store, which others may use meanwhile."""

    store: Store
    compact: bool = Field(True, title="Merge small files")
    vacuum: bool = Field(True, title="Remove files that nothing refers to")
    expire_older_than: Age | None = Field(
        None, title="Expire snapshots older than", description="An age such as 30d; none expires if empty."
    )
    keep: int = Field(1, ge=1, title="Newest snapshots that stay")
    grace: Age = Field("24h", title="Least age of a removed file", description="An age such as 24h.")
    keep_checkpoints: int = Field(2, ge=1, title="Checkpoints that stay", description="Of each unfinished run.")
    dry_run: bool = Field(False, title="Only list", description="List what would expire and be removed.")


class ArchiveParameters(_Form):
    """The parameters of an archive: rows with their provenance in plain files."""

    store: Store
    out: str = Field(
        title="Archive",
        description="A new folder, or a new .tar, .tar.gz or .tar.zst file; {date} and {time} are those of the run.",
    )
    runs: Runs = []
    where: Condition = None


class ExportParameters(_Form):
    """The parameters of an export: the history or the molecules as one file for other programs."""

    store: Store
    out: str = Field(
        title="File",
        description="A .parquet or .csv file, which is replaced if it exists; {date} and {time} are those of the run.",
    )
    rows: Literal["molecules", "samples"] = Field(
        "molecules",
        title="A row for each",
        description="A row for each molecule and objective, the best first, with the values of components; or for each "
        "sample.",
    )
    where: Condition = None


class ReportParameters(_Form):
    """The parameters of a report on runs, as one HTML file."""

    store: Store
    out: str = Field(
        title="File",
        description="An .html file, which is replaced if it exists; {date} and {time} are those of the run.",
        pattern=r"\.html?$",
    )
    runs: Runs = []


class DeadRunsParameters(_Form):
    """The parameters of ``close-dead-runs``, which records the end of runs whose process has died."""

    store: Store
    name: str = Field(title="Deployments", description="The name of the deployments whose flow runs are checked.")
    resume: bool = Field(
        True, title="Resume them", description="Resume runs that have retries left from what is stored."
    )
