from .course import Course, Ending, Observer, StepTaken, course_state
from .settings import StopSettings
from .stops import CallsStop, PatienceStop, TimeStop

__all__ = [
    "CallsStop",
    "Course",
    "Ending",
    "Observer",
    "PatienceStop",
    "StepTaken",
    "StopSettings",
    "TimeStop",
    "course_state",
]
