"""The report: one HTML file that says what runs did, for people, without a request to anywhere.

``blocks`` are what a section consists of, ``sections`` makes them of facts, ``report`` puts them together, and ``html``
writes the page from its template, with the style and the scripts inside.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
