"""Named parts of recipes: tasks, models, data sets, optimizers, schedules.

A component is a function (or class) whose keyword-only parameters, typed and with defaults, are the options that a
recipe may give; a parameter without a default must be given.  Registering one costs an import of this module only: the
bodies import mxdl when they are called, so recipes are checked without loading the engine.

    @component("model")
    def lenet(facts, *, dropout: Fraction = 0.0):
        '''LeCun's convolutional net.'''
        from mxdl.gluon import nn
        ...

A file of a user's own registers the same way (`from mxdl.recipes.components import component`); a recipe names it under
`extend`.
"""
import functools
import importlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_type_hints

from .schema import SECTIONS

REQUIRED = inspect.Parameter.empty


@dataclass(frozen=True)
class Option:
    """One key: its type, its default (or REQUIRED) and its meaning."""
    annotation: Any
    default: Any
    meaning: str = ""


@dataclass(frozen=True)
class Component:
    section: str
    name: str
    build: Callable
    task: str = ""   # the only task that can use it; empty is any

    @property
    def summary(self) -> str:
        return (inspect.getdoc(self.build) or "").partition("\n")[0]

    def options(self) -> dict[str, Option]:
        """The keyword-only parameters of the function, or of the class's __init__."""
        function = self.build.__init__ if inspect.isclass(self.build) else self.build
        hints = get_type_hints(function, include_extras=True)
        return {name: Option(hints[name], parameter.default)
                for name, parameter in inspect.signature(function).parameters.items()
                if parameter.kind is parameter.KEYWORD_ONLY}


_registry: dict[str, dict[str, Component]] = {section: {} for section in SECTIONS}


def component(section: str, name: str = "", task: str = ""):
    """Registers a function or class under `section` by `name` (default: its own), for one task or for all.

    Raises ValueError when the name is taken.
    """
    def register(build):
        label = name or build.__name__
        taken = _registry[section].get(label)
        if taken and taken.build.__module__ != build.__module__:
            raise ValueError(f"{section} {label!r}: registered twice, by {taken.build.__module__} and "
                             f"{build.__module__}; choose another name")
        _registry[section][label] = Component(section, label, build, task)
        return build
    return register


@functools.cache
def _load_own() -> None:
    """Imports the packages beside this file; each registers its components."""
    package = __name__.rpartition(".")[0]
    for found in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if found.ispkg:
            importlib.import_module(f"{package}.{found.name}")


def registered(section: str) -> dict[str, Component]:
    """The components of a section by name."""
    _load_own()
    return _registry[section]


def build(section: str, choice, *args):
    """Calls the component that `choice` names, with its options after `args`."""
    return registered(section)[choice.name].build(*args, **choice.options)
