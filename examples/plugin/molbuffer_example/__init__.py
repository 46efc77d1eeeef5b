"""A sampler, a model, a loss and a score component for molbuffer, in a package of their own.

pip install examples/plugin
molbuffer kinds
molbuffer pretrain molecules.smi --model ngram --store lab
molbuffer run examples/plugin/campaign.toml --store lab
"""
