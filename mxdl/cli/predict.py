"""Answers of a trained or exported model.

    mxdl predict RUN picture.png ...        mxdl predict RUN "the price of" ...
    mxdl predict model.c picture.png ...    an exported C file, a library (.so, .dylib, .dll) or a script (.js)
    mxdl predict model.c rows.csv           a model that takes numbers: a row for each example
"""
import argparse
import json
from collections.abc import Iterator
from typing import Any

from .evaluate import find_run

NAME = "predict"
SUMMARY = "let a trained model answer for pictures or texts"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="RUN|RECIPE|FILE",
                        help="a run's folder, a recipe's name for its newest run, or a file that was exported")
    parser.add_argument("items", metavar="ITEM", nargs="+",
                        help="picture files, texts, or files of numbers (.csv, .npy), as the model takes them")
    parser.add_argument("--which", default="last", help="the checkpoint: last (default), best, or a step's number")
    parser.add_argument("--weights", default=None, metavar="FILE",
                        help="an exported file's parameters, where they are not inside")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")


def _plain(value) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def run(args: argparse.Namespace) -> None:
    for answer in _answers(args):
        print(json.dumps(answer) if args.json else "  ".join(f"{key} {_plain(value)}" for key, value in answer.items()))


def _answers(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    from mxdl.recipes import exported
    if exported.is_one(args.model):
        from mxdl.predictor import Predictor
        return exported.answers(Predictor(args.model, args.weights), args.items)
    if args.weights is not None:
        from mxdl.cli.main import Usage
        raise Usage(f"predict: --weights belongs to an exported file; got {args.model}; name a .c, .so or .js file")
    from mxdl.recipes.evaluate import trained
    found = find_run(args.model)
    task, net, _ = trained(found, found.resolved(), args.which)
    return task.predict(net, args.items)
