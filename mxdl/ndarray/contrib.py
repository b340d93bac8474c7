"""``mx.nd.contrib``: filled from the operator registry (see register.py)."""
