"""Several metrics as one, and `create`, which makes any metric."""
from __future__ import annotations

from .base import EvalMetric, alias, as_list, create_by_name
from .custom import CustomMetric


def create(metric, *args, **kwargs) -> EvalMetric:
    """The metric of that name; a function ``feval(label, pred)`` becomes a `CustomMetric`, a list a composite."""
    if isinstance(metric, (list, tuple)):
        composite = CompositeEvalMetric()
        for part in metric:
            composite.add(create(part, *args, **kwargs))
        return composite
    if callable(metric) and not isinstance(metric, EvalMetric):
        return CustomMetric(metric, *args, **kwargs)
    return create_by_name(metric, *args, **kwargs)


@alias("composite", "compositeevalmetric")
class CompositeEvalMetric(EvalMetric):
    """Metrics that are updated together; `get` returns a list of names and a list of values.

    Args:
        metrics: metrics, or their names.
    """

    def __init__(self, metrics=None, name: str = "composite", output_names=None, label_names=None):
        self.metrics = [create(metric) for metric in metrics or []]
        super().__init__(name, output_names, label_names, has_global_stats=True)

    def add(self, metric) -> None:
        """Appends a metric, or the metric of a name."""
        self.metrics.append(create(metric))

    def get_metric(self, index: int) -> EvalMetric:
        """The metric at `index`.  Raises ValueError out of range."""
        if not -len(self.metrics) <= index < len(self.metrics):
            raise ValueError(f"CompositeEvalMetric.get_metric: there are {len(self.metrics)} metrics; got {index}")
        return self.metrics[index]

    def update_dict(self, labels, preds) -> None:
        if self.label_names is not None:
            labels = {name: array for name, array in labels.items() if name in self.label_names}
        if self.output_names is not None:
            preds = {name: array for name, array in preds.items() if name in self.output_names}
        for metric in self.metrics:
            metric.update_dict(labels, preds)

    def update(self, labels, preds) -> None:
        for metric in self.metrics:
            metric.update(labels, preds)

    def reset(self) -> None:
        for metric in self.metrics:
            metric.reset()

    def reset_local(self) -> None:
        for metric in self.metrics:
            metric.reset_local()

    def get(self) -> tuple[list[str], list[float]]:
        return _gather(metric.get() for metric in self.metrics)

    def get_global(self) -> tuple[list[str], list[float]]:
        return _gather(metric.get_global() for metric in self.metrics)

    def get_config(self) -> dict:
        return {**super().get_config(), "metrics": [metric.get_config() for metric in self.metrics]}


def _gather(results) -> tuple[list[str], list[float]]:
    names, values = [], []
    for name, value in results:
        names += as_list(name)
        values += as_list(value)
    return names, values
