"""Learning-rate schedules: values that MXNet 1.9.1 gives (written down from it), statelessness, wrong arguments."""
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxdl.lr_scheduler import CosineScheduler, FactorScheduler, LRScheduler, MultiFactorScheduler, PolyScheduler


@pytest.mark.parametrize("schedule, expected", [
    (FactorScheduler(10, 0.5), {0: .01, 10: .01, 11: .005, 20: .005, 21: .0025, 31: .00125}),
    (FactorScheduler(10, 0.5, stop_factor_lr=0.03, base_lr=0.1, warmup_steps=15, warmup_begin_lr=0.01),
     {0: .01, 1: .016, 14: .094, 15: .05, 20: .05, 21: .03, 99: .03}),
    (MultiFactorScheduler([5, 15, 16], 0.1, base_lr=1.0, warmup_steps=4, warmup_mode="constant"),
     {0: 0, 3: 0, 4: 1, 5: 1, 6: .1, 15: .1, 16: .01, 17: .001, 34: .001}),
    (PolyScheduler(30, 0.5, 2, 0.01, warmup_steps=5),
     {0: 0, 1: .1, 4: .4, 5: .5, 6: .461584, 13: .236576, 29: .010784, 30: .01, 34: .01}),
    (CosineScheduler(30, 0.5, 0.01, warmup_steps=5, warmup_begin_lr=0.1),
     {0: .1, 1: .18, 5: .5, 6: .4980681018220471, 20: .17929083637813797, 29: .011931898177952947, 33: .01}),
])
def test_values_of_mxnet(schedule, expected):
    assert {n: schedule(n) for n in expected} == pytest.approx(expected, rel=1e-12)


SCHEDULES = [FactorScheduler(7, 0.9, warmup_steps=3), MultiFactorScheduler([3, 9, 40], 0.5),
             PolyScheduler(50, warmup_steps=10), CosineScheduler(50, final_lr=0.001)]


@given(st.sampled_from(SCHEDULES), st.lists(st.integers(0, 100), max_size=10), st.integers(0, 100))
def test_a_schedule_depends_on_the_update_number_alone(schedule, earlier, now):
    before = schedule(now)
    for number in earlier:
        schedule(number)
    assert schedule(now) == before


@given(st.sampled_from(SCHEDULES), st.integers(10, 100))
def test_after_the_warm_up_a_rate_never_grows(schedule, now):
    assert schedule(now + 1) <= schedule(now) <= schedule.base_lr


def test_setting_base_lr_takes_effect():
    schedule = PolyScheduler(10, base_lr=0.1, warmup_steps=2)
    schedule.base_lr = 1.0
    assert (schedule(1), schedule(2)) == (0.5, 1.0)


def test_a_warm_up_as_long_as_the_schedule_is_no_error():
    assert CosineScheduler(3, warmup_steps=3, final_lr=0.001)(3) == 0.001


@pytest.mark.parametrize("make, message", [
    (lambda: FactorScheduler(10, 1.5), "must not exceed 1"),
    (lambda: FactorScheduler(0), "at least 1"),
    (lambda: MultiFactorScheduler([5, 3]), "increase"),
    (lambda: MultiFactorScheduler([0, 3]), "at least 1"),
    (lambda: MultiFactorScheduler([1, 2], 2), "must not exceed 1"),
    (lambda: MultiFactorScheduler(3), "list of update numbers"),
    (lambda: LRScheduler(0.1, warmup_begin_lr=0.2), "must not exceed base_lr"),
    (lambda: LRScheduler(0.1, warmup_steps=-1), "warmup_steps"),
    (lambda: LRScheduler(0.1, warmup_mode="x"), "'linear' or 'constant'"),
    (lambda: PolyScheduler(0), "max_update"),
])
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_base_class_is_abstract():
    with pytest.raises(NotImplementedError, match="__call__"):
        LRScheduler()(3)
