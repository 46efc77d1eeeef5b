"""The guard against collapse: it watches the live rows of the policy, and acts when they stay beyond a bound.

A policy collapses when it draws the same few molecules again and again, or strings that are not molecules, because a
step was too large or the rewards have too much weight. The guard adds these metrics of the live rows that the policy
drew in an iteration:

valid_live    molecules / rows; null without rows
unique_live   different molecules / molecules; null without molecules
entropy_live  mean of −log of the likelihood of a token as it was drawn, in nats; null without rows

In an iteration in which it acts, it adds ``guard_valid``, ``guard_unique``, ``guard_entropy`` and ``guard_kl_prior``,
the means over the window that crossed their bounds; ``guard_learning_rate``, the new learning rate; ``guard_pull``, the
part of the way to the prior; ``guard_back_to``, the number of iterations that the restored policy had learned from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from safetensors.torch import load, save
from torch import Tensor

from molbuffer.storage import Build, Place
from molbuffer.training.course.course import Ending, Observer, StepTaken
from molbuffer.training.course.settings import GuardSettings

_GOOD = "guard-tensors.safetensors"
_SHOWN = {"valid": "share of molecules", "unique": "share of different molecules", "entropy": "entropy"}


class Guarded(Protocol):
    """A policy in training that a guard acts on."""

    learning_rate: float

    def pull_to_prior(self, part: float) -> None:
        """Move the weights towards those of the prior.

        Args:
            part: the part of the way, in (0, 1].
        """
        ...

    def saved(self) -> dict[str, Tensor]:
        """Return a copy of the weights and of the state of the optimizer, by name."""
        ...

    def go_back(self, saved: Mapping[str, Tensor]) -> None:
        """Restore the weights and the optimizer that ``saved`` returned."""
        ...


@dataclass
class Guard(Observer):
    """An observer that watches the live rows of a training, and acts on its policy when a bound is crossed.

    Attributes:
        learner: the policy in training.
        settings: the bounds and the action.
        tell: called with a message to the user when the guard acts.
        name: the name of the observer in checkpoints.
    """

    learner: Guarded
    settings: GuardSettings
    tell: Callable[[str], None] = lambda _: None
    name: str = "guard"
    _windows: dict[str, list[float]] = field(default_factory=dict)
    _crossed: int = 0
    _factor: float = 1.0
    _good: dict[str, Tensor] | None = None
    _good_at: int = 0
    _good_is_present: bool = False
    _stopped: str | None = None

    def begin(self) -> None:
        """Save the first policy as the last good one, if the action restores it."""
        if self._good is None and self.settings.action == "back":
            self._good = self.learner.saved()

    def after(self, step: StepTaken) -> Mapping[str, float | None]:
        """Check the live rows of an iteration, and act if need be; return the metrics of this module."""
        live = [build for build in step.mixed.origin.live if _is_of(build, step.agent_sha256)]
        seen = _seen(live)
        watched = {**seen, "kl_prior": step.metrics.get("kl_prior") if live else None}
        self._look(watched)
        beyond = self._beyond()
        self._crossed = self._crossed + 1 if beyond else 0
        metrics: dict[str, float | None] = {f"{name}_live": value for name, value in seen.items()}
        self._good_is_present = False
        if self._crossed >= self.settings.patience:
            metrics |= {f"guard_{name}": mean for name, mean in beyond.items()}
            metrics |= self._act(step.iteration, beyond)
            self._windows, self._crossed = {}, 0
        elif step.checkpoint and self.settings.action == "back" and not beyond and self._is_good(watched):
            self._good, self._good_at = self.learner.saved(), step.iteration + 1
            self._good_is_present = True
        return metrics

    def ending(self) -> Ending | None:
        """Return the bound that was crossed, if the guard stops the run."""
        return None if self._stopped is None else Ending(self._stopped)

    def state(self) -> Any:
        """Return the windows, the count of crossings, and the effects of earlier actions."""
        return {
            "windows": self._windows,
            "crossed": self._crossed,
            "factor": self._factor,
            "good_at": self._good_at,
            "good_is_present": self._good_is_present,
        }

    def load_state(self, state: Any) -> None:
        """Restore a state, and the learning rate that the guard had set."""
        self._windows, self._crossed = {name: list(seen) for name, seen in state["windows"].items()}, state["crossed"]
        self._factor, self._good_at = state["factor"], state["good_at"]
        self._good_is_present = state["good_is_present"]
        self.learner.learning_rate *= self._factor

    def files(self) -> Mapping[str, bytes]:
        """Return the last good policy as a file; none if it is the policy of the checkpoint itself."""
        if self._good is None or self._good_is_present:
            return {}
        return {_GOOD: save({name: tensor.contiguous().cpu() for name, tensor in self._good.items()})}

    def load_files(self, folder: Place) -> None:
        """Read the last good policy; if it is that of the checkpoint, take it from the learner, which has it by now."""
        if self._good_is_present:
            self._good = self.learner.saved()
        elif (folder / _GOOD).exists():
            self._good = load((folder / _GOOD).read_bytes())

    def _look(self, seen: Mapping[str, float | None]) -> None:
        for name, value in seen.items():
            if value is not None:
                self._windows[name] = [*self._windows.get(name, ()), value][-self.settings.window :]

    def _beyond(self) -> dict[str, float]:
        """Return the means over full windows that are beyond their bounds, by name."""
        full = {name: seen for name, seen in self._windows.items() if len(seen) == self.settings.window}
        means = {name: sum(seen) / len(seen) for name, seen in full.items()}
        return {name: mean for name, mean in means.items() if self._is_beyond(name, mean)}

    def _is_good(self, watched: Mapping[str, float | None]) -> bool:
        """Return whether all windows are full and all newest values are within their bounds."""
        known = {name: value for name, value in watched.items() if value is not None}
        full = all(len(self._windows[name]) == self.settings.window for name in known)
        return bool(known) and full and not any(self._is_beyond(name, value) for name, value in known.items())

    def _is_beyond(self, name: str, mean: float) -> bool:
        if name == "kl_prior":
            return self.settings.max_kl_prior is not None and mean > self.settings.max_kl_prior
        return mean < float(getattr(self.settings, f"min_{name}"))

    def _act(self, iteration: int, beyond: Mapping[str, float]) -> dict[str, float | None]:
        window, action = self.settings.window, self.settings.action
        seen = ", ".join(f"{_SHOWN.get(name, name)} {mean:.3g}" for name, mean in beyond.items())
        why = f"the guard saw {seen} over {window} iterations"
        done: dict[str, float | None] = {}
        said = []
        if action == "stop":
            self._stopped = why
            said.append("the run ends")
        if action == "prior":
            self.learner.pull_to_prior(self.settings.pull)
            done["guard_pull"] = self.settings.pull
            said.append(f"the weights go {self.settings.pull:g} of the way to the prior")
        if action == "back":
            assert self._good is not None
            self.learner.go_back(self._good)
            done["guard_back_to"] = float(self._good_at)
            said.append(f"back to the policy after {self._good_at} iterations")
        if action != "stop" and self.settings.step_factor < 1:
            self._factor *= self.settings.step_factor
            self.learner.learning_rate *= self.settings.step_factor
            done["guard_learning_rate"] = self.learner.learning_rate
            said.append(f"the learning rate is now {self.learner.learning_rate:.3g}")
        self.tell(f"iteration {iteration}: {why}: {', '.join(said)}")
        return done


def _is_of(build: Build, policy_sha256: str | None) -> bool:
    return policy_sha256 is not None and build.policy_sha256 == policy_sha256 and len(build.samples) > 0


def _seen(builds: list[Build]) -> dict[str, float | None]:
    """Return the validity, uniqueness and entropy of the live rows of an iteration; None where undefined."""
    drawn = sum(len(build.samples) for build in builds)
    molecules = [text for build in builds for text in build.samples.smiles if text is not None]
    log_probs, tokens = 0.0, 0
    for build in builds:
        rows = build.samples.rows
        known = ~np.isnan(rows.log_probs).any(1)
        log_probs += float(rows.log_probs[known].sum(dtype=np.float64))
        tokens += int(rows.lengths[known].sum())
    return {
        "valid": len(molecules) / drawn if drawn else None,
        "unique": len(set(molecules)) / len(molecules) if molecules else None,
        "entropy": 0.0 - log_probs / tokens if tokens else None,
    }
