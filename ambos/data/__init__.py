"""Examples: datasets, samplers, the loader with its workers, and real data inside the package."""

from typing import TYPE_CHECKING

from ambos.core.arguments import answering
from ambos.data import cache, streams  # noqa: F401  (stages of pipelines register themselves)
from ambos.data.archives import from_tfrecord, from_webdataset
from ambos.data.arrays import from_hdf5, from_npy, from_npz
from ambos.data.cardinality import INFINITE_CARDINALITY, UNKNOWN_CARDINALITY
from ambos.data.categories import CategoryEncoding, Discretization, Hashing
from ambos.data.collate import default_collate, default_convert
from ambos.data.columns import from_arrow, from_csv, from_parquet
from ambos.data.combining import (
    ChainDataset,
    ConcatDataset,
    StackDataset,
    Subset,
    random_split,
)
from ambos.data.dataset import ArrayDataset, Dataset, IterableDataset, TensorDataset
from ambos.data.digits import digits
from ambos.data.directories import image_dataset_from_directory, text_dataset_from_directory
from ambos.data.fluent import AUTOTUNE
from ambos.data.folders import ImageFolder
from ambos.data.hugging_face import from_huggingface
from ambos.data.information import WorkerInfo, get_worker_info
from ambos.data.loader import DataLoader
from ambos.data.lookup import IntegerLookup, StringLookup
from ambos.data.public_sets import cifar10, cifar100, fashion_mnist, kmnist, mnist
from ambos.data.randomness import random
from ambos.data.samplers import (
    BatchSampler,
    DistributedSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from ambos.data.tables import breast_cancer, diabetes, feature_names, iris, wine
from ambos.data.text import TextVectorization
from ambos.data.windows import timeseries_dataset_from_array

__all__ = [
    "AUTOTUNE",
    "INFINITE_CARDINALITY",
    "UNKNOWN_CARDINALITY",
    "ArrayDataset",
    "BatchSampler",
    "CategoryEncoding",
    "ChainDataset",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "Discretization",
    "DistributedSampler",
    "Hashing",
    "ImageFolder",
    "IntegerLookup",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "StackDataset",
    "StringLookup",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "TextVectorization",
    "WeightedRandomSampler",
    "WorkerInfo",
    "breast_cancer",
    "cifar10",
    "cifar100",
    "default_collate",
    "default_convert",
    "diabetes",
    "digits",
    "fashion_mnist",
    "feature_names",
    "from_arrow",
    "from_csv",
    "from_hdf5",
    "from_huggingface",
    "from_npy",
    "from_npz",
    "from_parquet",
    "from_tfrecord",
    "from_webdataset",
    "get_worker_info",
    "image_dataset_from_directory",
    "iris",
    "kmnist",
    "mnist",
    "random",
    "random_split",
    "text_dataset_from_directory",
    "timeseries_dataset_from_array",
    "wine",
]  # fmt: skip

if not TYPE_CHECKING:  # a type checker knows the names, and would take this for any name
    __getattr__ = answering(__name__, __all__)
