"""Pictures: classification."""
from . import classification, datasets, models

__all__ = ["classification", "datasets", "models"]
