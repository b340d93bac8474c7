"""A memory plan for people: the table, the curve of live bytes, memory against time."""
from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import NotBuiltError
from ..files import atomic_write
from ..graph import Node
from ..graph.hidden import ORIGIN
from ..passes.liveness import Timeline

if TYPE_CHECKING:
    from .memory_plan import MemoryPlan

BACKWARD = "backward pass"
_ROWS = 8


def size_text(num_bytes: float) -> str:
    """"51.4 MB": three digits, units of a thousand."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 999.5:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.3g} TB"


def block_of(node: Node) -> str:
    """The path of the block that a forward node was traced in; `BACKWARD` for what gradients are made of."""
    return node.hidden.get(ORIGIN, BACKWARD).split(" (")[0]


def share_by_block(line: Timeline) -> list[tuple[str, int]]:
    """Bytes alive at the peak by block path, what a kernel takes for itself included, the largest first."""
    shares: dict[str, int] = {}
    for value, size in line.at_peak:
        where = block_of(value.node)
        shares[where] = shares.get(where, 0) + size
    own = line.scratch.get(line.peak_step, 0)
    if own:
        where = block_of(line.steps[line.peak_step])
        shares[where] = shares.get(where, 0) + own
    return sorted(shares.items(), key=lambda pair: -pair[1])


def table(plan: MemoryPlan) -> str:
    """The plan as text."""
    before, after = plan.before.timeline, plan.after.timeline
    rows = [("nothing shared", plan.nothing_shared, plan.nothing_shared - before.fixed - before.grads, "", ""),
            ("freed and in place", before.peak, before.activation_peak, "", "")]
    if plan.goal.kind != "all":   # also where nothing is worth recomputing
        rows.append((f"mirrored ({_goal_text(plan)})", after.peak, after.activation_peak,
                     f"+{100 * plan.extra_flops / plan.before.flops:.1f} %", f"+{100 * plan.extra_time:.1f} %"))
    lines = [f"memory of one training step on {', '.join(map(str, plan.inputs))}",
             f"  {'':28}{'peak':>10}{'activations':>14}{'FLOPs':>10}{'time':>10}"]
    lines += [f"  {name:28}{size_text(peak):>10}{size_text(activations):>14}{flops:>10}{time:>10}"
              for name, peak, activations, flops, time in rows]
    lines.append(f"  parameters and inputs {size_text(after.fixed)}, gradients {size_text(after.grads)}"
                 + (", handed over as they come" if plan.hand_over else ""))
    step = after.steps[after.peak_step]
    lines.append(f"at the peak, step {after.peak_step + 1} of {len(after.steps)} ({step.op.name} of "
                 f"{block_of(step)}), beside parameters and inputs:")
    shares = share_by_block(after)
    lines += [f"  {size_text(size):>10}  {where}" for where, size in shares[:_ROWS]]
    if len(shares) > _ROWS:
        lines.append(f"  {size_text(sum(size for _, size in shares[_ROWS:])):>10}  {len(shares) - _ROWS} more blocks")
    return "\n".join(lines)


def _goal_text(plan: MemoryPlan) -> str:
    goal = plan.goal
    amount = {"bytes": size_text(goal.amount), "fraction": f"{100 * goal.amount:g} %", "costly": "True"}
    return amount.get(goal.kind, goal.kind)


def curve_figure(plan: MemoryPlan, path: str) -> None:
    """Live bytes over the steps; a step of the plan before stands where its time is, so that both end together."""
    figure, axes = _figure()
    lines = [("before", plan.before)] + ([] if plan.after is plan.before else [("mirrored", plan.after)])
    for name, costed in lines:
        line = costed.timeline
        places = [100 * i / len(line.live) for i in range(len(line.live))]
        axes.fill_between(places, [n / 1e9 for n in line.live], step="post", alpha=0.35, linewidth=0)
        axes.plot(places, [n / 1e9 for n in line.live], drawstyle="steps-post", linewidth=1,
                  label=f"{name}: peak {size_text(line.peak)}")
        axes.axvline(100 * line.num_forward / len(line.live), linewidth=0.6, linestyle=":", color="gray")
    axes.axhline(plan.before.timeline.fixed / 1e9, linewidth=0.8, linestyle="--", color="black",
                 label=f"parameters and inputs: {size_text(plan.before.timeline.fixed)}")
    axes.set(xlabel="per cent of the step's operators (dotted: forward ends)", ylabel="GB alive", xlim=(0, 100), ylim=0)
    axes.legend(frameon=False)
    _save(figure, path)


def tradeoff_figure(points: Sequence[tuple[int, float]], path: str) -> None:
    """Extra time over activation memory."""
    figure, axes = _figure()
    axes.plot([size / 1e9 for size, _ in points], [100 * time for _, time in points], marker="o")
    axes.set(xlabel="activations at the peak, GB", ylabel="extra time, % of the step", xlim=0, ylim=0)
    _save(figure, path)


def _figure() -> tuple[Any, Any]:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise NotBuiltError("memory_plan: drawing needs matplotlib, which is not installed; do pip install "
                            "'mxdl[plot]', or print the plan") from None
    figure = Figure(figsize=(7, 4), layout="constrained")
    return figure, figure.add_subplot()


def _save(figure: Any, path: str) -> None:
    ending = str(path).rsplit(".", 1)[-1].lower()
    if ending not in ("png", "svg", "pdf"):
        raise NotBuiltError(f"memory_plan: pictures are png, svg or pdf files; got {path!r}; name one of these")
    with atomic_write(path) as stream:
        figure.savefig(stream, format=ending, dpi=110)
