"""``mx.nd.sparse``: filled from the operator registry (see register.py)."""
