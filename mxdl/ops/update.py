"""Optimizer updates as operators: ``mx.nd.sgd_mom_update(weight, grad, mom, out=weight, lr=0.1, momentum=0.9)``.

The first output is the new weight; states are updated in place of the inputs, as each entry declares.  Kernels are
pure: they run the rule of `update_rules` on copies.  Optimizers run the rules themselves, on lists and in place.
Shapes: weight, grad and every state T[*S]; a `weight32` is the float32 copy that a low-precision weight is kept in.
"""
from __future__ import annotations

import torch

from . import update_rules as rules
from .operator import NOT_DIFFERENTIABLE, operator
from .samples import Sample
from .traits import Traits

ELEMENTWISE = Traits(elementwise=True)
SHAPE = (2, 3)
FAST = {"lr": 0.1, "wd": 0.01, "rescale_grad": 0.5}
CLIPPED = {**FAST, "clip_gradient": 0.3}


def update(name, samples, updates=None, traits=ELEMENTWISE, like="weight", **entry):
    """An operator whose outputs after the first overwrite the inputs named in `updates`, in this order.

    like: the input whose type the first output has.
    """
    updates = updates or ()

    def register(kernel):
        op = operator(name, traits=traits, samples=samples, gradient=NOT_DIFFERENTIABLE, num_visible=1,
                      num_outputs=1 + len(updates), updates=dict(enumerate(updates, 1)), **entry)(kernel)
        # torch's fused kernels do not run on meta tensors; an output has the type of what it overwrites.
        places = [op.parameters.index(name) for name in (like, *updates)]
        op.infer(lambda inputs, attrs: [inputs[place] for place in places])
        return op
    return register


def samples(*inputs, low=-1.0, **attrs):
    """A sample without and one with gradient clipping, not to be differentiated."""
    shapes = [SHAPE if given is None else given for given in inputs]
    return [Sample(*shapes, low=low, differentiable=(), **{**common, **attrs}) for common in (FAST, CLIPPED)]


def run(rule, weight, grad, *states, **attrs):
    """Runs an in-place list rule on copies of one weight and its states; the new weight and states."""
    attrs["clip"] = attrs.pop("clip_gradient")
    changed = [[tensor.clone()] for tensor in (weight, *states)]
    rule(changed[0], [grad], *changed[1:], **attrs)
    return tuple(tensors[0] for tensors in changed) if states else changed[0][0]


def run_in_float32(rule, weight, grad, *states, **attrs):
    """As `run`, on the last state, the float32 weight; the first output is its value in the weight's dtype."""
    *others, weight32 = states
    new32, *others = _as_tuple(run(rule, weight32, grad.float(), *others, **attrs))
    return (new32.to(weight.dtype), *others, new32)


def _as_tuple(value):
    return value if isinstance(value, tuple) else (value,)


MP = [(SHAPE, "float16"), (SHAPE, "float16")]


@update("sgd_update", samples(None, None))
def sgd_update(weight, grad, *, lr: float, wd: float = 0.0, rescale_grad: float = 1.0, clip_gradient: float = -1.0,
               lazy_update: bool = True):
    """weight - lr * (clip(rescale_grad * grad) + wd * weight)"""
    return run(rules.sgd, weight, grad, lr=lr, wd=wd, rescale_grad=rescale_grad, clip_gradient=clip_gradient)


@update("sgd_mom_update", samples(None, None, None, momentum=0.9), updates=("mom",))
def sgd_mom_update(weight, grad, mom, *, lr: float, momentum: float = 0.0, wd: float = 0.0, rescale_grad: float = 1.0,
                   clip_gradient: float = -1.0, lazy_update: bool = True):
    """mom = momentum * mom - lr * (clip(rescale_grad * grad) + wd * weight);  weight + mom"""
    return run(rules.sgd_mom, weight, grad, mom, lr=lr, momentum=momentum, wd=wd, rescale_grad=rescale_grad,
               clip_gradient=clip_gradient)


@update("mp_sgd_update", samples(*MP, None), updates=("weight32",))
def mp_sgd_update(weight, grad, weight32, *, lr: float, wd: float = 0.0, rescale_grad: float = 1.0,
                  clip_gradient: float = -1.0, lazy_update: bool = True):
    """sgd_update on the float32 copy."""
    return run_in_float32(rules.sgd, weight, grad, weight32, lr=lr, wd=wd, rescale_grad=rescale_grad,
                          clip_gradient=clip_gradient)


