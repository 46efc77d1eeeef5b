"""Upkeep while others read and write: compaction, expiry of snapshots, vacuum, and the pins that hold them back."""
