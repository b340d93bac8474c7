"""Command-line tools that go with mxdl."""
