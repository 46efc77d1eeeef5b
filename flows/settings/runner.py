"""The table ``[runner]``: the workers that make parts of a build at the same time."""

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
"""The modules that the runner of a cluster needs, which the extra of the same name installs."""

_ADDRESSES = {
    "dask": (re.compile(r"(tcp|tls|ws|wss)://\S+:\d+"), "tcp://HOST:8786"),
    "ray": (re.compile(r"auto|(ray://)?[^\s:/]+:\d+"), "ray://HOST:10001"),
}


class RunnerSettings(Section):
    """The workers that make parts of a build at the same time. The rows do not depend on their kind and number."""

    kind: RunnerKind = "threads"
    """threads: threads of the run's process, for scores that programs or services compute; processes: processes of this
    machine; dask, ray: a cluster, on this machine or at an address."""

    workers: Count = 1
    """The number of parts of a build that are made at once. Parts are chunks (`buffer.chunk_rows`), or molecules of a
    chunk if a component has `cost = "high"`."""

    address: Text | None = None
    """The address of a running cluster: "tcp://HOST:8786" for the scheduler of Dask, "ray://HOST:10001" for Ray;
    default: a cluster on this machine, which ends with the run."""

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
        """Whether workers make the parts; otherwise the process of the run makes them, one after another."""
        return self.apart or self.workers > 1

    @property
    def needs_prefect(self) -> bool:
        """Whether only Prefect's tasks can make the parts, as on clusters."""
        return self.kind in MODULES

    def problems(self, path: KeyPath) -> Iterator[Problem]:
        """Yield a problem if the runner needs packages that are not installed."""
        missing = [name for name in MODULES.get(self.kind, ()) if importlib.util.find_spec(name) is None]
        if missing:
            yield Problem(
                (*path, "kind"),
                f"the runner {self.kind} needs packages that are not installed ({', '.join(missing)}): "
                f'pip install "molbuffer[{self.kind}]"',
            )


def warnings_of_runner(data: Mapping[str, Any]) -> Iterator[str]:
    """Yield a warning if several workers have nothing to do, with the reason."""
    runner = data["runner"]
    if runner["workers"] < 2 or data["campaign"]["offline"]:
        return
    if any(table.get("cost") == "high" for table in data["objective"].get("components", ())):
        return
    in_turn = _in_turn(data)
    if in_turn is not None:
        yield (
            f'the chunks of a build are made one after another with {in_turn}, and no component has cost = "high", '
            f"whose molecules the {runner['workers']} workers would share: set it for components that take long"
        )
        return
    rows = [table["buffer_size"] for table in data["samplers"] if table["buffer_size"]]
    chunks = sum(-(-each // data["buffer"]["chunk_rows"]) for each in rows)
    if rows and chunks < runner["workers"]:
        most = data["buffer"]["chunk_rows"]
        yield (
            f"a build has {chunks} {'chunk' if chunks == 1 else 'chunks'} of up to {most} rows, "
            f"fewer than the {runner['workers']} workers: lower buffer.chunk_rows, or give components that take long "
            'cost = "high", so that workers share their molecules'
        )


def _in_turn(data: Mapping[str, Any]) -> str | None:
    """Return the key that makes a chunk depend on those before it, by the rule of ``made_in_turn``; else None."""
    if data["campaign"]["max_oracle_calls"] is not None:
        return "campaign.max_oracle_calls"
    if data["screening"] is not None:
        return "[screening]"
    if any(table.get("unique") == "run" for table in data["samplers"]):
        return 'unique = "run"'
    return None
