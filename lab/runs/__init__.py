"""The runs of a lab, which ``Lab.run`` yields.

``lab_run`` is the run, ``samplers`` has its samplers and their builds, ``position`` its progress, ``statements`` the
record of its builds and trainings, and ``results`` the results of its trainings.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
