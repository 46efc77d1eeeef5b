"""Deployments of a campaign: the flows that a Prefect server runs at night, and what keeps them in order.

``night_flows`` are the flows, ``parameters`` their forms, ``plans`` what is registered of a campaign, ``deploy`` does
so, ``automations`` and ``dead_runs`` close runs whose process is gone, and ``check`` says what a night lacks.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
