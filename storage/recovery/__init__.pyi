from .recover import RecoveryReport, Source, recover_store

__all__ = [
    "RecoveryReport",
    "Source",
    "recover_store",
]
