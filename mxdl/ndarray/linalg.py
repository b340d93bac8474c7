"""``mx.nd.linalg``: filled from the operator registry (see register.py)."""
