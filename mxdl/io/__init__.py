"""Data iterators of the symbolic API: batches with names, shapes and padding."""
from .arrays import NDArrayIter
from .batch import DataBatch, DataDesc
from .files import CSVIter, MNISTIter
from .iterator import DataIter, PrefetchingIter, ResizeIter
from .records import ImageRecordIter, ImageRecordUInt8Iter

__all__ = ["CSVIter", "DataBatch", "DataDesc", "DataIter", "ImageRecordIter", "ImageRecordUInt8Iter", "MNISTIter",
           "NDArrayIter", "PrefetchingIter", "ResizeIter"]
