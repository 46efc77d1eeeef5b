"""Kinds: the classes that a configuration names by ``kind``, molbuffer's own and those of other packages alike.

A kind is a class, most often a frozen dataclass, whose fields are the keys of its table in a configuration. ``family``
finds the kinds of a family by entry points, ``keys`` has the markers with which a field's annotation describes its
key, ``table`` makes the checked table of a class, ``python_object`` makes the table of a class in a user's file, and
``python_source`` reads and hashes the source of kinds.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