@update("mp_sgd_mom_update", samples(*MP, None, None, momentum=0.9), updates=("mom", "weight32"))
def mp_sgd_mom_update(weight, grad, mom, weight32, *, lr: float, momentum: float = 0.0, wd: float = 0.0,
                      rescale_grad: float = 1.0, clip_gradient: float = -1.0, lazy_update: bool = True):
    """sgd_mom_update on the float32 copy."""
    return run_in_float32(rules.sgd_mom, weight, grad, mom, weight32, lr=lr, momentum=momentum, wd=wd,
                          rescale_grad=rescale_grad, clip_gradient=clip_gradient)


@update("nag_mom_update", samples(None, None, None, momentum=0.9), updates=("mom",))
def nag_mom_update(weight, grad, mom, *, lr: float, momentum: float = 0.0, wd: float = 0.0, rescale_grad: float = 1.0,
                   clip_gradient: float = -1.0):
    """Nesterov: step = lr * (clip(rescale_grad * grad) + wd * weight);  mom = momentum * mom - step;
    weight + momentum * mom - step"""
    return run(rules.nag_mom, weight, grad, mom, lr=lr, momentum=momentum, wd=wd, rescale_grad=rescale_grad,
               clip_gradient=clip_gradient)


# Without decay: where MXNet's kernel writes over the weight, its momentum takes the decay of the new weight.
@update("mp_nag_mom_update", samples(*MP, None, None, momentum=0.9, wd=0.0), updates=("mom", "weight32"))
def mp_nag_mom_update(weight, grad, mom, weight32, *, lr: float, momentum: float = 0.0, wd: float = 0.0,
                      rescale_grad: float = 1.0, clip_gradient: float = -1.0):
    """nag_mom_update on the float32 copy."""
    return run_in_float32(rules.nag_mom, weight, grad, mom, weight32, lr=lr, momentum=momentum, wd=wd,
                          rescale_grad=rescale_grad, clip_gradient=clip_gradient)


@update("adam_update", samples(None, None, None, None, low=0.1, epsilon=1e-4), updates=("mean", "var"))
def adam_update(weight, grad, mean, var, *, lr: float, beta1: float = 0.9, beta2: float = 0.999,
                epsilon: float = 1e-8, wd: float = 0.0, rescale_grad: float = 1.0, clip_gradient: float = -1.0,
                lazy_update: bool = True):
    """g = clip(rescale_grad * grad + wd * weight);  mean, var = averages of g, g ** 2;
    weight - lr * mean / (sqrt(var) + epsilon).  The caller puts the bias correction into lr."""
    return run(rules.adam, weight, grad, mean, var, lr=lr, beta1=beta1, beta2=beta2, epsilon=epsilon, wd=wd,
               rescale_grad=rescale_grad, clip_gradient=clip_gradient)


ADAMW_SAMPLES = [Sample(*[SHAPE] * 4, (1,), low=0.1, differentiable=(), lr=0.1, eta=0.5, wd=0.01, epsilon=1e-4),
                 Sample(*[SHAPE] * 4, (1,), low=0.1, differentiable=(), lr=0.1, eta=0.5, clip_gradient=0.05)]


def _adamw(runner, weight, grad, *states, rescale_grad, **attrs):
    """AdamW with the scale as a tensor; where it is 0, infinite or NaN (a loss scaler's overflow) nothing changes."""
    scale = float(rescale_grad)
    if scale == 0 or scale != scale or scale in (float("inf"), float("-inf")):
        return tuple(tensor.clone() for tensor in (weight, *states))
    return runner(rules.adamw, weight, grad, *states, rescale_grad=scale, **attrs)


@update("_adamw_update", ADAMW_SAMPLES, updates=("mean", "var"))
def adamw_update(weight, grad, mean, var, rescale_grad, *, lr: float, eta: float, beta1: float = 0.9,
                 beta2: float = 0.999, epsilon: float = 1e-8, wd: float = 0.0, clip_gradient: float = -1.0):
    """mean, var = averages of g = clip(rescale_grad * grad), g ** 2;
    weight - eta * (lr * mean / (sqrt(var) + epsilon) + wd * weight).   rescale_grad: float[1]"""
    return _adamw(run, weight, grad, mean, var, rescale_grad=rescale_grad, lr=lr, eta=eta, beta1=beta1, beta2=beta2,
                  epsilon=epsilon, wd=wd, clip_gradient=clip_gradient)


@update("_mp_adamw_update", [Sample(*MP, SHAPE, SHAPE, SHAPE, (1,), low=0.1, differentiable=(), lr=0.1, eta=0.5)],
        updates=("mean", "var", "weight32"))
def mp_adamw_update(weight, grad, mean, var, weight32, rescale_grad, *, lr: float, eta: float, beta1: float = 0.9,
                    beta2: float = 0.999, epsilon: float = 1e-8, wd: float = 0.0, clip_gradient: float = -1.0):
    """_adamw_update on the float32 copy."""
    return _adamw(run_in_float32, weight, grad, mean, var, weight32, rescale_grad=rescale_grad, lr=lr, eta=eta,
                  beta1=beta1, beta2=beta2, epsilon=epsilon, wd=wd, clip_gradient=clip_gradient)


