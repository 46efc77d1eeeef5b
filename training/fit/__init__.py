"""The fit loop: the learner, other trainables, conditioning, and the history that a run writes."""
