"""One direction of one recurrent layer over a whole sequence: forward and its hand-written gradient.

Letters: T time, N batch, I input, H hidden; G gates: 4 (lstm: input, forget, cell, output), 3 (gru: reset, update,
new) or 1.  Matrix products of all steps are done in one; what remains a step is one product and a few elementwise
operations on [N, G H], in place.  The gradient first makes every factor that does not depend on the incoming
gradient, for all steps at once, and multiplies the incoming gradient into these.
"""
from __future__ import annotations

from typing import NamedTuple

import torch

NUM_GATES = {"rnn_relu": 1, "rnn_tanh": 1, "lstm": 4, "gru": 3}
#: what the gradient needs beyond inputs and outputs, in multiples of H a step:
#: lstm the four gates and the cell, gru its three gates and the state's part of `new`
SAVED_WIDTH = {"rnn_relu": 0, "rnn_tanh": 0, "lstm": 5, "gru": 4}


class Weights(NamedTuple):
    """w: float[G H, I] and u: float[G H, H] for input and state; bw, bu: float[G H]."""

    w: torch.Tensor
    u: torch.Tensor
    bw: torch.Tensor
    bu: torch.Tensor


#: the state float[N, H], and the lstm's cell
State = tuple[torch.Tensor, torch.Tensor | None]


class Run(NamedTuple):
    """How the sequence is walked.

    reverse: from the last step to the first.   valid: bool[T, N, 1], False past a sequence's end, or None.
    clip: (low, high) for the lstm's cell, or None.
    """

    mode: str
    reverse: bool = False
    valid: torch.Tensor | None = None
    clip: tuple[float, float] | None = None


def forward(run: Run, x: torch.Tensor, weights: Weights, start: State,
            save: bool) -> tuple[torch.Tensor, State, torch.Tensor]:
    """(states of all steps float[T, N, H], the last state and cell, what the gradient needs).

    x: float[T, N, I];   saved: float[T, N, SAVED_WIDTH H], of use only if `save`.
    """
    h, c = start
    (num_steps, batch, _), size = x.shape, h.shape[1]
    out = x.new_empty((num_steps, batch, size))
    saved = x.new_empty((num_steps, batch, SAVED_WIDTH[run.mode] * size))
    bias = weights.bw + weights.bu
    if run.mode == "gru":  # the reset gate acts on the state's part of `new`, so that bias stays with it
        bias = torch.cat([bias[:2 * size], weights.bw[2 * size:]])
    into = saved[..., :4 * size].flatten(0, 1) if run.mode == "lstm" else None
    pre = torch.addmm(bias, x.flatten(0, 1), weights.w.t()) if into is None else torch.addmm(
        bias, x.flatten(0, 1), weights.w.t(), out=into)
    u = weights.u.t().contiguous()
    pres, outs, saves = pre.unflatten(0, (num_steps, batch)).unbind(0), out.unbind(0), saved.unbind(0)
    for t in range(num_steps - 1, -1, -1) if run.reverse else range(num_steps):
        before, c_before = h, c
        if run.mode == "lstm":
            c = saves[t][:, 4 * size:]
            _lstm_step(pres[t], before, c_before, u, outs[t], c, run.clip)
        elif run.mode == "gru":
            _gru_step(pres[t], before, u, weights.bu[2 * size:], outs[t], saves[t])
        else:
            torch.addmm(pres[t], before, u, out=outs[t])
            torch.relu_(outs[t]) if run.mode == "rnn_relu" else torch.tanh_(outs[t])
        h = outs[t]
        if run.valid is not None:
            valid = run.valid[t]
            h = torch.where(valid, h, before)
            c = None if c is None else torch.where(valid, c, c_before)
            outs[t].mul_(valid)
    return out, (h, c), saved


def _lstm_step(gates, h, c, u, out, c_out, clip):
    gates.addmm_(h, u)
    size = h.shape[1]
    gates[:, :2 * size].sigmoid_()
    cell = gates[:, 2 * size:3 * size].tanh_()
    output = gates[:, 3 * size:].sigmoid_()
    torch.mul(gates[:, size:2 * size], c, out=c_out).addcmul_(gates[:, :size], cell)
    if clip is not None:
        c_out.clamp_(*clip)
    torch.tanh(c_out, out=out).mul_(output)


def _gru_step(pre, h, u, bias_new, out, saved):
    size = h.shape[1]
    state = torch.mm(h, u)
    gates, new = saved[:, :2 * size], saved[:, 2 * size:3 * size]
    torch.add(pre[:, :2 * size], state[:, :2 * size], out=gates).sigmoid_()
    state_new = torch.add(state[:, 2 * size:], bias_new, out=saved[:, 3 * size:])
    torch.addcmul(pre[:, 2 * size:], gates[:, :size], state_new, out=new).tanh_()
    torch.lerp(new, h, gates[:, size:], out=out)


