"""An example package with a sampler, a model, a loss and a score component for molbuffer.

pip install examples/plugin
molbuffer kinds
molbuffer pretrain molecules.smi --model ngram --store lab
molbuffer run examples/plugin/campaign.toml --store lab
"""
