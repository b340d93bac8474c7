"""``mx.sym.image``: filled from the operator registry (see register.py)."""
