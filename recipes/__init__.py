"""Recipes: YAML files plus small task classes, run by `mxdl train`."""
