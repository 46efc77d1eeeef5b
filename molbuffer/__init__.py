"""molbuffer: a streaming data pipeline on a persistent store for reinforcement learning of molecule generators.

    import molbuffer as mb

    lab = mb.open("lab")
    with lab.run("notebook", objective=mb.Objective([mb.QED()]), policy="zinc-gru", seed=0) as run:
        run.build(mb.ModelSampler("agent", run.agent), n=256)
        run.train(batch_size=64, iterations=50, samplers={"agent": 0.5})
    lab.query("SELECT smiles, reward FROM top_molecules LIMIT 5")

The names here are what most work from Python needs, and each is imported when it is first used; docs/how-to/python.md
leads through them. The rooms have the others: ``molbuffer.storage``, ``molbuffer.scoring``, ``molbuffer.samplers``,
``molbuffer.training``, ``molbuffer.lab`` and ``molbuffer.flows``. In a checkout they are folders at the top, and
links lead to them from here.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
