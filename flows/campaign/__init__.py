"""A campaign: the settings of a configuration as samplers, objective, pipeline and training over a store."""
