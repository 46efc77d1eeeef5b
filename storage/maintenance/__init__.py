"""Maintenance while others read and write: compaction, expiry of snapshots, vacuum, and what pins a snapshot."""
