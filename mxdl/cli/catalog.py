"""What there is to train:  mxdl list   mxdl list models"""
import argparse
import json

NAME = "list"
SUMMARY = "recipes, and the models, data sets, optimizers and schedules they may name"
_SECTIONS = {"models": "model", "data": "data", "optimizers": "optimizer", "schedules": "schedule", "tasks": "task"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", nargs="?", default="recipes", choices=["recipes", *_SECTIONS])
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")


def _recipes() -> list[dict[str, str]]:
    from mxdl.recipes import catalog
    from mxdl.recipes.resolve import resolve
    rows = []
    for name, path in catalog.recipes().items():
        recipe = resolve(path, name).recipe
        expect = "" if recipe.expect.value is None else f"{recipe.expect.metric} {recipe.expect.value:g}"
        rows.append({"name": name, "summary": recipe.summary, "expect": expect})
    return rows


def _components(section: str) -> list[dict[str, str]]:
    from mxdl.recipes.components import REQUIRED, registered
    return [{"name": found.name, "summary": found.summary,
             "options": ", ".join(name if option.default is REQUIRED else f"{name}={option.default}"
                                  for name, option in found.options().items())}
            for _, found in sorted(registered(section).items())]


def run(args: argparse.Namespace) -> None:
    rows = _recipes() if args.what == "recipes" else _components(_SECTIONS[args.what])
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        if args.json:
            print(json.dumps(row))
            continue
        name, summary, last = row.values()
        print(f"{name:{width}}  {summary}" + (f"  ({last})" if last else ""))
