"""Worker processes that share the scoring of many molecules."""
