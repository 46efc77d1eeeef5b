"""The Prefect tasks, their requests, and the workers that make parts of builds."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
