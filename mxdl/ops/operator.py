"""The operator: one decorated torch function is all that mxdl knows of an operator.

    @operator("FullyConnected", traits=Traits(recompute=COSTLY), samples=[...])
    def fully_connected(data, weight, bias=None, *, num_hidden: int, no_bias: bool = False, flatten: bool = True):
        '''data @ weight.T + bias ...'''
        ...torch code, pure: tensors in, tensor or tuple of tensors out...

Positional parameters are tensors (default None: optional; *args: as many as given).  Keyword-only parameters are
attributes.  Two keyword-only names are not attributes but given by whoever runs the kernel: `training: bool` and
`seed: int`.  Below the body stand, where needed, `.gradient`, `.surrogate_gradient`, `.complete`, `.inputs`, `.emit_c`.
"""
from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import OperatorError, suggest
from . import registry
from .attributes import REQUIRED, Attribute
from .samples import Sample
from .traits import Traits

RESERVED = ("training", "seed")


class GradientCall(NamedTuple):
    """What a gradient rule is given.  Values are graph values or torch tensors: rules call operators on them.

    inputs: the node's inputs.   outputs: its outputs.   douts: gradient of each output, None where none flows.
    needs: which inputs want a gradient.   attrs: every attribute with defaults filled in, and `training`.
    """

    inputs: tuple
    outputs: tuple
    douts: tuple
    needs: tuple[bool, ...]
    attrs: Mapping[str, Any]

    def spread(self, grads: Any) -> list:
        """One entry an input: the next of `grads` (a value or a tuple) where one is needed, None elsewhere."""
        rest = iter(grads if type(grads) is tuple else (grads,))
        return [next(rest) if need else None for need in self.needs]


Rule = Callable[[GradientCall], Sequence[Any]]


class NotDifferentiable:
    """The explicit negative: gradients stop here (as MXNet's zero gradients do)."""


NOT_DIFFERENTIABLE = NotDifferentiable()


class TrainingOnly:
    """The explicit negative for `.emit_c`: the operator never stands in an exported graph."""


TRAINING_ONLY = TrainingOnly()


