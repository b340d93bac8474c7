"""``gluon.contrib.cnn``: convolutions whose windows move."""
from .deformable import DeformableConvolution as DeformableConvolution
from .deformable import ModulatedDeformableConvolution as ModulatedDeformableConvolution

__all__ = ["DeformableConvolution", "ModulatedDeformableConvolution"]
