from .batches.batch import TrainingBatch
from .batches.buffer import BUFFER, Buffer, BufferView
from .batches.in_flight import RowsInFlight, Waiting
from .batches.live_samplers import LiveSamplers
from .batches.loader import BatchPlan, MixedLoader
from .batches.mixed_batch import BatchOrigin
from .batches.rate_limit import RateLimit, least_tolerance
from .batches.replay import Replay, blind_part
from .batches.replayed_latents import ReplayedLatents
from .batches.stored_batches import StoredBatches
from .checkpoint import RunCheckpoints
from .course.best_agent import BestAgent
from .course.bonus_learning import BonusLearning
from .course.course import Course, Ending, Observer, StepTaken, course_state
from .course.guard import Guard
from .course.others_finds import OthersFinds
from .course.settings import GuardSettings, StageEndSettings, StopSettings
from .course.stage_end import STAGE, StageEnd
from .course.stops import CallsStop, PatienceStop, TimeStop
from .diversity.memory import BEFORE_THE_RUN, DiversityMemory
from .diversity.settings import DiversitySettings
from .errors import BatchShortError, TooFewRowsError, UnsuitableDataError
from .evaluation import (
    DrawEvaluation,
    MoleculeQuality,
    bootstrap_difference,
    evaluate_policy,
    mean_of_best,
    molecule_quality,
)
from .fit.held_out import HeldOutQuality, held_out_batches, held_out_quality
from .fit.history_writer import HistoryWriter
from .fit.learner import Learner
from .fit.loop import FitProgress, commit_checkpoint, fit_policy
from .fit.settings import AutoPrecision, LearnerSettings
from .fit.trainables import Trainable, Trainables
from .latents.trainers import LatentTrainerSettings, PriorTrainer, VectorTrainer
from .losses import BASELINES, LOSSES, Loss, Reinvent, ScoredSequences, StatefulLoss, ValidOn, conservative
from .off_policy import OffPolicyEstimate, off_policy_estimate
from .pretraining.corpus import clean_molecules
from .pretraining.data import PretrainData, check_columns, data_of
from .pretraining.objectives import pretraining_loss
from .pretraining.pretrain import MoleculeLoss, PretrainProgress, pretrain
from .pretraining.settings import TRANSFER, Columns, PretrainSettings
from .pretraining.transfer import BeforeTransfer

__all__ = [
    "BASELINES",
    "BEFORE_THE_RUN",
    "BUFFER",
    "LOSSES",
    "STAGE",
    "TRANSFER",
    "AutoPrecision",
    "BatchOrigin",
    "BatchPlan",
    "BatchShortError",
    "BeforeTransfer",
    "BestAgent",
    "BonusLearning",
    "Buffer",
    "BufferView",
    "CallsStop",
    "Columns",
    "Course",
    "DiversityMemory",
    "DiversitySettings",
    "DrawEvaluation",
    "Ending",
    "FitProgress",
    "Guard",
    "GuardSettings",
    "HeldOutQuality",
    "HistoryWriter",
    "LatentTrainerSettings",
    "Learner",
    "LearnerSettings",
    "LiveSamplers",
    "Loss",
    "MixedLoader",
    "MoleculeLoss",
    "MoleculeQuality",
    "Observer",
    "OffPolicyEstimate",
    "OthersFinds",
    "PatienceStop",
    "PretrainData",
    "PretrainProgress",
    "PretrainSettings",
    "PriorTrainer",
    "RateLimit",
    "Reinvent",
    "Replay",
    "ReplayedLatents",
    "RowsInFlight",
    "RunCheckpoints",
    "ScoredSequences",
    "StageEnd",
    "StageEndSettings",
    "StatefulLoss",
    "StepTaken",
    "StopSettings",
    "StoredBatches",
    "TimeStop",
    "TooFewRowsError",
    "Trainable",
    "Trainables",
    "TrainingBatch",
    "UnsuitableDataError",
    "ValidOn",
    "VectorTrainer",
    "Waiting",
    "blind_part",
    "bootstrap_difference",
    "check_columns",
    "clean_molecules",
    "commit_checkpoint",
    "conservative",
    "course_state",
    "data_of",
    "evaluate_policy",
    "fit_policy",
    "held_out_batches",
    "held_out_quality",
    "least_tolerance",
    "mean_of_best",
    "molecule_quality",
    "off_policy_estimate",
    "pretrain",
    "pretraining_loss",
]
