"""Block: a layer or a model, which is parameters, child blocks and a `forward` on arrays."""
from __future__ import annotations

import importlib
import re
import warnings
from collections.abc import Callable
from typing import Any

from .. import initializer, ndarray
from ..errors import unknown_arguments
from .hooks import HookHandle
from .location import locate
from .parameter import Parameter
from .parameter_dict import NAMING_HELP, ParameterDict, brief
from .scope import BlockScope


class Block:
    """The base of layers and models.

    prefix: put before the names of parameters and children; by default made from the class name and a counter.
    params: a ParameterDict to share parameters with.

    Blocks that are assigned as attributes become children, Parameters become this block's own.
    """

    # Set for hybrid blocks whose `forward` is traced by running it on arrays; see HybridBlock.
    _traces_forward = False

    def __init__(self, prefix: str | None = None, params: ParameterDict | None = None, **unknown: Any):
        if unknown:
            raise TypeError(unknown_arguments(type(self), unknown))
        self._empty_prefix = prefix == ""
        self._prefix, self._params = BlockScope.create(prefix, params, self._alias())
        self._name = self._prefix.removesuffix("_")
        self._scope = BlockScope(self)
        self._children: dict[str, Block] = {}
        self._reg_params: dict[str, Parameter] = {}
        self._forward_hooks: dict[int, Callable] = {}
        self._forward_pre_hooks: dict[int, Callable] = {}

    def _alias(self) -> str:
        """The word that default prefixes are made from."""
        return self.__class__.__name__.lower()

    def __repr__(self) -> str:
        children = "\n".join(f"  ({key}): {indent(repr(block))}" for key, block in self.__dict__.items()
                             if isinstance(block, Block))
        return f"{self.__class__.__name__}(\n{children}\n)"

    def __setattr__(self, name: str, value: Any) -> None:
        present = self.__dict__.get(name)
        if isinstance(present, (Parameter, Block)) and not _same_kind(present, value):
            raise TypeError(f"{type(self).__name__}.{name}: holds a {type(present).__name__} and keeps that kind; got "
                            f"a {type(value).__name__}; use another attribute")
        if isinstance(value, Block):
            self.register_child(value, name)
        elif isinstance(value, Parameter):
            if name in self._reg_params:
                raise AssertionError(f"{type(self).__name__}.{name}: a Parameter is in place and stays; got {value}; "
                                     f"to share parameters, give the block params=other.params when making it")
            self._reg_params[name] = value
        object.__setattr__(self, name, value)

    # -- names and parameters ---------------------------------------------------------------------------------
    @property
    def prefix(self) -> str:
        """What the names of this block's parameters start with."""
        return self._prefix

    @property
    def name(self) -> str:
        """The prefix without its last underscore."""
        return self._name

    def name_scope(self) -> BlockScope:
        """``with self.name_scope():`` in which children and parameters are made."""
        return self._scope

    @property
    def params(self) -> ParameterDict:
        """This block's own parameters, without its children's."""
        return self._params

    def collect_params(self, select: str | None = None) -> ParameterDict:
        """The parameters of this block and of all blocks below; `select` is a regular expression on their names."""
        self._warn_of_blocks_in_containers()
        found = ParameterDict(self._params.prefix)
        found.update(self.params if select is None else self.params.select(select))
        own = {p.name: p for p in self._reg_params.values()}
        chosen = own if select is None else {n: p for n, p in own.items() if re.match(select, n)}
        found.update({n: p for n, p in chosen.items() if n not in found})
        for child in self._children.values():
            found.update(child.collect_params(select))
        return found

    def _warn_of_blocks_in_containers(self) -> None:
        children = set(map(id, self._children.values()))
        for key, value in self.__dict__.items():
            if key.startswith("_") or not isinstance(value, (list, tuple, dict)):
                continue
            if any(isinstance(item, Block) and id(item) not in children for item in _leaves(value)):
                warnings.warn(f"{type(self).__name__}.{key}: blocks in a list, tuple or dict are not children, so "
                              f"their parameters are left out; got a {type(value).__name__}; use nn.Sequential, "
                              f"nn.HybridSequential or register_child()", stacklevel=3)

    def _collect_params_with_prefix(self, prefix: str = "") -> dict[str, Parameter]:
        """Parameters by structural name: ``features.0.weight``."""
        prefix += "." if prefix else ""
        found = {prefix + name: param for name, param in self._reg_params.items()}
        for name, child in self._children.items():
            found.update(child._collect_params_with_prefix(prefix + name))
        return found

    # -- files ------------------------------------------------------------------------------------------------
    def save_parameters(self, filename: str, deduplicate: bool = False) -> None:
        """Write the parameters under their structural names.

        deduplicate: write a shared parameter once, under the last of its names.
        """
        params = self._collect_params_with_prefix()
        if deduplicate:
            last_name = {param: name for name, param in params.items()}
            params = {name: param for name, param in params.items() if last_name[param] == name}
        ndarray.save(filename, {name: param._reduce() for name, param in params.items()})

    def save_params(self, filename: str) -> None:
        """The old name of `save_parameters`, writing full names without this block's prefix."""
        warnings.warn("Block.save_params: deprecated, an old name; use save_parameters", stacklevel=2)
        self.collect_params().save(filename, strip_prefix=self.prefix)

    def load_parameters(self, filename: str, ctx: Any = None, allow_missing: bool = False,
                        ignore_extra: bool = False, cast_dtype: bool = False, dtype_source: str = "current") -> None:
        """Read a file of `save_parameters`, of `collect_params().save` or of `export`.

        cast_dtype: convert where dtypes differ, to the parameter's dtype ("current") or to the file's ("saved").
        Raises AssertionError for missing and unknown names, and for other shapes.
        """
        loaded = ndarray.load(filename)
        params = self._collect_params_with_prefix()
        if not loaded and not params:
            return
        if not isinstance(loaded, dict):
            raise ValueError(f"{filename}: holds a list of arrays without names; expected names of parameters")
        if not any("." in name for name in loaded):
            self._load_full_names(loaded, filename, ctx, allow_missing, ignore_extra, cast_dtype, dtype_source)
            return
        if not allow_missing:
            # A shared parameter is present if any of its names is.
            present = {param for name, param in params.items() if name in loaded}
            for name, param in params.items():
                if param not in present:
                    raise AssertionError(
                        f"load_parameters: file '{filename}' lacks parameter '{name}'; got {brief(loaded)}; "
                        f"allow_missing=True leaves it as it is")
        for name, array in loaded.items():
            if name in params:
                params[name]._load_init(array, ctx, cast_dtype, dtype_source)
            elif not ignore_extra:
                raise AssertionError(
                    f"load_parameters: this block has no parameter '{name}'; got it from file '{filename}', where "
                    f"{brief(params)} are looked for; ignore_extra=True skips it. {NAMING_HELP}")

    def _load_full_names(self, loaded: dict, filename: str, ctx: Any, allow_missing: bool, ignore_extra: bool,
                         cast_dtype: bool, dtype_source: str) -> None:
        params = self.collect_params()
        complete = any(name.removeprefix("arg:").removeprefix("aux:") in params for name in loaded)
        params.load_dict(loaded, ctx, allow_missing, ignore_extra, "" if complete else self.prefix, filename,
                         cast_dtype, dtype_source)

    def load_params(self, filename: str, ctx: Any = None, allow_missing: bool = False,
                    ignore_extra: bool = False) -> None:
        """The old name of `load_parameters`."""
        warnings.warn("Block.load_params: deprecated, an old name; use load_parameters", stacklevel=2)
        self.load_parameters(filename, ctx, allow_missing, ignore_extra)

    # -- children and hooks -----------------------------------------------------------------------------------
    def register_child(self, block: Block, name: str | None = None) -> None:
        """Make `block` a child, by default under the next number."""
        self._children[str(len(self._children)) if name is None else name] = block

    def register_forward_pre_hook(self, hook: Callable) -> HookHandle:
        """Call ``hook(block, inputs)`` before each forward; returns a handle with `detach`."""
        return HookHandle(self._forward_pre_hooks, hook)

    def register_forward_hook(self, hook: Callable) -> HookHandle:
        """Call ``hook(block, inputs, output)`` after each forward; returns a handle with `detach`."""
        return HookHandle(self._forward_hooks, hook)

    def apply(self, fn: Callable[[Block], Any]) -> Block:
        """Call `fn` on every block below, then on this one."""
        for child in self._children.values():
            child.apply(fn)
        fn(self)
        return self

    # -- settings of all blocks below -------------------------------------------------------------------------
    def initialize(self, init: Any = None, ctx: Any = None, verbose: bool = False, force_reinit: bool = False) -> None:
        """Initialize all parameters; those whose shape is not known yet at the first forward."""
        init = initializer.Uniform() if init is None else init
        self.collect_params().initialize(init, ctx, verbose, force_reinit)

    def hybridize(self, active: bool = True, **kwargs: Any) -> None:
        """Hybridize every hybrid block below; see `HybridBlock.hybridize`."""
        for child in self._children.values():
            child.hybridize(active, **kwargs)

    def cast(self, dtype: Any) -> None:
        """Convert all parameters to another dtype."""
        for child in self._children.values():
            child.cast(dtype)
        for param in {**self.params._params, **self._reg_params}.values():
            param.cast(dtype)

    # -- running ----------------------------------------------------------------------------------------------
    def __call__(self, *args: Any) -> Any:
        try:
            for hook in self._forward_pre_hooks.values():
                hook(self, args)
            out = self._forward_traced(*args) if self._traces_forward else self.forward(*args)
            for hook in self._forward_hooks.values():
                hook(self, args, out)
            return out
        except Exception as error:
            locate(error, self)
            raise

    def forward(self, *args: Any) -> Any:
        """The computation, on arrays; write it in your subclass."""
        raise NotImplementedError(f"{type(self).__name__}.forward is not written")

    def summary(self, *inputs: Any) -> None:
        """Print each layer's output shape and number of parameters, as met in a forward on `inputs`."""
        from .summary import print_summary
        print_summary(self, *inputs)


def indent(text: str, spaces: int = 2) -> str:
    """`text` with every line but the first indented."""
    return text.replace("\n", "\n" + " " * spaces)


def _same_kind(present: Any, value: Any) -> bool:
    return isinstance(value, type(present)) or isinstance(present, type(value))


def _leaves(container: list | tuple | dict):
    for item in container.values() if isinstance(container, dict) else container:
        if isinstance(item, (list, tuple, dict)):
            yield from _leaves(item)
        else:
            yield item


def __getattr__(name: str) -> Any:
    """Names that MXNet has in this module and mxdl in one above it: ``from mxnet.gluon.block import HybridBlock``."""
    places = {"HybridBlock": "hybrid", "SymbolBlock": "symbol_block", "_flatten": "structure", "_regroup": "structure"}
    if name not in places:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__package__}.{places[name]}"), name.lstrip("_"))