class Operator:
    """An operator's data sheet.  Make one with the `operator` decorator."""

    def __init__(self, name: str, kernel: Callable, *, aliases: Sequence[str] = (), traits: Traits | None = None,
                 samples: Sequence[Sample] = (), num_outputs: int | Callable[[Mapping], int] = 1,
                 num_visible: int | Callable[[Mapping], int] | None = None, updates: Mapping[int, str] | None = None,
                 auxiliary: Sequence[str] = (), initializers: Mapping[str, str] | None = None,
                 output_names: Sequence[str] | Callable[[Mapping], Sequence[str]] = (),
                 mxnet_outputs: int | Callable[[Mapping], int] | None = None, ignored: Sequence[str] = (),
                 parity: str | None = "", gradient: Rule | NotDifferentiable | None = None):
        self.name = name
        self.aliases = tuple(aliases)
        self.kernel = kernel
        self.doc = inspect.getdoc(kernel) or ""
        self.traits = traits or Traits()
        self.samples = tuple(samples)
        self._num_outputs, self._num_visible = num_outputs, num_visible
        #: output index -> name of the input that the caller overwrites with it
        self.updates = dict(updates or {})
        #: inputs that are auxiliary states (running statistics), not arguments
        self.auxiliary = frozenset(auxiliary)
        #: input name -> the ``__init__`` that a variable made for it carries, as MXNet writes it ('["zero", {}]')
        self.initializers = dict(initializers or {})
        self._output_names = output_names
        self._mxnet_outputs = mxnet_outputs
        #: attributes that MXNet's files carry and that mean nothing here (cudnn_tune, workspace)
        self.ignored = frozenset(ignored)
        #: "" where the operator equals MXNet's of the same name; else the reason why it is not compared
        self.parity = parity
        self.gradient_rule: Rule | NotDifferentiable | None = gradient
        #: True where the rule is on purpose not the derivative of the body (SoftmaxOutput, BlockGrad)
        self.surrogate = False
        self.complete_rule: Callable | None = None
        self.inputs_rule: Callable[[Mapping], Sequence[str] | None] | None = None
        self.in_place_kernel: Callable | None = None
        #: (attrs) -> which output the in-place kernel writes over the first input
        self.in_place_output: Callable[[Mapping], int] = lambda attrs: 0
        #: whether it adds what it computes into its first input (see `accumulating`)
        self.is_accumulating = False
        self.accumulate_kernel: Callable | None = None
        self.accumulated_output: Callable[[Mapping], int | None] = lambda attrs: None
        self.invert_rule: Callable | None = None
        self.infer_rule: Callable | None = None
        self.scratch_rule: Callable | None = None
        self.flops_rule: Callable | None = None
        self.moves_rule: Callable | None = None
        self.again_rule: Callable | None = None
        self.affine_rule: Callable | None = None
        self.absorb_rule: Callable | None = None
        self.emit_c_rule: Any = None
        self.lower_c_rule: Callable | None = None
        #: consuming operator -> rule: see `followed_by`
        self.followers: dict[Operator, Callable] = {}
        self.blocked_rule: Callable | None = None
        self.vector_rule: Callable | None = None
        self._read_signature()

    def _read_signature(self) -> None:
        hints = typing.get_type_hints(self.kernel)
        self.parameters: list[str] = []      # tensor parameters, in order
        self.optional: set[str] = set()
        self.variadic: str | None = None
        self.attributes: dict[str, Attribute] = {}
        self.reserved: set[str] = set()
        for p in inspect.signature(self.kernel).parameters.values():
            if p.kind is p.VAR_POSITIONAL:
                self.variadic = p.name
            elif p.kind is not p.KEYWORD_ONLY:
                self.parameters.append(p.name)
                if p.default is not p.empty:
                    self.optional.add(p.name)
            elif p.name in RESERVED:
                self.reserved.add(p.name)
            else:
                self.attributes[p.name] = Attribute(p.name, hints[p.name], p.default)
        self.defaults = {a.name: a.default for a in self.attributes.values() if a.default is not REQUIRED}
        self.needs_training = "training" in self.reserved
        self.needs_seed = "seed" in self.reserved

    # -- decorators for the lines below a body ---------------------------------------------------------------
    def gradient(self, rule: Rule) -> Rule:
        """Set the explicit gradient rule: `rule(call: GradientCall) -> one value or None an input`."""
        self.gradient_rule = rule
        return rule

    def surrogate_gradient(self, rule: Rule) -> Rule:
        """Set a gradient that is on purpose not the body's derivative; eager mode uses it too."""
        self.surrogate = True
        return self.gradient(rule)

    def complete(self, rule: Callable) -> Callable:
        """Set `rule(shapes: dict input name -> shape or None, **attrs) -> dict input name -> shape` for parameters
        whose shape follows from the data's and the attributes (deferred initialization)."""
        self.complete_rule = rule
        return rule

    def invert(self, rule: Callable) -> Callable:
        """Set `rule(out shape, input shapes, attrs with defaults) -> input shapes`: what is known of the inputs once
        the output's shape is (parameters that reach their layer through this operator).  Input shapes are None, or
        hold 0 where a length is not known; so may the result."""
        self.invert_rule = rule
        return rule

    def inputs(self, rule: Callable[[Mapping], Sequence[str] | None]) -> Callable:
        """Set `rule(attrs with defaults) -> names of the inputs in use` where attributes switch inputs on and off;
        None where any number may be given."""
        self.inputs_rule = rule
        return rule

    def in_place(self, kernel: Callable) -> Callable:
        """Set a kernel of the same signature that may overwrite the first input (trait `inplace` (0, 0)); programs call
        it where nothing else reads that input."""
        def where_each_element_has_its_place(first: Any, *rest: Any, **attrs: Any) -> Any:
            # a gradient stretched by expand() holds many elements in one place: not to be written
            return (self.kernel if 0 in first.stride() else kernel)(first, *rest, **attrs)
        self.in_place_kernel = where_each_element_has_its_place
        return kernel

    def accumulate(self, output: Callable[[Mapping], int | None] = lambda attrs: 0) -> Callable[[Callable], Callable]:
        """Set a kernel (total, *inputs, **attrs) -> outputs that adds the output numbered `output(attrs)` into `total`,
        in its memory: a gradient of many parts then never holds a part beside the sum.  See `accumulating`."""
        def register(kernel: Callable) -> Callable:
            self.accumulate_kernel, self.accumulated_output = kernel, output
            return kernel
        return register

    def infer(self, rule: Callable) -> Callable:
        """Set `rule(input types, attrs with defaults and `training`) -> output types` where the body cannot run on
        meta tensors, or where a first call should not wait for torch to load what runs it there."""
        self.infer_rule = rule
        return rule

    def scratch(self, rule: Callable) -> Callable:
        """Set `rule(input types, attrs with defaults) -> bytes` that the kernel takes for itself while it runs, beside
        its inputs and outputs: what the memory plan adds to that step."""
        self.scratch_rule = rule
        return rule

    def flops(self, rule: Callable) -> Callable:
        """Set `rule(input types, output types, attrs with defaults) -> floating-point operations` (a multiplication and
        an addition are two); without it, an operation an element is assumed."""
        self.flops_rule = rule
        return rule

    def moves(self, rule: Callable) -> Callable:
        """Set `rule(input types, output types, attrs with defaults) -> bytes read and written` of an operator that goes
        over an input more than once; without it, each is counted once."""
        self.moves_rule = rule
        return rule

    def again(self, rule: Callable) -> Callable:
        """Set `rule(inputs, outputs, attrs with defaults) -> (operator, inputs, attrs)`: what makes the first output
        anew, with the same bits and no effect, from inputs and small other outputs (statistics) that are then kept
        for it; None where only the operator itself does.  Mirroring runs it in the backward pass."""
        self.again_rule = rule
        return rule

    def affine(self, rule: Callable) -> Callable:
        """Set `rule(inputs, attrs) -> (scale, shift)`, values float[C], where in predict mode the operator is
        out = data * scale + shift along axis 1 (batch normalization); None where it is not."""
        self.affine_rule = rule
        return rule

    def absorb(self, rule: Callable) -> Callable:
        """Set `rule(inputs, attrs, scale, shift) -> (inputs, attrs)` of the same operator with a following per-channel
        affine map folded into its parameters; None where it cannot be."""
        self.absorb_rule = rule
        return rule

    def followed_by(self, consumer: Operator) -> Callable[[Callable], Callable]:
        """Set `rule(attrs, consumer's attrs, both with defaults) -> (operator, attrs)`: the one operator that does the
        work of both where `consumer` alone reads this one's output, as its first input; None where there is none.

        Its inputs are this one's and then the consumer's other inputs; its first output is the consumer's.  It gives
        the same bits, forward and backward: fusion is for speed.
        """
        def set_rule(rule: Callable) -> Callable:
            self.followers[consumer] = rule
            return rule
        return set_rule

    def emit_c(self, rule: Callable) -> Callable:
        """Set the single-file build's kernel: `rule(call: mxdl.codegen.call.CCall) -> C statements`."""
        self.emit_c_rule = rule
        return rule

    def lower_c(self, rule: Callable) -> Callable:
        """Set `rule(input values, input types, attrs with defaults) -> visible output values`: what the single-file
        build computes in the operator's place, so that what parameters alone decide is done at export; None where
        the operator stays."""
        self.lower_c_rule = rule
        return rule

    def blocked(self, rule: Callable) -> Callable:
        """Set `rule(input types, attrs) -> ops.blocked.Convolve, Pool, Join or None`: how the single-file build may run
        the operator on channel-blocked buffers; None where this case has no such form."""
        self.blocked_rule = rule
        return rule

    def vector(self, rule: Callable) -> Callable:
        """Set `rule(attrs) -> C expression or None` of an elementwise operator for the single-file build, in the words
        of its simd.c.in: of the vectors x and y, elements of the first two inputs.  It joins what comes before."""
        self.vector_rule = rule
        return rule

    # -- questions --------------------------------------------------------------------------------------------
    def parse(self, attrs: Mapping[str, Any]) -> dict[str, Any]:
        """Typed values of the attributes that were given.  Raises OperatorError for unknown and missing ones."""
        typed = {}
        for name, value in attrs.items():
            attribute = self.attributes.get(name)
            if attribute is not None:
                typed[name] = attribute.parse(value, self.name)
            elif name not in self.ignored and not (name == "num_args" and self.variadic):
                raise OperatorError(f"{self.name}: no attribute {name!r}; got {name}={value!r}; "
                                    f"it has {', '.join(self.attributes) or 'none'}{suggest(name, self.attributes)}")
        for name, attribute in self.attributes.items():
            if attribute.default is REQUIRED and name not in typed:
                raise OperatorError(f"{self.name}: attribute {name!r} is missing; got {dict(attrs)}; "
                                    f"give {name}=<{attribute.type_text}>")
        return typed

    def filled(self, attrs: Mapping[str, Any]) -> dict[str, Any]:
        """`attrs` with defaults for what was not given."""
        return {**self.defaults, **attrs}

    def input_names(self, attrs: Mapping[str, Any], count: int | None = None) -> list[str]:
        """Names of the inputs in use; `count` inputs where the operator takes any number."""
        named = None if self.inputs_rule is None else self.inputs_rule(self.filled(attrs))
        if named is not None:
            return list(named)
        if self.variadic:
            return self.parameters + [f"arg{i}" for i in range((count or 0) - len(self.parameters))]
        return list(self.parameters)

    @property
    def is_loss(self) -> bool:
        """Whether its gradient does not read that of its output, so that it may end what backward starts from."""
        return self.surrogate

    def num_outputs(self, attrs: Mapping[str, Any]) -> int:
        """How many tensors the kernel returns."""
        return self._num_outputs if isinstance(self._num_outputs, int) else self._num_outputs(self.filled(attrs))

    def num_visible(self, attrs: Mapping[str, Any]) -> int:
        """How many of them the caller of `mx.nd.NAME` sees."""
        if self._num_visible is None:
            return self.num_outputs(attrs)
        return self._num_visible if isinstance(self._num_visible, int) else self._num_visible(self.filled(attrs))

    def mxnet_outputs(self, attrs: Mapping[str, Any]) -> int:
        """How many outputs MXNet's symbol files count: what the kernel returns less what the caller writes back, unless
        the entry says otherwise."""
        if self._mxnet_outputs is None:
            return max(self.num_outputs(attrs) - len(self.updates), self.num_visible(attrs))
        return self._mxnet_outputs if isinstance(self._mxnet_outputs, int) else self._mxnet_outputs(self.filled(attrs))

    def output_names(self, attrs: Mapping[str, Any]) -> list[str]:
        """The suffixes in `Symbol.list_outputs` ("output", or "output0", "output1", ...)."""
        if callable(self._output_names):
            return list(self._output_names(self.filled(attrs)))
        if self._output_names:
            return list(self._output_names)
        n = self.mxnet_outputs(attrs)
        return ["output"] if n == 1 else [f"output{i}" for i in range(n)]

    # -- running ----------------------------------------------------------------------------------------------
    def bind(self, attrs: Mapping[str, Any], overwrite: bool = False) -> Callable:
        """The kernel with its attributes set: a function of the inputs in use (and of `training`, `seed`).
        overwrite: the kernel that may write into the first input, where there is one."""
        kernel = self.in_place_kernel if overwrite and self.in_place_kernel is not None else self.kernel
        kernel = functools.partial(kernel, **attrs) if attrs else kernel
        if self.variadic or self.inputs_rule is None:
            return kernel
        names = self.input_names(attrs)
        if names == self.parameters[:len(names)]:
            return kernel
        return lambda *tensors, **reserved: kernel(**dict(zip(names, tensors, strict=True)), **reserved)

    def run(self, tensors: Sequence[Any], attrs: Mapping[str, Any]) -> Any:
        """Run the kernel on `tensors`: one a parameter (None where none is given), or those in use in their order.
        attrs: typed, with `training` and `seed` where the kernel takes them."""
        if self.inputs_rule is not None and len(tensors) != len(self.parameters) and not self.variadic:
            names = self.input_names(attrs)
            if names != self.parameters[:len(names)]:
                return self.kernel(**dict(zip(names, tensors, strict=True)), **attrs)
        return self.kernel(*tensors, **attrs)

    def __call__(self, *inputs: Any, **attrs: Any) -> Any:
        """Apply to graph values (adds a node) or to torch tensors (runs the kernel): what gradient rules call."""
        for value in inputs:
            apply = getattr(type(value), "apply_operator", None)
            if apply is not None:
                return apply(self, inputs, attrs)
        return self.bind(attrs)(*inputs)

    def __repr__(self) -> str:
        return f"<operator {self.name}>"


def operator(name: str, **entry: Any) -> Callable[[Callable], Operator]:
    """Register the decorated torch function as operator `name`; keywords as in `Operator`."""
    def register(kernel: Callable) -> Operator:
        return registry.add(Operator(name, kernel, **entry))
    return register
