"""The work of commands without a flow: score or draw molecules, find pairs, import a prior, the demonstration."""
