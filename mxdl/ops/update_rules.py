"""The update rules of the optimizers: they change lists of tensors in place, many tensors a call.

Every rule takes lists of the same length: `weights`, `grads` (left as they are) and states, T[*S] each, and one rate
`lr` and weight decay `wd` for them all.  A gradient is multiplied by `rescale_grad` and clipped to [-clip, clip]
(`clip` None or negative: not).  Where weight decay enters differs: SGD's family clips the gradient before, Adam's
family clips the sum of gradient and decay, as MXNet does.  torch's fused kernels serve where their formula is the
rule's; t: the number of this update, from 1.
"""
from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor

Tensors = list[Tensor]


def scaled(grads: Tensors, rescale_grad: float, clip: float | None) -> Tensors:
    """clip(rescale_grad * grad); the given list itself where nothing is to do."""
    if rescale_grad != 1:
        grads = torch._foreach_mul(grads, rescale_grad)
    return clipped(grads, clip)


def clipped(grads: Tensors, clip: float | None) -> Tensors:
    """Each gradient held within [-clip, clip]; the given list itself where clip is None or negative."""
    if clip is None or clip < 0:
        return grads
    grads = torch._foreach_clamp_max(grads, clip)
    torch._foreach_clamp_min_(grads, -clip)
    return grads


def decayed(weights: Tensors, grads: Tensors, wd: float, rescale_grad: float, clip: float | None) -> Tensors:
    """clip(rescale_grad * grad + wd * weight): how Adam's family joins gradient and decay."""
    if wd:
        grads = torch._foreach_mul(grads, rescale_grad)
        torch._foreach_add_(grads, weights, alpha=wd)
        return clipped(grads, clip)
    return scaled(grads, rescale_grad, clip)


def blend(averages: Tensors, values: Tensors, keep: float) -> None:
    """average = keep * average + (1 - keep) * value, in place."""
    torch._foreach_mul_(averages, keep)
    torch._foreach_add_(averages, values, alpha=1 - keep)


def blend_squares(averages: Tensors, values: Tensors, keep: float) -> None:
    """average = keep * average + (1 - keep) * value ** 2, in place."""
    torch._foreach_mul_(averages, keep)
    torch._foreach_addcmul_(averages, values, values, value=1 - keep)


def sgd(weights: Tensors, grads: Tensors, *, lr: float, wd: float = 0.0, rescale_grad: float = 1.0,
        clip: float | None = None) -> None:
    """weight -= lr * (grad + wd * weight)"""
    if rescale_grad == 0 or (clip is not None and clip >= 0):
        grads, rescale_grad = scaled(grads, rescale_grad, clip), 1.0

    def step(weights, grads):
        torch._fused_sgd_(weights, grads, [], weight_decay=wd / rescale_grad, momentum=0.0, lr=lr * rescale_grad,
                          dampening=0.0, nesterov=False, maximize=False, is_first_step=False)
    fused(step, weights, grads)


def sgd_mom(weights: Tensors, grads: Tensors, moms: Tensors, *, lr: float, momentum: float, wd: float = 0.0,
            rescale_grad: float = 1.0, clip: float | None = None) -> None:
    """mom = momentum * mom - lr * (grad + wd * weight);   weight += mom

    torch's fused step is `buf = momentum * buf + (1 - dampening) * (grad + weight_decay * weight); weight -= lr * buf`.
    With 1 - dampening = -lr * rescale_grad its buffer is this momentum, and everything is read and written once.
    """
    if rescale_grad == 0 or (clip is not None and clip >= 0):
        grads, rescale_grad = scaled(grads, rescale_grad, clip), 1.0

    def step(weights, grads, moms):
        torch._fused_sgd_(weights, grads, moms, weight_decay=wd / rescale_grad, momentum=momentum, lr=-1.0,
                          dampening=1.0 + lr * rescale_grad, nesterov=False, maximize=False, is_first_step=False)
    fused(step, weights, grads, moms)


