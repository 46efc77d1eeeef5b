"""Prefect flows, their tasks, the configuration, and the command line.

The five flows are the modules at the top: ``build_buffer``, ``train``, ``train_offline``, ``pretrain``, ``maintain``.
``work`` holds the bodies of the flows, which the commands also call without Prefect. ``settings`` checks a
configuration, ``campaign`` makes objects of it, ``tasks`` makes the parts of builds in Prefect tasks, ``deployments``
holds the scheduled flows and registers them with a Prefect server, ``artifacts`` makes what the server's pages show,
``tools`` does the work of commands without a flow, and ``cli`` holds the commands.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
