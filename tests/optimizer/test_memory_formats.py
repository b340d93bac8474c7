"""Updates give the same numbers whatever memory formats weight, gradient and state come in."""
import itertools

import pytest
import torch

from mxdl.ops import update_rules as rules

FORMATS = {"first": lambda t: t.contiguous(), "last": lambda t: t.contiguous(memory_format=torch.channels_last),
           "strided": lambda t: torch.stack([t, t], -1)[..., 0]}
RULES = {
    "sgd": (lambda w, g, s: rules.sgd(w, g, lr=0.1, wd=0.01, rescale_grad=0.5), 0),
    "sgd_mom": (lambda w, g, s: rules.sgd_mom(w, g, *s, lr=0.1, momentum=0.9, wd=0.01, rescale_grad=0.5), 1),
    "adam": (lambda w, g, s: rules.adam(w, g, *s, lr=0.1, wd=0.01, rescale_grad=0.5), 2),
}


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("formats", list(itertools.product(FORMATS, repeat=3)), ids="-".join)
def test_any_mix_of_formats(name, formats):
    rule, count = RULES[name]
    generator = torch.Generator().manual_seed(2)
    plain = [torch.rand(2, 3, 4, 5, generator=generator) for _ in range(2 + count)]
    laid_out = [FORMATS[f](t.clone()) for f, t in zip([*formats, *[formats[2]] * count], plain, strict=False)]
    for w, g, *states in (plain, laid_out):
        for _ in range(2):
            rule([w], [g], [[s] for s in states])
    for expected, found in zip(plain, laid_out, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)
