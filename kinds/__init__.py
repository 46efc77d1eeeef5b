"""Kinds: what a configuration names by ``kind``, ours and others' alike.

A kind is a class, most often a frozen dataclass, whose fields are the keys of its table in a configuration. ``family``
finds the kinds of a family by entry points, ``keys`` has what a field's annotation may say of its key, ``table`` makes
the checked table of a class, ``python_object`` that of a class in a file of the user, and ``python_source`` reads and
hashes the source of both.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
