"""The commit protocol, and what is written and read by it: builds, runs, scores, rewards and checkpoints."""
