"""act: run an actor, which draws for an asynchronous training on the host of the flow."""

from __future__ import annotations

from typing import Any

from prefect import flow

from molbuffer.lab import limit_threads


@flow(name="act", validate_parameters=False)
def act(
    store: str,
    learner: str | None = None,
    name: str | None = None,
    builds: int | None = None,
    run_id: str | None = None,
    device: str | None = None,
) -> dict[str, Any]:
    """Draw and score molecules for a training, with the policy of its newest checkpoint, until it ends.

    Args:
        store: the folder of the store.
        learner: the run of the training; by default the newest one at work with training.mode = "async".
        name: the name of the training's campaign; it is used only when ``learner`` is None.
        builds: the number of builds after which the actor ends; by default it ends with the training.
        run_id: the run of the actor to resume; by default a new run, which a retry of this flow run resumes.
        device: the device to draw on; by default that of the configuration.

    Returns:
        ``run_id``, ``learner``, ``store``, the numbers of ``builds`` and of rows ``drawn`` and ``kept``, and ``ended``,
        the reason for the end of the actor.

    Raises:
        NoLearnerError: the training does not learn from actors, or no such training is at work.
    """
    limit_threads()
    # This module imports torch, which reads the settings of its threads once, when it is imported.
    from molbuffer.flows.work import run_actor

    return run_actor(store, learner, name=name, builds=builds, run_id=run_id, device=device)
