"""BucketingModule: one module a bucket (say, a sentence length), all with the same parameters."""
from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from .. import model
from ..device import Context
from .base_module import DEFAULT_INITIALIZER, OPTIMIZER_SETTINGS, BaseModule
from .module import Module


class BucketingModule(BaseModule):
    """`sym_gen(bucket_key)` gives (symbol, data names, label names); a batch says its bucket in `bucket_key`.

    default_bucket_key: the bucket whose symbol has every parameter (the longest).
    """

    def __init__(self, sym_gen: Callable[[Any], tuple], default_bucket_key: Any = None, logger: Any = logging,
                 context: Context | Sequence[Context] | None = None, work_load_list: Any = None,
                 fixed_param_names: Sequence[str] | None = None, state_names: Sequence[str] | None = None,
                 group2ctxs: Any = None, compression_params: Any = None):
        super().__init__(logger)
        if default_bucket_key is None:
            raise ValueError("BucketingModule: which bucket has all parameters? got default_bucket_key=None; give it")
        self._sym_gen, self._default = sym_gen, default_bucket_key
        self._settings = {"logger": logger, "context": context, "fixed_param_names": fixed_param_names,
                          "state_names": state_names}
        self._modules: dict[Any, Module] = {}
        self._current: Module = self._make(default_bucket_key)
        self._grad_req: Any = "write"

    def _make(self, key: Any) -> Module:
        symbol, data_names, label_names = self._sym_gen(key)
        return Module(symbol, data_names, label_names, **self._settings)

    @property
    def symbol(self) -> Any:
        return self._current.symbol

    @property
    def data_names(self) -> list[str]:  # type: ignore[override]
        return self._current.data_names

    @property
    def output_names(self) -> list[str]:  # type: ignore[override]
        return self._current.output_names

    @property
    def data_shapes(self) -> list:  # type: ignore[override]
        return self._current.data_shapes

    @property
    def label_shapes(self) -> list:  # type: ignore[override]
        return self._current.label_shapes

    @property
    def output_shapes(self) -> list:  # type: ignore[override]
        return self._current.output_shapes

    def bind(self, data_shapes: Any, label_shapes: Any = None, for_training: bool = True,
             inputs_need_grad: bool = False, force_rebind: bool = False, shared_module: Any = None,
             grad_req: Any = "write") -> None:
        """Bind the default bucket; the others are bound when their first batch comes."""
        if self.binded and not force_rebind:
            self.logger.warning("BucketingModule.bind: bound before and left so; force_rebind=True binds anew")
            return
        self.for_training, self.inputs_need_grad, self._grad_req = for_training, inputs_need_grad, grad_req
        first = self._modules.get(self._default) or self._current
        first.bind(data_shapes, label_shapes, for_training, inputs_need_grad, force_rebind, grad_req=grad_req)
        self._modules = {self._default: first}
        self._current, self.binded = first, True

    def switch_bucket(self, bucket_key: Any, data_shapes: Any, label_shapes: Any = None) -> None:
        """Make the module of that bucket the current one, binding it if it is new."""
        if bucket_key not in self._modules:
            module = self._make(bucket_key)
            default = self._modules[self._default]
            module.bind(data_shapes, label_shapes, self.for_training, self.inputs_need_grad, shared_module=default,
                        grad_req=self._grad_req)
            if self.optimizer_initialized:
                module.borrow_optimizer(default)
            self._modules[bucket_key] = module
        self._current = self._modules[bucket_key]

    def init_params(self, initializer: Any = DEFAULT_INITIALIZER, arg_params: Any = None, aux_params: Any = None,
                    allow_missing: bool = False, force_init: bool = False, allow_extra: bool = False) -> None:
        """Set the parameters, which all buckets share."""
        self._modules[self._default].init_params(initializer, arg_params, aux_params, allow_missing, force_init,
                                                 allow_extra)
        self.params_initialized = True

    def get_params(self) -> tuple[dict, dict]:
        return self._modules[self._default].get_params()

    def init_optimizer(self, kvstore: Any = "local", optimizer: Any = "sgd",
                       optimizer_params: Any = OPTIMIZER_SETTINGS, force_init: bool = False) -> None:
        """Choose how parameters are updated, in every bucket."""
        default = self._modules[self._default]
        default.init_optimizer(kvstore, optimizer, optimizer_params, force_init)
        for module in self._modules.values():
            if module is not default:
                module.borrow_optimizer(default)
        self.optimizer_initialized = True

    def prepare(self, data_batch: Any, sparse_row_id_fn: Callable | None = None) -> None:
        """Bind the bucket of the next batch, and stay on the current one."""
        current = self._current
        self.switch_bucket(data_batch.bucket_key, data_batch.provide_data, data_batch.provide_label)
        self._current = current

    def forward(self, data_batch: Any, is_train: bool | None = None) -> None:
        """Switch to the batch's bucket and run it."""
        self.switch_bucket(data_batch.bucket_key, data_batch.provide_data, data_batch.provide_label)
        self._current.forward(data_batch, is_train)

    def backward(self, out_grads: Any = None) -> None:
        self._current.backward(out_grads)

    def update(self) -> None:
        self._current.update()

    def get_outputs(self, merge_multi_context: bool = True) -> list:
        return self._current.get_outputs(merge_multi_context)

    def get_input_grads(self, merge_multi_context: bool = True) -> list:
        return self._current.get_input_grads(merge_multi_context)

    def get_states(self, merge_multi_context: bool = True) -> list:
        return self._current.get_states(merge_multi_context)

    def set_states(self, states: Any = None, value: Any = None) -> None:
        self._current.set_states(states, value)

    def update_metric(self, eval_metric: Any, labels: Any, pre_sliced: bool = False) -> None:
        self._current.update_metric(eval_metric, labels, pre_sliced)

    def install_monitor(self, mon: Any) -> None:
        for module in self._modules.values():
            module.install_monitor(mon)

    def save_checkpoint(self, prefix: str, epoch: int, remove_amp_cast: bool = False) -> None:
        """Write the parameters, and each bucket's symbol as ``PREFIX-KEY-symbol.json``."""
        arg_params, aux_params = self.get_params()
        model.save_params(f"{prefix}-{epoch:04d}.params", arg_params, aux_params)
        for key, module in self._modules.items():
            module.symbol.save(f"{prefix}-{key}-symbol.json", remove_amp_cast=remove_amp_cast)

    @staticmethod
    def load(prefix: str, epoch: int, sym_gen: Callable | None = None, default_bucket_key: Any = None,
             **kwargs: Any) -> BucketingModule:
        """A module whose parameters are those of a checkpoint, set when it is bound."""
        if sym_gen is None:
            raise ValueError("BucketingModule.load: buckets are made by sym_gen; got sym_gen=None; give it")
        module = BucketingModule(sym_gen, default_bucket_key, **kwargs)
        module._current._loaded = model.load_params(prefix, epoch)
        module._current.params_initialized = module.params_initialized = True
        return module
