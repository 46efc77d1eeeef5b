"""molbuffer: a streaming data pipeline on a persistent store for reinforcement learning of molecule generators.

The rooms are the packages ``molbuffer.storage``, ``molbuffer.scoring``, ``molbuffer.samplers``, ``molbuffer.training``
and ``molbuffer.flows``. In a checkout they are folders at the top, and links lead to them from here.
"""
