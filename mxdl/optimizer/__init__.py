"""Optimizers: ``mx.optimizer.create("adam", learning_rate=1e-3)``, and updaters that keep their states."""
from . import contrib, description
from .adagrad import AdaDelta, AdaGrad, RMSProp
from .adam import FTML, Adam, Adamax, AdamW, Nadam
from .base import Optimizer, create, register
from .ftrl import Ftrl
from .layerwise import LAMB, LARS, LBSGD
from .sgd import DCASGD, NAG, SGD, SGLD, Test, ccSGD
from .sign import Signum
from .updater import Updater, get_updater

__all__ = ["AdaDelta", "AdaGrad", "Adam", "AdamW", "Adamax", "DCASGD", "FTML", "Ftrl", "LAMB", "LARS", "LBSGD", "NAG",
           "Nadam", "Optimizer", "RMSProp", "SGD", "SGLD", "Signum", "Test", "Updater", "ccSGD", "contrib", "create",
           "get_updater", "register"]
