"""The fit loop of a training: the learner, other trainables, conditioning, and the writer of the history."""
