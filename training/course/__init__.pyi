from .course import Course, Ending, Observer, StepTaken, course_state
from .guard import Guard
from .settings import GuardSettings, StageEndSettings, StopSettings
from .stage_end import STAGE, StageEnd
from .stops import CallsStop, PatienceStop, TimeStop

__all__ = [
    "STAGE",
    "CallsStop",
    "Course",
    "Ending",
    "Guard",
    "GuardSettings",
    "Observer",
    "PatienceStop",
    "StageEnd",
    "StageEndSettings",
    "StepTaken",
    "StopSettings",
    "TimeStop",
    "course_state",
]
