from .demo import demo_settings, print_report, run_demo
from .example_kinds import example_of_kinds
from .import_prior import import_reinvent_prior
from .pmo.archives import archive_runs
from .pmo.published import TUNING_TASKS
from .pmo.results import BenchResult, results_of_folder, rewards_of_calls
from .pmo.runs import BenchRun, check_bench_settings, in_order, run_one
from .pmo.tables import bench_table
from .pmo.workers import run_all
from .reinvent_config.convert import Conversion, convert_reinvent
from .reinvent_config.sections import STAND_IN
from .rescoring import newest_settings, rescore
from .sample_policy import draw, named_policy, quality
from .score_file import FileScorer, check_share, scoring_run, summary, with_columns_of_file
from .similar_pairs import PairSearch, pairs_of_file, rewards_of_objective, rewards_of_property

__all__ = [
    "STAND_IN",
    "TUNING_TASKS",
    "BenchResult",
    "BenchRun",
    "Conversion",
    "FileScorer",
    "PairSearch",
    "archive_runs",
    "bench_table",
    "check_bench_settings",
    "check_share",
    "convert_reinvent",
    "demo_settings",
    "draw",
    "example_of_kinds",
    "import_reinvent_prior",
    "in_order",
    "named_policy",
    "newest_settings",
    "pairs_of_file",
    "print_report",
    "quality",
    "rescore",
    "results_of_folder",
    "rewards_of_calls",
    "rewards_of_objective",
    "rewards_of_property",
    "run_all",
    "run_demo",
    "run_one",
    "scoring_run",
    "summary",
    "with_columns_of_file",
]
