"""Prefect flows, their tasks, the configuration, and the command line.

The five flows are the modules at the top: ``build_buffer``, ``train``, ``train_offline``, ``pretrain``, ``maintain``.
``work`` has what they do, which commands also do without Prefect. ``settings`` checks a configuration, ``campaign``
makes objects of it, ``tasks`` holds the parts of builds and the Prefect tasks that make them, ``deployments`` the flows
of nights and what a server is told of them, ``artifacts`` what its pages show, ``tools`` the work of commands without a
flow, and ``cli`` the commands.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
