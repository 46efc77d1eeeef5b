"""The table ``[runner]``: who makes the parts of a build at the same time."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Self

from pydantic import model_validator

from molbuffer.flows.settings.base import Section
from molbuffer.flows.settings.problems import Problem
from molbuffer.flows.settings.toml_lines import KeyPath
from molbuffer.kinds import Count, Text, refuse

RunnerKind = Literal["threads", "processes", "dask", "ray"]

MODULES: Mapping[str, tuple[str, ...]] = {"dask": ("prefect_dask", "distributed"), "ray": ("prefect_ray", "ray")}
"""The modules that the runner of a cluster needs, those of the extra of its name."""

_ADDRESSES = {
    "dask": (re.compile(r"(tcp|tls|ws|wss)://\S+:\d+"), "tcp://HOST:8786"),
    "ray": (re.compile(r"auto|(ray://)?[^\s:/]+:\d+"), "ray://HOST:10001"),
}


class RunnerSettings(Section):
    """Who makes the parts of a build at the same time. The rows are the same for any of them, and for any number."""

    kind: RunnerKind = "threads"
    """threads: of the process of the run, for scores that come from elsewhere; processes: of this machine; dask, ray:
    a cluster, of this machine or at an address."""

    workers: Count = 1
    """The number of parts of a build that are made at once. They are chunks (`buffer.chunk_rows`), or molecules of a
    chunk where a component has `cost = "high"`."""

    address: Text | None = None
    """The address of a cluster that is there: "tcp://HOST:8786" of the scheduler of Dask, "ray://HOST:10001" of Ray;
    default: a cluster of this machine, for the time of the run."""

    @model_validator(mode="after")
    def _address_has_a_cluster(self) -> Self:
        if self.address is None:
            return self
        if self.kind not in _ADDRESSES:
            message = f'the runner {self.kind} has no address; take kind = "dask" or "ray", or remove the key'
            refuse("runner", [(("address",), message)])
        form, example = _ADDRESSES[self.kind]
        if not form.fullmatch(self.address):
            refuse("runner", [(("address",), f'got "{self.address}", expected one of {self.kind}, as "{example}"')])
        return self

    @property
    def apart(self) -> bool:
        """Whether parts are made in other processes."""
        return self.kind != "threads"

    @property
    def shares(self) -> bool:
        """Whether parts are made at once, or elsewhere: otherwise the run makes them itself, one after another."""
        return self.apart or self.workers > 1

    @property
    def needs_prefect(self) -> bool:
        """Whether parts are made by Prefect's tasks alone: those of clusters are."""
        return self.kind in MODULES

    def problems(self, path: KeyPath) -> Iterator[Problem]:
        """Yield what keeps the runner from working here."""
        missing = [name for name in MODULES.get(self.kind, ()) if importlib.util.find_spec(name) is None]
        if missing:
            yield Problem(
                (*path, "kind"),
                f"the runner {self.kind} needs packages that are not installed ({', '.join(missing)}): "
                f'pip install "molbuffer[{self.kind}]"',
            )


def warnings_of_runner(data: Mapping[str, Any]) -> Iterator[str]:
    """Yield why several workers have nothing to do."""
    runner = data["runner"]
    if runner["workers"] < 2 or data["campaign"]["offline"]:
        return
    if any(table.get("cost") == "high" for table in data["objective"].get("components", ())):
        return
    in_turn = _in_turn(data)
    if in_turn is not None:
        yield (
            f'the chunks of a build are made one after another with {in_turn}, and no component has cost = "high", '
            f"whose molecules would be shared among the {runner['workers']} workers: give it to those that take long"
        )
        return
    rows = [table["buffer_size"] for table in data["samplers"] if table["buffer_size"]]
    chunks = sum(-(-each // data["buffer"]["chunk_rows"]) for each in rows)
    if rows and chunks < runner["workers"]:
        most = data["buffer"]["chunk_rows"]
        yield (
            f"a build has {chunks} {'chunk' if chunks == 1 else 'chunks'} of up to {most} rows, "
            f"fewer than the {runner['workers']} workers: lower buffer.chunk_rows, or give components that take long "
            'cost = "high", so that their molecules are shared'
        )


def _in_turn(data: Mapping[str, Any]) -> str | None:
    """Return the key by which a chunk needs those before it, as ``made_in_turn`` of the lab says of a run."""
    if data["campaign"]["max_oracle_calls"] is not None:
        return "campaign.max_oracle_calls"
    if data["screening"] is not None:
        return "[screening]"
    if any(table.get("unique") == "run" for table in data["samplers"]):
        return 'unique = "run"'
    return None
