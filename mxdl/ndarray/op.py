"""Every public operator as a function: filled from the operator registry (see register.py)."""
