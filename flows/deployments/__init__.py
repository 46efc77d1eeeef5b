"""Deployments of a campaign: the flows that a Prefect server runs on a schedule, and the automations that close them.

``night_flows`` has the flows, ``parameters`` their forms, ``plans`` the deployments as plain data, ``deploy`` registers
these, ``automations`` and ``dead_runs`` close runs whose process has died, and ``check`` reports what runs still need.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
