"""Optimizers by name; each option is the optimizer's own."""
from ..check import Fraction, NonNegative
from ..components import component


def _create(name: str, **options):
    from mxdl import optimizer
    return optimizer.create(name, **options)


@component("optimizer")
def sgd(*, learning_rate: NonNegative = 0.1, momentum: Fraction = 0.0, wd: NonNegative = 0.0):
    """Stochastic gradient descent, with momentum."""
    return _create("sgd", learning_rate=learning_rate, momentum=momentum, wd=wd)


@component("optimizer")
def nag(*, learning_rate: NonNegative = 0.1, momentum: Fraction = 0.9, wd: NonNegative = 0.0):
    """Nesterov's accelerated gradient."""
    return _create("nag", learning_rate=learning_rate, momentum=momentum, wd=wd)


@component("optimizer")
def adam(*, learning_rate: NonNegative = 0.001, beta1: Fraction = 0.9, beta2: Fraction = 0.999,
         epsilon: NonNegative = 1e-8, wd: NonNegative = 0.0):
    """Adam; `wd` is added to the gradient."""
    return _create("adam", learning_rate=learning_rate, beta1=beta1, beta2=beta2, epsilon=epsilon, wd=wd)


@component("optimizer")
def rmsprop(*, learning_rate: NonNegative = 0.001, gamma1: Fraction = 0.9, wd: NonNegative = 0.0):
    """RMSProp."""
    return _create("rmsprop", learning_rate=learning_rate, gamma1=gamma1, wd=wd)


@component("optimizer")
def signum(*, learning_rate: NonNegative = 0.01, momentum: Fraction = 0.9, wd: NonNegative = 0.0):
    """The sign of the momentum."""
    return _create("signum", learning_rate=learning_rate, momentum=momentum, wd=wd)
