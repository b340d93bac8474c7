"""The vision data sets under MXNet's module name."""
from .arrays import CIFAR10 as CIFAR10
from .arrays import CIFAR100 as CIFAR100
from .arrays import MNIST as MNIST
from .arrays import FashionMNIST as FashionMNIST
from .files import ImageFolderDataset as ImageFolderDataset
from .files import ImageListDataset as ImageListDataset
from .files import ImageRecordDataset as ImageRecordDataset
