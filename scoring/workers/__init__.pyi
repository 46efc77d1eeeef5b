from .pool import map_chunks

__all__ = [
    "map_chunks",
]
