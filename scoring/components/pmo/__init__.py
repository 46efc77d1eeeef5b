"""The objectives of the PMO benchmark that need no trained model: ``component`` has the kind, ``tasks`` all of them."""
