"""A run of a lab, as the context that ``Lab.run`` gives.

``lab_run`` is the run, ``samplers`` are those that it has and what each has built, ``position`` is how far it has come,
``statements`` are what it is given, and ``results`` what its trainings return.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
