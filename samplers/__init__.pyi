from .base import Draw, Recall, Sampler, SamplerSize, encode_rows, tensors
from .builds.bad_rows import report_bad_rows, report_rows
from .builds.build import draw_build, evaluation_build, make_build
from .builds.build_spec import BuildSpec
from .builds.drawn_counts import DrawCounts
from .builds.judging import Pipeline
from .builds.metrics import with_new_counted
from .builds.oracle_calls import BUDGET, CallsOfTraining, OracleCalls, calls_before, calls_with_actors
from .builds.quotas import CHUNK_ROWS, TOLERANCE, batch_quotas
from .builds.rounds import REDRAW_ROUNDS
from .builds.screening import BuildPlace, Screener
from .builds.seen import SeenBefore, SeenMolecules, SeenWithActors
from .by_scaffold import ByScaffold
from .contrastive import ContrastiveSampler
from .dataset import DatasetSampler
from .devices import find_device
from .errors import ModelSizeError, SamplerError, SmilesFileError, UnknownTokenError
from .files.epochs import EpochPosition, epoch_sampler
from .files.text_files import FileRow, MoleculeTable, read_columns, read_molecule_table, read_smiles_file
from .graph_ga import GraphGASampler
from .history import HistorySampler, RunHistory
from .latent import LatentSampler
from .latents.decoding import DecodedLatents
from .latents.initial import latent_space, learnt_prior, learnt_vectors, new_prior, stored_latents, table_for
from .latents.lineage import latent_relatives
from .latents.priors import LatentPrior, NormalPrior, SphericalPrior
from .latents.source import LatentState, LatentTable, latent_files
from .latents.vectors import best_latents, best_molecules, encode_molecules, latent_model, read_vectors
from .model import ModelSampler
from .mutation import MutationSampler
from .pair_dataset import PairDatasetSampler
from .policies.drawing import draw_rows
from .policies.folders import check_policy_folder
from .policies.of_runs import OF_RUN, last_policy, policy_of_run
from .policies.policy import (
    Policy,
    bundled_policies,
    find_policy,
    fingerprint,
    load_policy,
    open_policy,
    policy_files,
    register_policy,
)
from .policies.reinvent import ReinventPrior, read_reinvent_prior, write_reinvent_prior
from .prior import PriorSampler
from .replay import expressible, randomised, stored_rows
from .scores.backlog import Backlog, WorkedOff
from .scores.expensive import ClaimTiming
from .scores.new_scores import unknown_scores
from .scores.renamed_molecules import RenamedMolecules, copy_scores_of_renamed
from .scores.scorer import Elsewhere, ScoredMolecules, Scorer, claimed_together
from .scores.stored_scores import SecondAttempt, check_stored_scores, score_again
from .seeds import cpu_generator, derive_seed, numpy_generator, torch_generator
from .tables.base import BEST, INNER_SAMPLER, RunParts, SamplerTable, TokenSource
from .tables.family import SAMPLERS, OuterTable
from .tables.latents import LatentSamplerTable, LearningKeys, PriorSamplerTable
from .tokens.grammars import GRAMMARS, SELFIES, SMILES, Grammar
from .tokens.vocabulary import END, PAD, RESERVED, START, Vocabulary

__all__ = [
    "BEST",
    "BUDGET",
    "CHUNK_ROWS",
    "END",
    "GRAMMARS",
    "INNER_SAMPLER",
    "OF_RUN",
    "PAD",
    "REDRAW_ROUNDS",
    "RESERVED",
    "SAMPLERS",
    "SELFIES",
    "SMILES",
    "START",
    "TOLERANCE",
    "Backlog",
    "BuildPlace",
    "BuildSpec",
    "ByScaffold",
    "CallsOfTraining",
    "ClaimTiming",
    "ContrastiveSampler",
    "DatasetSampler",
    "DecodedLatents",
    "Draw",
    "DrawCounts",
    "Elsewhere",
    "EpochPosition",
    "FileRow",
    "Grammar",
    "GraphGASampler",
    "HistorySampler",
    "LatentPrior",
    "LatentSampler",
    "LatentSamplerTable",
    "LatentState",
    "LatentTable",
    "LearningKeys",
    "ModelSampler",
    "ModelSizeError",
    "MoleculeTable",
    "MutationSampler",
    "NormalPrior",
    "OracleCalls",
    "OuterTable",
    "PairDatasetSampler",
    "Pipeline",
    "Policy",
    "PriorSampler",
    "PriorSamplerTable",
    "Recall",
    "ReinventPrior",
    "RenamedMolecules",
    "RunHistory",
    "RunParts",
    "Sampler",
    "SamplerError",
    "SamplerSize",
    "SamplerTable",
    "ScoredMolecules",
    "Scorer",
    "Screener",
    "SecondAttempt",
    "SeenBefore",
    "SeenMolecules",
    "SeenWithActors",
    "SmilesFileError",
    "SphericalPrior",
    "TokenSource",
    "UnknownTokenError",
    "Vocabulary",
    "WorkedOff",
    "batch_quotas",
    "best_latents",
    "best_molecules",
    "bundled_policies",
    "calls_before",
    "calls_with_actors",
    "check_policy_folder",
    "check_stored_scores",
    "claimed_together",
    "copy_scores_of_renamed",
    "cpu_generator",
    "derive_seed",
    "draw_build",
    "draw_rows",
    "encode_molecules",
    "encode_rows",
    "epoch_sampler",
    "evaluation_build",
    "expressible",
    "find_device",
    "find_policy",
    "fingerprint",
    "last_policy",
    "latent_files",
    "latent_model",
    "latent_relatives",
    "latent_space",
    "learnt_prior",
    "learnt_vectors",
    "load_policy",
    "make_build",
    "new_prior",
    "numpy_generator",
    "open_policy",
    "policy_files",
    "policy_of_run",
    "randomised",
    "read_columns",
    "read_molecule_table",
    "read_reinvent_prior",
    "read_smiles_file",
    "read_vectors",
    "register_policy",
    "report_bad_rows",
    "report_rows",
    "score_again",
    "stored_latents",
    "stored_rows",
    "table_for",
    "tensors",
    "torch_generator",
    "unknown_scores",
    "with_new_counted",
    "write_reinvent_prior",
]
