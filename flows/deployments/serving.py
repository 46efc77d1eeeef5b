"""The runner of `molbuffer serve`, which ends cleanly on a signal."""

from __future__ import annotations

import sys
from typing import Any

from prefect.runner import Runner


class ServingRunner(Runner):
    """A runner of Prefect that ends cleanly on SIGTERM."""

    def handle_sigterm(self, *_args: Any, **_named: Any) -> None:
        """End the process; Prefect pauses its deployments at exit.

        Prefect's own handler also calls ``stop``, which is a coroutine in a running event loop, and never awaits it.
        """
        sys.exit(0)
