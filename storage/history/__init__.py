"""The history as training reads it: the index of stored rows, selections from it, the decoded cache of arrays."""
