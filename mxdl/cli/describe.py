"""Every key of a recipe or a run: its value, where the value comes from, and what the key means.

    mxdl describe vision/lenet_digits train.epochs=3
Later wins: default, recipe, file (--config), command line.
"""
import argparse
import json
from pathlib import Path

NAME = "describe"
SUMMARY = "the resolved recipe, with where each value comes from"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", metavar="RECIPE|RUN", help="a recipe's name or file, or a run's folder")
    parser.add_argument("overrides", metavar="key=value", nargs="*", help="values that replace the recipe's")
    parser.add_argument("--config", metavar="FILE", type=Path, action="append", default=[],
                        help="a YAML file laid over the recipe (may be given several times)")
    parser.add_argument("--changed", action="store_true", help="leave out the keys that have their default")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")


def run(args: argparse.Namespace) -> None:
    from mxdl.recipes import catalog
    from mxdl.recipes.check import describe
    from mxdl.recipes.resolve import resolve
    from mxdl.recipes.run import Run
    if Run.is_one(args.recipe):
        resolved, heading = Run.open(args.recipe).resolved(args.overrides, args.config), []
    else:
        name, path = catalog.find(args.recipe)
        resolved, heading = resolve(path, name, args.overrides, args.config), catalog.header(path)
    if heading and not args.json:
        print("\n".join(heading) + "\n")
    keys = [key for key in resolved.values if not args.changed or resolved.sources[key].layer != "default"]
    rows = [(key, json.dumps(resolved.values[key]), str(resolved.sources[key]), resolved.options[key].meaning
             or describe(resolved.options[key].annotation)) for key in keys]
    if args.json:
        for key, _, source, meaning in rows:
            print(json.dumps({"key": key, "value": resolved.values[key], "source": source,
                              "layer": resolved.sources[key].layer, "meaning": meaning}))
        return
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row in rows:
        print("  ".join(f"{cell:{width}}" for cell, width in zip(row[:3], widths, strict=True)), f" {row[3]}")
