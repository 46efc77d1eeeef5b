from .automations import crashed_runs, register_automation, register_automations, silent_runs
from .check import Looked, look
from .dead_runs import Agreement, agree
from .deploy import made_deployment, ready_pool, refuse_other_store, register, serve_plans, server, server_url
from .host_files import LocalFile, local_files
from .names import HEARTBEAT_SECONDS, POOL, silence_seconds, slug
from .plans import BUILD, DEAD_RUNS, FLOWS, Nights, Planned, as_yaml, planned

__all__ = [
    "BUILD",
    "DEAD_RUNS",
    "FLOWS",
    "HEARTBEAT_SECONDS",
    "POOL",
    "Agreement",
    "LocalFile",
    "Looked",
    "Nights",
    "Planned",
    "agree",
    "as_yaml",
    "crashed_runs",
    "local_files",
    "look",
    "made_deployment",
    "planned",
    "ready_pool",
    "refuse_other_store",
    "register",
    "register_automation",
    "register_automations",
    "serve_plans",
    "server",
    "server_url",
    "silence_seconds",
    "silent_runs",
    "slug",
]
