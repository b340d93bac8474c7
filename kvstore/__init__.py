"""A parameter store behind a small protocol; imports nothing of mxdl."""
