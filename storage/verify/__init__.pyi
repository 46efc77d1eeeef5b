from .archives import check_content
from .quarantine import QuarantineReceipt
from .report import Findings, VerifyReport
from .verify import verify_store

__all__ = [
    "Findings",
    "QuarantineReceipt",
    "VerifyReport",
    "check_content",
    "verify_store",
]