def nag_mom(weights: Tensors, grads: Tensors, moms: Tensors, *, lr: float, momentum: float, wd: float = 0.0,
            rescale_grad: float = 1.0, clip: float | None = None) -> None:
    """step = lr * (grad + wd * weight);  mom = momentum * mom - step;  weight += momentum * mom - step"""
    steps = torch._foreach_mul(scaled(grads, rescale_grad, clip), lr)
    torch._foreach_add_(steps, weights, alpha=lr * wd)
    torch._foreach_mul_(moms, momentum)
    torch._foreach_sub_(moms, steps)
    torch._foreach_sub_(weights, steps)
    torch._foreach_add_(weights, moms, alpha=momentum)


def fused(step: Callable[..., None], weights: Tensors, grads: Tensors, *states: Tensors) -> None:
    """step(weights, grads, *states), one of torch's fused kernels, which read memory straight through: arrays of
    a parameter that do not lie alike are copied for it."""
    rows = list(zip(weights, grads, *states, strict=True))
    if all(map(_lie_alike, rows)):
        step(weights, grads, *states)
        return
    copies = [row if _lie_alike(row) else tuple(tensor.contiguous() for tensor in row) for row in rows]
    weights_, grads_, *states_ = (list(column) for column in zip(*copies, strict=True))
    step(weights_, grads_, *states_)
    for row, copy in zip(rows, copies, strict=True):
        for position, tensor in enumerate(row):
            if position != 1 and tensor is not copy[position]:
                tensor.copy_(copy[position])


def _lie_alike(tensors: tuple[Tensor, ...]) -> bool:
    if all(tensor.is_contiguous() for tensor in tensors):
        return True
    return tensors[0].dim() == 4 and all(tensor.is_contiguous(memory_format=torch.channels_last)
                                         for tensor in tensors)


@functools.cache
def _infinite_step(device: torch.device) -> Tensor:
    """A step number at which torch's fused kernels correct no bias: the rules put the correction into lr."""
    return torch.full((), math.inf, device=device)


def adam(weights: Tensors, grads: Tensors, means: Tensors, variances: Tensors, *, lr: float, beta1: float = 0.9,
         beta2: float = 0.999, epsilon: float = 1e-8, wd: float = 0.0, rescale_grad: float = 1.0,
         clip: float | None = None) -> None:
    """g = grad + wd * weight;  mean, var = averages of g, g ** 2;  weight -= lr * mean / (sqrt(var) + epsilon)"""
    if clip is not None and clip >= 0:
        grads, wd = decayed(weights, grads, wd, rescale_grad, clip), 0.0
    else:
        grads = scaled(grads, rescale_grad, None)

    def step(weights, grads, means, variances):
        torch._fused_adam_(weights, grads, means, variances, [], [_infinite_step(weights[0].device)] * len(weights),
                           lr=lr, beta1=beta1, beta2=beta2, weight_decay=wd, eps=epsilon, amsgrad=False,
                           maximize=False)
    fused(step, weights, grads, means, variances)


def adamw(weights: Tensors, grads: Tensors, means: Tensors, variances: Tensors, *, lr: float, eta: float = 1.0,
          beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8, wd: float = 0.0,
          rescale_grad: float = 1.0, clip: float | None = None) -> None:
    """mean, var = averages of grad, grad ** 2;  weight -= eta * (lr * mean / (sqrt(var) + epsilon) + wd * weight)"""
    torch._foreach_mul_(weights, 1 - eta * wd)
    adam(weights, grads, means, variances, lr=eta * lr, beta1=beta1, beta2=beta2, epsilon=epsilon, wd=0.0,
         rescale_grad=rescale_grad, clip=clip)


def rmsprop(weights: Tensors, grads: Tensors, squares: Tensors, *, lr: float, gamma1: float = 0.95,
            epsilon: float = 1e-8, wd: float = 0.0, rescale_grad: float = 1.0, clip: float | None = None,
            clip_weights: float | None = None) -> None:
    """n = average of g ** 2;  weight -= lr * g / sqrt(n + epsilon);  weight held within +-clip_weights"""
    grads = decayed(weights, grads, wd, rescale_grad, clip)
    blend_squares(squares, grads, gamma1)
    roots = torch._foreach_add(squares, epsilon)
    torch._foreach_sqrt_(roots)
    torch._foreach_addcdiv_(weights, grads, roots, value=-lr)
    _hold(weights, clip_weights)


