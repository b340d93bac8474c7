"""Answers of a trained model:  mxdl predict RUN picture.png ...   mxdl predict RUN "the price of" ..."""
import argparse
import json

from .evaluate import find_run

NAME = "predict"
SUMMARY = "let a trained model answer for pictures or texts"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="RUN|RECIPE", help="a run's folder, or a recipe's name for its newest run")
    parser.add_argument("items", metavar="ITEM", nargs="+", help="picture files, or texts, as the task takes them")
    parser.add_argument("--which", default="last", help="the checkpoint: last (default), best, or a step's number")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")


def _plain(value) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def run(args: argparse.Namespace) -> None:
    from mxdl.recipes.evaluate import trained
    found = find_run(args.model)
    task, net, _ = trained(found, found.resolved(), args.which)
    for answer in task.predict(net, args.items):
        print(json.dumps(answer) if args.json else "  ".join(f"{key} {_plain(value)}" for key, value in answer.items()))
