"""Evaluation metrics: ``mx.metric.create("acc")``, classes, and functions of your own as metrics."""
from .base import EvalMetric, alias, check_label_shapes, register
from .binary import F1, MCC
from .classification import Accuracy, TopKAccuracy
from .composite import CompositeEvalMetric, create
from .correlation import PCC, PearsonCorrelation
from .custom import Caffe, CustomMetric, Loss, Torch, np
from .likelihood import CrossEntropy, NegativeLogLikelihood, Perplexity
from .regression import MAE, MSE, RMSE

__all__ = ["Accuracy", "Caffe", "CompositeEvalMetric", "CrossEntropy", "CustomMetric", "EvalMetric", "F1", "Loss",
           "MAE", "MCC", "MSE", "NegativeLogLikelihood", "PCC", "PearsonCorrelation", "Perplexity", "RMSE",
           "TopKAccuracy", "Torch", "alias", "check_label_shapes", "create", "np", "register"]
