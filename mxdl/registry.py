"""Names for the classes of a family (initializers, metrics, ...), and making one from a name or a JSON text."""
from __future__ import annotations

import json
from collections.abc import Callable

from .errors import suggest

_classes: dict[type, dict[str, type]] = {}


def get_registry(base_class: type) -> dict[str, type]:
    """A copy of the names registered for `base_class`: lower-case name -> class."""
    return dict(_classes.get(base_class, {}))


def get_register_func(base_class: type, nickname: str) -> Callable:
    """The decorator that registers subclasses of `base_class`, under their own name or one that is given."""
    known = _classes.setdefault(base_class, {})

    def register(klass: type, name: str | None = None) -> type:
        if not (isinstance(klass, type) and issubclass(klass, base_class)):
            raise TypeError(f"register: a {nickname} must derive from {base_class.__name__}; got {klass!r}")
        known[(name or klass.__name__).lower()] = klass
        return klass

    register.__doc__ = f"Registers a {nickname} under its class name, in lower case."
    return register


def get_alias_func(base_class: type, nickname: str) -> Callable:
    """The decorator factory that registers subclasses of `base_class` under further names."""
    register = get_register_func(base_class, nickname)

    def alias(*names: str) -> Callable[[type], type]:
        def add(klass: type) -> type:
            for name in names:
                register(klass, name)
            return klass
        return add

    alias.__doc__ = f"Registers a {nickname} under each of the names given."
    return alias


def get_create_func(base_class: type, nickname: str) -> Callable:
    """The function that makes an instance from a name and arguments, a JSON text, a dict, or returns an instance."""
    known = _classes.setdefault(base_class, {})

    def create(*args, **kwargs):
        name, args = (args[0], args[1:]) if args else (kwargs.pop(nickname, None), ())
        if isinstance(name, base_class):
            if args or kwargs:
                raise ValueError(f"create: {name!r} is a {nickname} already; further arguments have no meaning")
            return name
        if isinstance(name, dict):
            return create(**name)
        if not isinstance(name, str):
            raise TypeError(f"create: a {nickname} is given by its name; got {name!r}")
        if name.startswith("["):
            name, kwargs = json.loads(name)
            return create(name, **kwargs)
        if name.startswith("{"):
            return create(**json.loads(name))
        if name.lower() not in known:
            raise ValueError(f"create: no {nickname} is called {name!r}; there are {', '.join(sorted(known))}"
                             f"{suggest(name.lower(), known)}")
        return known[name.lower()](*args, **kwargs)

    create.__doc__ = f"The {nickname} of that name, made with these arguments; an instance is returned as it is."
    return create
