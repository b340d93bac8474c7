"""Packaging of mxdl: the top-level folders kvstore, recipes and tools install as mxdl.kvstore, mxdl.recipes, mxdl.tools."""
from setuptools import find_packages, setup

FOLDERS = ("kvstore", "recipes", "tools")


def packages() -> list[str]:
    inside = [f"mxdl.{folder}" for folder in FOLDERS]
    inside += [f"mxdl.{folder}.{name}" for folder in FOLDERS for name in find_packages(folder)]
    return find_packages(include=["mxdl", "mxdl.*"]) + inside


setup(
    packages=packages(),
    package_dir={f"mxdl.{folder}": folder for folder in FOLDERS},
    include_package_data=True,
    package_data={"mxdl.recipes": ["**/*.yaml"], "mxdl": ["**/*.c.in", "**/*.h.in"]},
)