@update("rmsprop_update", samples(None, None, None, low=0.1), updates=("n",))
def rmsprop_update(weight, grad, n, *, lr: float, gamma1: float = 0.95, epsilon: float = 1e-8, wd: float = 0.0,
                   rescale_grad: float = 1.0, clip_gradient: float = -1.0, clip_weights: float = -1.0):
    """g = clip(rescale_grad * grad + wd * weight);  n = average of g ** 2;  weight - lr * g / sqrt(n + epsilon)"""
    return run(rules.rmsprop, weight, grad, n, lr=lr, gamma1=gamma1, epsilon=epsilon, wd=wd,
               rescale_grad=rescale_grad, clip_gradient=clip_gradient, clip_weights=clip_weights)


@update("rmspropalex_update", [Sample(SHAPE, SHAPE, np_n, SHAPE, SHAPE, differentiable=(), **attrs, clip_weights=0.9)
                               for np_n in [torch.full(SHAPE, 1.5).numpy()] for attrs in (FAST, CLIPPED)],
        updates=("n", "g", "delta"))
def rmspropalex_update(weight, grad, n, g, delta, *, lr: float, gamma1: float = 0.95, gamma2: float = 0.9,
                       epsilon: float = 1e-8, wd: float = 0.0, rescale_grad: float = 1.0,
                       clip_gradient: float = -1.0, clip_weights: float = -1.0):
    """Centered RMSProp with momentum: n, g = averages of grad ** 2, grad;
    delta = gamma2 * delta - lr * grad / sqrt(n - g ** 2 + epsilon);  weight + delta"""
    return run(rules.rmsprop_centered, weight, grad, n, g, delta, lr=lr, gamma1=gamma1, gamma2=gamma2,
               epsilon=epsilon, wd=wd, rescale_grad=rescale_grad, clip_gradient=clip_gradient,
               clip_weights=clip_weights)


@update("signsgd_update", samples(None, None))
def signsgd_update(weight, grad, *, lr: float, wd: float = 0.0, rescale_grad: float = 1.0,
                   clip_gradient: float = -1.0):
    """(1 - lr * wd) * weight - lr * sign(grad)"""
    return run(rules.signsgd, weight, grad, lr=lr, wd=wd, rescale_grad=rescale_grad, clip_gradient=clip_gradient)


@update("signum_update", samples(None, None, None, momentum=0.9, wd_lh=0.02), updates=("mom",))
def signum_update(weight, grad, mom, *, lr: float, momentum: float = 0.0, wd: float = 0.0, rescale_grad: float = 1.0,
                  clip_gradient: float = -1.0, wd_lh: float = 0.0):
    """mom = momentum * mom - (1 - momentum) * (clip(rescale_grad * grad) + wd * weight);
    (1 - lr * wd_lh) * weight + lr * sign(mom)"""
    return run(rules.signum, weight, grad, mom, lr=lr, momentum=momentum, wd=wd, wd_lh=wd_lh,
               rescale_grad=rescale_grad, clip_gradient=clip_gradient)


@update("ftrl_update", samples(None, None, None, None, low=0.1), updates=("z", "n"))
def ftrl_update(weight, grad, z, n, *, lr: float, lamda1: float = 0.01, beta: float = 1.0, wd: float = 0.0,
                rescale_grad: float = 1.0, clip_gradient: float = -1.0):
    """z += g - (sqrt(n + g ** 2) - sqrt(n)) / lr * weight;  n += g ** 2;
    (sign(z) * lamda1 - z) / ((beta + sqrt(n)) / lr + wd) where |z| > lamda1, else 0"""
    return run(rules.ftrl, weight, grad, z, n, lr=lr, lamda1=lamda1, beta=beta, wd=wd, rescale_grad=rescale_grad,
               clip_gradient=clip_gradient)


@update("ftml_update", [Sample(*[SHAPE] * 5, low=0.1, differentiable=(), lr=0.1, t=3, wd=0.01, rescale_grad=0.5,
                               beta1=0.5, beta2=0.75, clip_grad=clip) for clip in (-1.0, 0.3)], updates=("d", "v", "z"))
def ftml_update(weight, grad, d, v, z, *, lr: float, t: int, beta1: float = 0.6, beta2: float = 0.999,
                epsilon: float = 1e-8, wd: float = 0.0, rescale_grad: float = 1.0, clip_grad: float = -1.0):
    """Follow the moving leader; t: the number of this update, from 1."""
    return run(rules.ftml, weight, grad, d, v, z, lr=lr, t=t, beta1=beta1, beta2=beta2, epsilon=epsilon, wd=wd,
               rescale_grad=rescale_grad, clip_gradient=clip_grad)


