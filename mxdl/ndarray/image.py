"""``mx.nd.image``: filled from the operator registry (see register.py)."""
