"""Packaging: the folders kvstore, recipes and tools install as mxdl.kvstore, mxdl.recipes and mxdl.tools.

So no generic name lands in a user's environment. Everything else is in pyproject.toml.
"""
from setuptools import find_packages, setup

FOLDERS = ("kvstore", "recipes", "tools")


def packages() -> list[str]:
    inside = [f"mxdl.{folder}" for folder in FOLDERS]
    inside += [f"mxdl.{folder}.{name}" for folder in FOLDERS for name in find_packages(folder)]
    return find_packages(include=["mxdl", "mxdl.*"]) + inside


setup(
    packages=packages(),
    package_dir={f"mxdl.{folder}": folder for folder in FOLDERS},
    package_data={
        "mxdl": ["**/*.in"],
        "mxdl.recipes": ["**/*.yaml"],
        "mxdl.tools": ["**/*.in"],
    },
)
