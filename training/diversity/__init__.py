"""The diversity memory: the molecules that a run has found by buckets, and what the learner is given for one more."""
