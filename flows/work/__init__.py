"""The bodies of a campaign's flows, which Prefect or a command without Prefect runs."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
