"""What training reads: the index of stored rows, selections from it, and the decoded cache of their arrays."""