LAMB = {"t": 3, "wd": 0.01, "rescale_grad": 0.5, "beta1": 0.5, "beta2": 0.75}   # exact in every dtype


def _lamb_direction(weight, grad, mean, var, t, clip_gradient, **attrs):
    mean, var = mean.clone(), var.clone()
    direction = rules.lamb_direction([weight], [grad.to(weight.dtype)], [mean], [var], t=t, clip=clip_gradient, **attrs)
    return direction[0], mean, var


@update("lamb_update_phase1", [Sample(*[SHAPE] * 4, low=0.1, differentiable=(), **LAMB, clip_gradient=0.3),
                               Sample(*[SHAPE] * 4, low=0.1, differentiable=(), **LAMB, bias_correction=False)],
        updates=("mean", "var"))
def lamb_update_phase1(weight, grad, mean, var, *, t: int, beta1: float = 0.9, beta2: float = 0.999,
                       epsilon: float = 1e-6, bias_correction: bool = True, wd: float, rescale_grad: float = 1.0,
                       clip_gradient: float = -1.0):
    """LAMB's direction: mean / (sqrt(var) + epsilon) + wd * weight, the averages' bias corrected for update t."""
    return _lamb_direction(weight, grad, mean, var, t, clip_gradient, beta1=beta1, beta2=beta2, epsilon=epsilon,
                           bias_correction=bias_correction, wd=wd, rescale_grad=rescale_grad)


@update("mp_lamb_update_phase1", [Sample(*MP, SHAPE, SHAPE, SHAPE, low=0.1, differentiable=(), **LAMB)],
        updates=("mean", "var"), like="weight32")
def mp_lamb_update_phase1(weight, grad, mean, var, weight32, *, t: int, beta1: float = 0.9, beta2: float = 0.999,
                          epsilon: float = 1e-6, bias_correction: bool = True, wd: float, rescale_grad: float = 1.0,
                          clip_gradient: float = -1.0):
    """lamb_update_phase1 on the float32 copy; the direction is float32."""
    return _lamb_direction(weight32, grad, mean, var, t, clip_gradient, beta1=beta1, beta2=beta2, epsilon=epsilon,
                           bias_correction=bias_correction, wd=wd, rescale_grad=rescale_grad)


@update("lamb_update_phase2", [Sample(SHAPE, SHAPE, (1,), (1,), low=0.1, differentiable=(), lr=0.1),
                               Sample(SHAPE, SHAPE, (1,), (1,), low=0.1, differentiable=(), lr=0.1,
                                      lower_bound=0.3, upper_bound=0.5)])
def lamb_update_phase2(weight, g, r1, r2, *, lr: float, lower_bound: float = -1.0, upper_bound: float = -1.0):
    """weight - lr * r1 / r2 * g;  r1, r2: norms of weight and g, float[1]; r1 is held within the bounds"""
    return weight - lr * rules.trust_ratio(r1, r2, lower_bound, upper_bound) * g


@update("mp_lamb_update_phase2", [Sample((SHAPE, "float16"), SHAPE, (1,), (1,), SHAPE, low=0.1, differentiable=(),
                                         lr=0.1)], updates=("weight32",),
        parity="MXNet leaves weight32 as it was, so its next update starts from the old weight")
def mp_lamb_update_phase2(weight, g, r1, r2, weight32, *, lr: float, lower_bound: float = -1.0,
                          upper_bound: float = -1.0):
    """lamb_update_phase2 on the float32 copy."""
    new32 = weight32 - lr * rules.trust_ratio(r1, r2, lower_bound, upper_bound) * g
    return new32.to(weight.dtype), new32


@update("_contrib_group_adagrad_update",
        [Sample(SHAPE, SHAPE, torch.full((2, 1), 0.4).numpy(), differentiable=(), lr=0.1, rescale_grad=0.5,
                clip_gradient=clip) for clip in (-1.0, 0.3)], updates=("history",), traits=Traits(),
        parity="MXNet has it for row-sparse gradients only; the optimizer is compared")
def group_adagrad_update(weight, grad, history, *, lr: float, rescale_grad: float = 1.0, clip_gradient: float = -1.0,
                         epsilon: float = 1e-5):
    """One rate a row: history += mean of g ** 2 over the row;  weight - lr * g / sqrt(history + epsilon).
    weight, grad: T[N, ...];  history: T[N, 1, ...]"""
    return run(rules.group_adagrad, weight, grad, history, lr=lr, epsilon=epsilon, rescale_grad=rescale_grad,
               clip_gradient=clip_gradient)
