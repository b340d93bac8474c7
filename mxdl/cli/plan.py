"""The memory that training a recipe takes, before anything is made:  mxdl plan vision/resnet20_cifar10 --memory 4GB

Prints what one step holds with nothing shared, freed in place, and (with --memory or --mirror) recomputing to fit; with
--memory also the largest batch that fits.  Counted from shapes: nothing is allocated, any size can be planned.
"""
import argparse
import json

NAME = "plan"
SUMMARY = "the memory of a training step, and the largest batch that fits"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", metavar="RECIPE", help="a recipe's name or file")
    parser.add_argument("overrides", metavar="key=value", nargs="*", help="values that replace the recipe's")
    parser.add_argument("--memory", metavar="SIZE", help="what arrays may take: 4GB, 512MiB")
    parser.add_argument("--mirror", metavar="MODE", help="sqrt, min, costly or a fraction; default: fit into --memory")
    parser.add_argument("--max-recompute", metavar="N", type=float, default=1, help="extra forward passes (default 1)")
    parser.add_argument("--curve", metavar="FILE", help="draw live bytes over the step (png, svg, pdf)")
    parser.add_argument("--tradeoff", metavar="FILE", help="draw memory against extra time")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> None:
    from mxdl.recipes import catalog
    from mxdl.recipes.memory import Step
    from mxdl.recipes.resolve import resolve

    name, path = catalog.find(args.recipe)
    step = Step(resolve(path, name, args.overrides, []))
    plan = step.plan(_mode(args.mirror), args.memory, args.max_recompute)
    largest = step.largest_batches(plan, args.memory, args.max_recompute) if args.memory else {}
    if args.curve:
        plan.curve(args.curve)
    if args.tradeoff:
        plan.tradeoff(args.tradeoff, max_recompute=args.max_recompute)
    if args.json:
        print(json.dumps({"recipe": name, "data": step.data, "peak_bytes": plan.peak, "activation_bytes":
                          plan.activation_peak, "optimizer_bytes": step.state_bytes, "extra_time": plan.extra_time,
                          "extra_flops": plan.extra_flops, "largest_batch": largest}))
        return
    print(f"{name}, shapes of {step.data} data\n{plan}")
    print(f"  the optimizer's states take {step.state_bytes / 1e6:,.1f} MB more, the interpreter about 250 MB")
    for how, batch in largest.items():
        print(f"largest batch in {args.memory}, {how}: {batch}")


def _mode(text: str | None) -> object:
    if text is None or text in ("sqrt", "min"):
        return text
    try:
        return {"costly": True}.get(text) or float(text)
    except ValueError:
        return text
