"""Text: language models."""
from . import datasets, language_model, models

__all__ = ["datasets", "language_model", "models"]
