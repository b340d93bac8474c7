"""Vision data sets and transforms."""
from . import datasets as datasets
from . import transforms as transforms
from .arrays import CIFAR10, CIFAR100, MNIST, FashionMNIST
from .files import ImageFolderDataset, ImageListDataset, ImageRecordDataset

__all__ = ["CIFAR10", "CIFAR100", "FashionMNIST", "ImageFolderDataset", "ImageListDataset", "ImageRecordDataset",
           "MNIST", "transforms"]
