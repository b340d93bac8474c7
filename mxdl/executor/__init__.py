"""Running a graph: straight-line programs, and the CachedOp that puts them on the tape."""
from .bound import Executor as Executor
from .cached_op import CachedOp as CachedOp
