from .chart import SCHEME, Chart, short_labels
from .learning import calls_chart, metric_chart, reward_chart
from .molecules import (
    map_chart,
    neighbour_chart,
    reward_histogram,
    scaffold_chart,
    shortened,
    tradeoff_chart,
    transform_chart,
)
from .over_time import outcomes_chart, sampler_chart, shares_chart

__all__ = [
    "SCHEME",
    "Chart",
    "calls_chart",
    "map_chart",
    "metric_chart",
    "neighbour_chart",
    "outcomes_chart",
    "reward_chart",
    "reward_histogram",
    "sampler_chart",
    "scaffold_chart",
    "shares_chart",
    "short_labels",
    "shortened",
    "tradeoff_chart",
    "transform_chart",
]
