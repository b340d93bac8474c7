"""Where settings come from: a recipe's YAML with line numbers, overrides of the command line, and their order.

Order, later wins: default, recipe, file (`--config`), command line.  A layer that names another component for a section
(`optimizer.name`) drops what the layers before it said about that section, since those options belong to the old one.
"""
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .schema import SECTIONS


@dataclass(frozen=True)
class Source:
    """Where a value was written: a layer's name and, in a file, the line."""
    layer: str
    place: str = ""
    line: int = 0

    def __str__(self) -> str:
        return f"{self.place}:{self.line}" if self.line else self.place or self.layer


@dataclass(frozen=True)
class Setting:
    """A value as written; `is_text` marks one from the command line, which has yet to be parsed by its key's type."""
    value: Any
    source: Source
    is_text: bool = False


@dataclass(frozen=True)
class Problem:
    source: Source
    text: str

    def __str__(self) -> str:
        return f"{self.source}: {self.text}"


DROP = object()   # the value of `~key`


def _walk(node, prefix: str, loader, layer: str, place: str, out: dict[str, Setting], problems: list[Problem]) -> None:
    for key_node, value_node in node.value:
        source = Source(layer, place, key_node.start_mark.line + 1)
        key = f"{prefix}{key_node.value}"
        if isinstance(value_node, yaml.MappingNode):
            _walk(value_node, f"{key}.", loader, layer, place, out, problems)
            continue
        key = f"{key}.name" if key in SECTIONS else key
        if key in out:
            problems.append(Problem(source, f"{key}: given twice (first in line {out[key].source.line})"))
        out[key] = Setting(loader.construct_object(value_node, deep=True), source)


def read_yaml(text: str, layer: str, place: str) -> tuple[dict[str, Setting], list[Problem]]:
    """Flat settings `section.key` of a YAML text, each with its line; what is wrong with the text itself."""
    settings: dict[str, Setting] = {}
    problems: list[Problem] = []
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if isinstance(node, yaml.MappingNode):
            _walk(node, "", loader, layer, place, settings, problems)
        else:
            problems.append(Problem(Source(layer, place, 1), "must hold keys and values; got "
                                    + ("nothing" if node is None else "something else")))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        text = getattr(error, "problem", None) or str(error)
        problems.append(Problem(Source(layer, place, mark.line + 1 if mark else 1), f"not valid YAML: {text}"))
    finally:
        loader.dispose()
    return settings, problems


def read_file(path: Path, layer: str) -> tuple[dict[str, Setting], list[Problem]]:
    """Settings of a YAML file; files that it names under `extend` are found beside it."""
    try:
        settings, problems = read_yaml(path.read_text(encoding="utf-8"), layer, path.name)
        if (named := settings.get("extend")) and isinstance(named.value, list):
            files = [str(path.parent.resolve() / file) if isinstance(file, str) else file for file in named.value]
            settings["extend"] = Setting(files, named.source)
        return settings, problems
    except (OSError, UnicodeDecodeError) as error:
        return {}, [Problem(Source(layer, str(path)), f"cannot be read: {getattr(error, 'strerror', None) or error}")]


def read_overrides(words: list[str]) -> tuple[dict[str, Setting], list[Problem]]:
    """Settings of `key=value` and `~key` words."""
    settings: dict[str, Setting] = {}
    problems: list[Problem] = []
    for word in words:
        source = Source("command line", f"command line: {word}")
        key, equals, value = word.partition("=")
        if key.startswith("~") and not equals:
            settings[key[1:]] = Setting(DROP, source)
        elif equals and key:
            settings[f"{key}.name" if key in SECTIONS else key] = Setting(value, source, is_text=True)
        else:
            problems.append(Problem(source, "must be key=value, or ~key to go back to the default"))
    return settings, problems


def merge(layers: list[dict[str, Setting]]) -> tuple[dict[str, Setting], list[Problem]]:
    """One flat mapping of all layers, the later ones winning."""
    merged: dict[str, Setting] = {}
    problems: list[Problem] = []

    def drop(key: str) -> bool:
        doomed = [old for old in merged if old == key or old.startswith(f"{key}.")]
        for old in doomed:
            del merged[old]
        return bool(doomed)

    for layer in layers:
        for section in SECTIONS:
            if (named := layer.get(f"{section}.name")) and named.value is not DROP:
                drop(section)
        for key, setting in layer.items():
            if setting.value is not DROP:
                merged[key] = setting
            elif not drop(key):
                problems.append(Problem(setting.source, f"{key} is not set, so there is nothing to drop"))
    return merged, problems
