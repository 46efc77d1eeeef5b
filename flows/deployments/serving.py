"""The process that runs the flows of `molbuffer serve`, and its end."""

from __future__ import annotations

import sys
from typing import Any

from prefect.runner import Runner


class ServingRunner(Runner):
    """A runner of Prefect that ends cleanly when it is told to."""

    def handle_sigterm(self, *_args: Any, **_named: Any) -> None:
        """End the process: its deployments are paused on the way out.

        Prefect's own also calls ``stop``, which is a coroutine in a running loop, and awaits it nowhere.
        """
        sys.exit(0)
