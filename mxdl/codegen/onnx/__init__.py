"""The graph as an ONNX model, so that people can leave for other runtimes."""
from .convert import export_onnx as export_onnx
from .convert import onnx_model as onnx_model
