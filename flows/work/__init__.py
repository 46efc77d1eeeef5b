"""What the flows of a campaign do, whoever runs them: Prefect, or a command without it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
