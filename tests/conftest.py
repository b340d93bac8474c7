"""Shared by every test: MXNet as a fixture, the summary of what was compared with it, the same seeds in each test."""
import random

import numpy as np
import pytest
import torch

from tests.parity import summary
from tests.parity.client import Reference, reference_python


@pytest.fixture(scope="session")
def mxnet():
    """MXNet 1.9.1 in another process (see tests/parity/client.py); the test is skipped where it is not installed."""
    python = reference_python()
    if python is None:
        pytest.skip(summary.NOT_THERE)
    reference = Reference(python)
    yield reference
    reference.close()


@pytest.fixture
def same_as_mxnet(mxnet):
    """A function that runs source text on mxdl and on MXNet and asserts that `result` agrees (tests/parity/both.py)."""
    from tests.parity.both import Both
    return Both(mxnet)


@pytest.fixture(autouse=True)
def usual_rates(monkeypatch):
    """The memory planner measures nothing and writes nothing: equal plans on every machine."""
    monkeypatch.setenv("MXDL_CALIBRATE", "0")


@pytest.fixture(autouse=True)
def same_seeds():
    """Global generators start each test in the same state, whatever ran before and in whichever process."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


def pytest_terminal_summary(terminalreporter):
    summary.write(terminalreporter)
