"""The PMO benchmark: campaigns on its tasks, each in a store of its own, and the table of their results."""
