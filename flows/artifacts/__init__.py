"""What Prefect's page of a flow run shows of a run: log lines, its progress, tables, the best molecules, a curve.

``tables`` and ``pictures`` make texts of the facts of ``molbuffer.pages``; ``shown`` publishes them while a run goes on
and at its end, and never lets a failure of its own end a run.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
