"""Vision data sets and transforms."""