def rmsprop_centered(weights: Tensors, grads: Tensors, squares: Tensors, averages: Tensors, deltas: Tensors, *,
                     lr: float, gamma1: float = 0.95, gamma2: float = 0.9, epsilon: float = 1e-8, wd: float = 0.0,
                     rescale_grad: float = 1.0, clip: float | None = None,
                     clip_weights: float | None = None) -> None:
    """n, g = averages of grad ** 2, grad;  delta = gamma2 * delta - lr * grad / sqrt(n - g ** 2 + epsilon);
    weight += delta"""
    grads = decayed(weights, grads, wd, rescale_grad, clip)
    blend_squares(squares, grads, gamma1)
    blend(averages, grads, gamma1)
    roots = torch._foreach_addcmul(squares, averages, averages, value=-1)
    torch._foreach_add_(roots, epsilon)
    torch._foreach_sqrt_(roots)
    torch._foreach_mul_(deltas, gamma2)
    torch._foreach_addcdiv_(deltas, grads, roots, value=-lr)
    torch._foreach_add_(weights, deltas)
    _hold(weights, clip_weights)


def _hold(weights: Tensors, bound: float | None) -> None:
    if bound is not None and bound >= 0:
        torch._foreach_clamp_max_(weights, bound)
        torch._foreach_clamp_min_(weights, -bound)


def signsgd(weights: Tensors, grads: Tensors, *, lr: float, wd: float = 0.0, rescale_grad: float = 1.0,
            clip: float | None = None) -> None:
    """weight = (1 - lr * wd) * weight - lr * sign(grad);  rescaling and clipping keep the sign"""
    torch._foreach_mul_(weights, 1 - lr * wd)
    torch._foreach_add_(weights, torch._foreach_sign(grads), alpha=-lr)


def signum(weights: Tensors, grads: Tensors, moms: Tensors, *, lr: float, momentum: float, wd: float = 0.0,
           wd_lh: float = 0.0, rescale_grad: float = 1.0, clip: float | None = None) -> None:
    """mom = momentum * mom - (1 - momentum) * (grad + wd * weight);
    weight = (1 - lr * wd_lh) * weight + lr * sign(mom)"""
    grads = scaled(grads, rescale_grad, clip)
    torch._foreach_mul_(moms, momentum)
    torch._foreach_add_(moms, grads, alpha=-(1 - momentum))
    torch._foreach_add_(moms, weights, alpha=-(1 - momentum) * wd)
    torch._foreach_mul_(weights, 1 - lr * wd_lh)
    torch._foreach_add_(weights, torch._foreach_sign(moms), alpha=lr)


def ftrl(weights: Tensors, grads: Tensors, zs: Tensors, squares: Tensors, *, lr: float, lamda1: float = 0.01,
         beta: float = 1.0, wd: float = 0.0, rescale_grad: float = 1.0, clip: float | None = None) -> None:
    """z += grad - (sqrt(n + grad ** 2) - sqrt(n)) / lr * weight;  n += grad ** 2;
    weight = (sign(z) * lamda1 - z) / ((beta + sqrt(n)) / lr + wd) where |z| > lamda1, else 0"""
    for weight, grad, z, n in zip(weights, scaled(grads, rescale_grad, clip), zs, squares, strict=True):
        root = n.sqrt()
        n.addcmul_(grad, grad)
        new_root = n.sqrt()
        z.add_(grad).addcmul_(new_root - root, weight, value=-1 / lr)
        shrunk = torch.where(z.abs() > lamda1, z.sign() * lamda1 - z, torch.zeros_like(z))
        weight.copy_(shrunk / ((beta + new_root) / lr + wd))


def ftml(weights: Tensors, grads: Tensors, ds: Tensors, variances: Tensors, zs: Tensors, *, lr: float, t: int,
         beta1: float = 0.6, beta2: float = 0.999, epsilon: float = 1e-8, wd: float = 0.0,
         rescale_grad: float = 1.0, clip: float | None = None) -> None:
    """v = average of g ** 2;  d' = (1 - beta1 ** t) / lr * (sqrt(v / (1 - beta2 ** t)) + epsilon);
    z = beta1 * z + (1 - beta1) * g - (d' - beta1 * d) * weight;  weight = -z / d';  d = d'"""
    grads = decayed(weights, grads, wd, rescale_grad, clip)
    blend_squares(variances, grads, beta2)
    blend(zs, grads, beta1)
    for weight, d, variance, z in zip(weights, ds, variances, zs, strict=True):
        new_d = ((variance / (1 - beta2 ** t)).sqrt_() + epsilon).mul_((1 - beta1 ** t) / lr)
        z.addcmul_(new_d - beta1 * d, weight, value=-1)
        weight.copy_(-z / new_d)
        d.copy_(new_d)


