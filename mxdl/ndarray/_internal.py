"""Operators whose names begin with an underscore: filled from the operator registry (see register.py)."""
