from .demo import demo_settings, print_report, run_demo
from .example_kinds import example_of_kinds
from .import_prior import import_reinvent_prior
from .rescoring import newest_settings, rescore
from .sample_policy import draw, named_policy, quality
from .score_file import FileScorer, check_share, scoring_run, summary, with_columns_of_file
from .similar_pairs import PairSearch, pairs_of_file, rewards_of_objective, rewards_of_property

__all__ = [
    "FileScorer",
    "PairSearch",
    "check_share",
    "demo_settings",
    "draw",
    "example_of_kinds",
    "import_reinvent_prior",
    "named_policy",
    "newest_settings",
    "pairs_of_file",
    "print_report",
    "quality",
    "rescore",
    "rewards_of_objective",
    "rewards_of_property",
    "run_demo",
    "scoring_run",
    "summary",
    "with_columns_of_file",
]
