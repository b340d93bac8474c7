"""Recording scopes, the tape, custom functions."""
