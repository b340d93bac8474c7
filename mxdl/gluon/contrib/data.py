"""``gluon.contrib.data``: the sampler that MXNet keeps here."""
from ..data.sampler import IntervalSampler as IntervalSampler