def backward(run: Run, x: torch.Tensor, weights: Weights, start: State, out: torch.Tensor, end: State,
             saved: torch.Tensor, dout: torch.Tensor, dend: State, grads: Weights) -> tuple[torch.Tensor, State]:
    """(dx, gradient of the first state and cell) by those of all states and the last; fills `grads`."""
    (h0, c0), (dh, dc) = start, dend
    previous = _previous(run, out, h0)
    dout = dout if run.valid is None else dout * run.valid
    if run.mode == "lstm":
        dpre, dh, dc = _lstm_backward(run, weights.u, c0, saved, dout, dh, dc)
    elif run.mode == "gru":
        dpre, dstate, dh = _gru_backward(run, weights.u, previous, saved, dout, dh)
    else:
        dpre, dh = _plain_backward(run, weights.u, out, dout, dh)
    rows = dpre.flatten(0, 1)
    state_rows = dstate.flatten(0, 1) if run.mode == "gru" else rows
    torch.mm(rows.t(), x.flatten(0, 1), out=grads.w)
    torch.mm(state_rows.t(), previous.flatten(0, 1), out=grads.u)
    torch.sum(rows, 0, out=grads.bw)
    torch.sum(state_rows, 0, out=grads.bu)
    return torch.mm(rows, weights.w).unflatten(0, x.shape[:2]), (dh, dc)


def _lstm_backward(run, u, c0, saved, dout, dh, dc):
    i, f, g, o, c = saved.unflatten(2, (5, -1)).unbind(2)
    c_before, tanh_c = _previous(run, c, c0), torch.tanh(c)
    dpre = torch.empty((*saved.shape[:2], 4, c.shape[2]), dtype=saved.dtype, device=saved.device)
    torch.mul(g * i, 1 - i, out=dpre[:, :, 0])
    torch.mul(c_before * f, 1 - f, out=dpre[:, :, 1])
    torch.mul(i, 1 - g * g, out=dpre[:, :, 2])
    torch.mul(tanh_c * o, 1 - o, out=dpre[:, :, 3])
    by_cell = o * (1 - tanh_c * tanh_c)
    _keep_valid(run, dpre, by_cell)
    inside = None if run.clip is None else ((c > run.clip[0]) & (c < run.clip[1])).unbind(0)
    steps, douts, slopes, forgets = dpre.unbind(0), dout.unbind(0), by_cell.unbind(0), f.unbind(0)
    for t in _backwards(run, len(steps)):
        dh_in, dc_in = dh + douts[t], dc
        dc = torch.addcmul(dc, dh_in, slopes[t])
        dc = dc if inside is None else dc * inside[t]
        steps[t][:, :3].mul_(dc.unsqueeze(1))
        steps[t][:, 3].mul_(dh_in)
        dc, dh = dc * forgets[t], torch.mm(steps[t].flatten(1), u)
        if run.valid is not None:
            dh, dc = torch.where(run.valid[t], dh, dh_in), torch.where(run.valid[t], dc, dc_in)
    return dpre.flatten(2), dh, dc


def _gru_backward(run, u, previous, saved, dout, dh):
    r, z, n, state_new = saved.unflatten(2, (4, -1)).unbind(2)
    by_new = (1 - z) * (1 - n * n)
    dstate = torch.empty((*saved.shape[:2], 3, r.shape[2]), dtype=saved.dtype, device=saved.device)
    torch.mul(by_new * state_new, r * (1 - r), out=dstate[:, :, 0])
    torch.mul(previous - n, z * (1 - z), out=dstate[:, :, 1])
    torch.mul(by_new, r, out=dstate[:, :, 2])
    _keep_valid(run, dstate, by_new)
    steps, douts, updates, news = dstate.unbind(0), dout.unbind(0), z.unbind(0), by_new.unbind(0)
    for t in _backwards(run, len(steps)):
        dh_in = dh + douts[t]
        steps[t].mul_(dh_in.unsqueeze(1))
        news[t].mul_(dh_in)
        dh = torch.addmm(dh_in * updates[t], steps[t].flatten(1), u)
        if run.valid is not None:
            dh = torch.where(run.valid[t], dh, dh_in)
    dpre = torch.cat([dstate[:, :, :2].flatten(2), by_new], 2)
    return dpre, dstate.flatten(2), dh


def _plain_backward(run, u, out, dout, dh):
    dpre = (out > 0).to(out.dtype) if run.mode == "rnn_relu" else 1 - out * out
    _keep_valid(run, dpre[:, :, None])
    steps, douts = dpre.unbind(0), dout.unbind(0)
    for t in _backwards(run, len(steps)):
        dh_in = dh + douts[t]
        steps[t].mul_(dh_in)
        dh = torch.mm(steps[t], u)
        if run.valid is not None:
            dh = torch.where(run.valid[t], dh, dh_in)
    return dpre, dh


def _backwards(run: Run, num_steps: int) -> range:
    return range(num_steps) if run.reverse else range(num_steps - 1, -1, -1)


def _keep_valid(run: Run, gates: torch.Tensor, *others: torch.Tensor) -> None:
    """Zero the factors of steps past a sequence's end; gates: [T, N, G, H], others: [T, N, H]."""
    if run.valid is not None:
        gates.mul_(run.valid[..., None])
        for other in others:
            other.mul_(run.valid)


def _previous(run: Run, states: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
    """What each step was given: the states one step earlier in walking order, `first` at the start."""
    first = first[None]
    if run.valid is not None and run.reverse:  # the walk starts at each sequence's own last step
        first = first.expand_as(states)
        earlier = torch.cat([states[1:], first[:1]])
        return torch.where(torch.cat([run.valid[1:], torch.zeros_like(run.valid[:1])]), earlier, first)
    return torch.cat([states[1:], first]) if run.reverse else torch.cat([first, states[:-1]])