def lamb_direction(weights: Tensors, grads: Tensors, means: Tensors, variances: Tensors, *, t: int,
                   beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-6, bias_correction: bool = True,
                   wd: float = 0.0, rescale_grad: float = 1.0, clip: float | None = None) -> Tensors:
    """mean / (sqrt(var) + epsilon) + wd * weight, with the averages' bias corrected: LAMB's step before its length."""
    grads = scaled(grads, rescale_grad, clip)
    blend(means, grads, beta1)
    blend_squares(variances, grads, beta2)
    correction1, correction2 = (1 - beta1 ** t, 1 - beta2 ** t) if bias_correction else (1.0, 1.0)
    roots = torch._foreach_sqrt(variances)
    torch._foreach_mul_(roots, correction2 ** -0.5)
    torch._foreach_add_(roots, epsilon)
    steps = torch._foreach_div(means, roots)
    torch._foreach_mul_(steps, 1 / correction1)
    if wd:
        torch._foreach_add_(steps, weights, alpha=wd)
    return steps


def lamb_step(weights: Tensors, directions: Tensors, *, lr: float, lower_bound: float | None = None,
              upper_bound: float | None = None) -> None:
    """weight -= lr * |weight| / |direction| * direction, |weight| held within the bounds; ratio 1 where one is 0"""
    weight_norms = torch._foreach_norm([weight.float() for weight in weights])
    direction_norms = torch._foreach_norm([direction.float() for direction in directions])
    for weight, direction, r1, r2 in zip(weights, directions, weight_norms, direction_norms, strict=True):
        weight.addcmul_(direction, trust_ratio(r1, r2, lower_bound, upper_bound).to(weight.dtype), value=-lr)


def trust_ratio(r1: Tensor, r2: Tensor, lower_bound: float | None, upper_bound: float | None) -> Tensor:
    """r1 / r2 with r1 held within the bounds (None or negative: no bound); 1 where r1 or r2 is 0.  r1, r2: float[]"""
    if lower_bound is not None and lower_bound >= 0:
        r1 = r1.clamp(min=lower_bound)
    if upper_bound is not None and upper_bound >= 0:
        r1 = r1.clamp(max=upper_bound)
    return torch.where((r1 == 0) | (r2 == 0), torch.ones_like(r1), r1 / r2)


def adagrad(weights: Tensors, grads: Tensors, histories: Tensors, *, lr: float, epsilon: float = 1e-7,
            wd: float = 0.0, rescale_grad: float = 1.0, clip: float | None = None) -> None:
    """history += grad ** 2;  weight -= lr * (grad / sqrt(history + epsilon) + wd * weight)"""
    grads = scaled(grads, rescale_grad, clip)
    torch._foreach_addcmul_(histories, grads, grads)
    roots = torch._foreach_add(histories, epsilon)
    torch._foreach_sqrt_(roots)
    torch._foreach_mul_(weights, 1 - lr * wd)
    torch._foreach_addcdiv_(weights, grads, roots, value=-lr)


def group_adagrad(weights: Tensors, grads: Tensors, histories: Tensors, *, lr: float, epsilon: float = 1e-5,
                  rescale_grad: float = 1.0, clip: float | None = None) -> None:
    """One rate a row: history += mean of grad ** 2 over the row;  weight -= lr * grad / sqrt(history + epsilon).
    weights, grads: T[N, ...];  histories: T[N, 1, ...]"""
    for weight, grad, history in zip(weights, scaled(grads, rescale_grad, clip), histories, strict=True):
        history += grad.square().mean(dim=tuple(range(1, grad.dim())), keepdim=True)
        weight.addcdiv_(grad, (history + epsilon).sqrt_(), value=-lr)


