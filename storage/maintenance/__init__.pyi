from .maintenance import Maintenance
from .pins import snapshot_kept
from .snapshots import Snapshot, list_snapshots
from .vacuum import GRACE

__all__ = [
    "GRACE",
    "Maintenance",
    "Snapshot",
    "list_snapshots",
    "snapshot_kept",
]
