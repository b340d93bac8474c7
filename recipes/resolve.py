"""From layers of settings to a checked Recipe: every mistake is found, and all are told at once."""
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

from mxdl.errors import MXNetError, suggest

from . import check
from .components import REQUIRED, Option, registered
from .extend import load_files
from .layers import Problem, Setting, Source, merge, read_file, read_overrides
from .schema import SECTIONS, Choice, Recipe

_GROUPS = {name: cls for name, cls in get_type_hints(Recipe).items()
           if dataclasses.is_dataclass(cls) and cls is not Choice}
_DEFAULT_NAMES = {"schedule": "constant"}


class RecipeError(MXNetError, ValueError):
    """A recipe cannot be used; the text lists every reason, one a line.

    Cause: an unknown key, a value of the wrong type, a missing key, or a YAML file that is not one.
    Example: `mxdl train vision/lenet_digits train.epoch=3`.  Fix: the text names the nearest valid key.
    """

    def __init__(self, title: str, problems: list[Problem]):
        self.problems = problems
        count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        super().__init__(f"{title}: {count}\n" + "\n".join(f"  {problem}" for problem in problems))


@dataclass(frozen=True)
class Resolved:
    """A checked recipe, with the source and the meaning of every key."""
    name: str
    recipe: Recipe
    values: dict[str, Any]
    sources: dict[str, Source]
    options: dict[str, Option]


def _fields(cls, prefix: str = "") -> dict[str, Option]:
    hints = get_type_hints(cls, include_extras=True)
    return {prefix + f.name: Option(hints[f.name], f.default, f.metadata["meaning"])
            for f in dataclasses.fields(cls) if "meaning" in f.metadata}


def _component(settings: dict[str, Setting], section: str):
    """The component that these settings name for a section; None where they name none that exists."""
    name = settings[f"{section}.name"].value if f"{section}.name" in settings else _DEFAULT_NAMES.get(section)
    return registered(section).get(name) if isinstance(name, str) else None


def _known_keys(settings: dict[str, Setting], problems: list[Problem]) -> tuple[dict[str, Option], set[str]]:
    """Every key that these settings may have, and the sections whose component is not known."""
    known = _fields(Recipe)
    for group, cls in _GROUPS.items():
        known |= _fields(cls, f"{group}.")
    task, unknown_sections = _component(settings, "task"), set()
    for section in SECTIONS:
        known[f"{section}.name"] = Option(str, _DEFAULT_NAMES.get(section, REQUIRED), f"which {section}")
        component, setting = _component(settings, section), settings.get(f"{section}.name")
        if component is None:
            unknown_sections.add(section)
            if setting:
                names = sorted(registered(section))
                problems.append(Problem(setting.source, f"{section}: there is no {section} named {setting.value!r}"
                                        f"{suggest(str(setting.value), names)} (there are: {', '.join(names)})"))
            continue
        if setting and task and component.task not in ("", task.name):
            problems.append(Problem(setting.source, f"{section}: {component.name!r} is for the task "
                                                    f"{component.task!r}, not {task.name!r}"))
        known |= {f"{section}.{key}": option for key, option in component.options().items()}
    return known, unknown_sections


def _unknown_key(key: str, known: dict[str, Option]) -> str:
    """What to say of a key that does not exist: the nearest in its own section first, then anywhere."""
    if key in _GROUPS:
        return f"{key}: holds keys of its own ({', '.join(_fields(_GROUPS[key]))}), not one value"
    section, dot, last = key.rpartition(".")
    siblings = {name[len(section) + 1:]: name for name in known if dot and name.startswith(f"{section}.")}
    hint = suggest(last, siblings)
    if not hint:
        whole = suggest(key, known) or suggest(f"train.{last}", known)
        hint = whole or (f"; {section} has: {', '.join(siblings)}" if siblings else
                         f"; there are: {', '.join(sorted({name.partition('.')[0] for name in known}))}")
    return f"{key}: unknown key{hint}"


def _assemble(values: dict[str, Any]) -> Recipe:
    def under(heading: str) -> dict[str, Any]:
        return {key.partition(".")[2]: value for key, value in values.items() if key.startswith(f"{heading}.")}

    parts: dict[str, Any] = {name: value for name, value in values.items() if "." not in name}
    for section in SECTIONS:
        options = under(section)
        parts[section] = Choice(options.pop("name"), options)
    return Recipe(**parts, **{group: cls(**under(group)) for group, cls in _GROUPS.items()})


def resolve_settings(name: str, layers: list[dict[str, Setting]], problems: list[Problem]) -> Resolved:
    """A checked recipe from layers of settings.  Raises RecipeError with every problem, those given included."""
    settings, more = merge(layers)
    problems = [*problems, *more, *load_files(settings.get("extend"))]
    known, unknown_sections = _known_keys(settings, problems)
    values: dict[str, Any] = {}
    sources: dict[str, Source] = {}
    for key, setting in settings.items():
        if key not in known:
            if key.partition(".")[0] not in unknown_sections:
                problems.append(Problem(setting.source, _unknown_key(key, known)))
            continue
        try:
            read = check.parse if setting.is_text else check.convert
            values[key], sources[key] = read(setting.value, known[key].annotation), setting.source
        except ValueError as error:
            problems.append(Problem(setting.source, f"{key}: {error}"))
    for key, option in known.items():
        if key in settings:
            continue
        if option.default is REQUIRED:
            wanted = check.describe(option.annotation)
            problems.append(Problem(Source("recipe", name), f"{key}: missing; it must be {wanted}"))
        values[key], sources[key] = option.default, Source("default")
    if problems:
        order = sorted(problems, key=lambda p: (p.source.layer != "recipe", p.source.place, p.source.line))
        raise RecipeError(name, order)
    recipe = _assemble(values)
    measures = registered("task")[recipe.task.name].build.measures
    if recipe.expect.metric and recipe.expect.metric not in measures:
        raise RecipeError(name, [Problem(sources["expect.metric"], f"expect.metric: {recipe.task.name} has no measure "
                                         f"{recipe.expect.metric!r}; it has: {', '.join(measures)}")])
    return Resolved(name, recipe, {key: values[key] for key in known if key in values}, sources, known)


def resolve(path: Path, name: str, overrides: list[str] = (), files: list[Path] = ()) -> Resolved:
    """The recipe of a YAML file, with further files and command-line overrides laid over it."""
    layers, problems = [], []
    for settings, found in (read_file(path, "recipe"), *(read_file(extra, "file") for extra in files),
                            read_overrides(list(overrides))):
        layers.append(settings)
        problems += found
    return resolve_settings(name, layers, problems)
