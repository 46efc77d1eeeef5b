from .vina import Vina

__all__ = ["Vina"]
