"""``mx.sym.linalg``: filled from the operator registry (see register.py)."""
