"""Blocks and samplers that MXNet kept outside its stable interface."""
from . import cnn as cnn
from . import data as data
from . import nn as nn
from . import rnn as rnn
