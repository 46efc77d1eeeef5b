"""The objectives of the PMO benchmark that need no trained model: ``tasks`` defines them, ``component`` scores them."""
