"""Blocks that MXNet kept outside its stable interface."""
from . import nn as nn
