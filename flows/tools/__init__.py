"""What commands do without a flow: score or draw molecules, find pairs, import a prior, the demonstration."""
