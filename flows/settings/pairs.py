"""The ``[contrastive]`` table: which pairs of a source and a target are kept, and what they are worth."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from molbuffer.flows.settings.base import Buildable, Share
from molbuffer.flows.settings.filters import FilterSettings
from molbuffer.scoring import ContrastiveTemplate


class ContrastiveSettings(Buildable):
    """What contrastive samplers draw is judged by it, in builds of the buffer and in batches alike."""

    source_filters: Annotated[tuple[FilterSettings, ...], Field(strict=False)] = ()
    """What refuses a source, as in the filters of the campaign, which are those of targets."""

    min_similarity: Share = 0.0
    """The least similarity of source and target, inclusive, in [0, 1]."""

    max_similarity: Share = 1.0
    """The greatest, inclusive; with 1 a target may be its source."""

    fingerprint: Literal["morgan", "fcfp", "atom_pair"] = "morgan"
    """What similarity is of: count fingerprints of this kind."""

    radius: Annotated[int, Field(ge=0, le=10)] = 2
    """Bonds from the centre of an environment to its rim; not for atom_pair."""

    min_improvement: Annotated[float, Field(ge=-1, le=1)] | None = None
    """The least reward of the target less that of the source, inclusive; default: any."""

    scaled: bool = False
    """The reward of a pair. false: that of the target less that of the source; true: this divided by the room there
    was, so that 1 is the best there can be and -1 the worst."""

    def build(self) -> ContrastiveTemplate:
        return ContrastiveTemplate(
            tuple(each.build() for each in self.source_filters),
            self.min_similarity,
            self.max_similarity,
            self.fingerprint,
            self.radius,
            self.min_improvement,
            self.scaled,
        )
