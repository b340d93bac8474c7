"""Measure a trained model on the held-out data:  mxdl eval runs/vision-lenet_digits-...

Given a recipe's name, takes its newest run under ./runs.
"""
import argparse
import json

NAME = "eval"
SUMMARY = "measure a run on the held-out data"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="RUN|RECIPE", help="a run's folder, or a recipe's name for its newest run")
    parser.add_argument("overrides", metavar="key=value", nargs="*", help="values that replace the run's")
    parser.add_argument("--which", default="last", help="the checkpoint: last (default), best, or a step's number")
    parser.add_argument("--json", action="store_true", help="print a JSON object")


def find_run(word: str):
    """The run in a folder, or the newest one of a recipe.  Raises RunFolderError, RecipeNotFound."""
    from mxdl.recipes import catalog
    from mxdl.recipes.evaluate import newest_run
    from mxdl.recipes.run import Run
    return Run.open(word) if Run.is_one(word) else newest_run(catalog.find(word)[0])


def run(args: argparse.Namespace) -> None:
    from mxdl.recipes.evaluate import evaluate_run
    from mxdl.recipes.progress import figures
    found = find_run(args.model)
    values = evaluate_run(found, found.resolved(args.overrides), args.which)
    if args.json:
        print(json.dumps({"event": "eval", "run": str(found.folder), "checkpoint": args.which, "valid": values}))
    else:
        name = found.info["name"]
        print(f"{name}: {figures(values)} on the held-out data ({args.which} checkpoint of {found.folder})")
