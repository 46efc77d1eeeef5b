"""The report: one HTML file that describes runs for people, and makes no network requests.

``blocks`` are the parts of a section, ``sections`` makes them of facts, ``report`` assembles the sections, and ``html``
writes the page from its template, with the style and the scripts inside.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
