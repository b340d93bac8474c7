"""More layers: branches side by side, identity, pixel shuffles, batch norm over devices."""
from .branches import Concurrent, HybridConcurrent, Identity
from .pixel_shuffle import PixelShuffle1D, PixelShuffle2D, PixelShuffle3D
from .sparse_embedding import SparseEmbedding
from .sync_batch_norm import SyncBatchNorm