def adadelta(weights: Tensors, grads: Tensors, squares: Tensors, deltas: Tensors, *, rho: float = 0.9,
             epsilon: float = 1e-5, wd: float = 0.0, rescale_grad: float = 1.0, clip: float | None = None) -> None:
    """n = average of grad ** 2;  step = grad * sqrt(delta + epsilon) / sqrt(n + epsilon);
    delta = average of step ** 2;  weight -= step + wd * weight"""
    grads = scaled(grads, rescale_grad, clip)
    blend_squares(squares, grads, rho)
    steps = torch._foreach_sqrt(torch._foreach_add(deltas, epsilon))
    torch._foreach_div_(steps, torch._foreach_sqrt(torch._foreach_add(squares, epsilon)))
    torch._foreach_mul_(steps, grads)
    blend_squares(deltas, steps, rho)
    torch._foreach_mul_(weights, 1 - wd)
    torch._foreach_sub_(weights, steps)


def adamax(weights: Tensors, grads: Tensors, means: Tensors, bounds: Tensors, *, lr: float, t: int,
           beta1: float = 0.9, beta2: float = 0.999, wd: float = 0.0, rescale_grad: float = 1.0,
           clip: float | None = None) -> None:
    """mean = average of g;  bound = max(beta2 * bound, |g|);  weight -= lr / (1 - beta1 ** t) * mean / bound

    Where a weight has only seen gradients of 0 its bound is 0 and it stays (MXNet divides 0 by 0 there).
    """
    grads = decayed(weights, grads, wd, rescale_grad, clip)
    blend(means, grads, beta1)
    torch._foreach_mul_(bounds, beta2)
    torch._foreach_maximum_(bounds, torch._foreach_abs(grads))
    floors = torch._foreach_clamp_min(bounds, torch.finfo(bounds[0].dtype).tiny)
    torch._foreach_addcdiv_(weights, means, floors, value=-lr / (1 - beta1 ** t))


def nadam(weights: Tensors, grads: Tensors, means: Tensors, variances: Tensors, *, lr: float, t: int,
          schedule: float, momentum: float, next_momentum: float, beta1: float = 0.9, beta2: float = 0.999,
          epsilon: float = 1e-8, wd: float = 0.0, rescale_grad: float = 1.0, clip: float | None = None) -> None:
    """Adam's averages with Nesterov's look-ahead; `schedule` is the product of the momenta of updates 1..t."""
    grads = decayed(weights, grads, wd, rescale_grad, clip)
    blend(means, grads, beta1)
    blend_squares(variances, grads, beta2)
    roots = torch._foreach_sqrt(torch._foreach_div(variances, 1 - beta2 ** t))
    torch._foreach_add_(roots, epsilon)
    torch._foreach_addcdiv_(weights, grads, roots, value=-lr * (1 - momentum) / (1 - schedule))
    torch._foreach_addcdiv_(weights, means, roots, value=-lr * next_momentum / (1 - schedule * next_momentum))


def dcasgd(weights: Tensors, grads: Tensors, previous: Tensors, moms: Tensors | None, *, lr: float,
           momentum: float = 0.0, lamda: float = 0.04, wd: float = 0.0, rescale_grad: float = 1.0,
           clip: float | None = None) -> None:
    """step = -lr * (grad + wd * weight + lamda * grad ** 2 * (weight - previous));  mom = momentum * mom + step"""
    grads = scaled(grads, rescale_grad, clip)
    drifts = torch._foreach_sub(weights, previous)
    torch._foreach_mul_(drifts, grads)
    steps = torch._foreach_addcmul(grads, drifts, grads, value=lamda)
    torch._foreach_add_(steps, weights, alpha=wd)
    torch._foreach_mul_(steps, -lr)
    if moms is not None:
        torch._foreach_mul_(moms, momentum)
        torch._foreach_add_(moms, steps)
        steps = moms
    torch._foreach_copy_(previous, weights)
    torch._foreach_add_(weights, steps)


def lars_rates(weights: Tensors, grads: Tensors, *, eta: float, epsilon: float, wd: float,
               rescale_grad: float) -> list[float]:
    """eta * |weight| / (|grad| + wd * |weight| + epsilon) per tensor; 1 where a norm is 0."""
    weight_norms = torch.stack(torch._foreach_norm(weights)).tolist()
    grad_norms = torch.stack(torch._foreach_norm(grads)).tolist()
    return [eta * w / (g * rescale_grad + wd * w + epsilon) if w > 0 and g > 0 else 1.0
            for w, g in zip(weight_norms, grad_norms, strict=True)]
