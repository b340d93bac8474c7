"""This machine's rates: measured once, kept, and measured anew where the file that keeps them is damaged."""
import json

import pytest

from mxdl.passes import cost

FOUND = cost.Rates(2e10, 4e9, 1e-6)


def test_a_damaged_file_of_rates_is_replaced(tmp_path, monkeypatch):
    monkeypatch.setenv("MXDL_HOME", str(tmp_path))
    monkeypatch.setenv("MXDL_CALIBRATE", "1")
    measured = []
    monkeypatch.setattr(cost, "measured_rates", lambda: measured.append(1) or FOUND)
    rates = cost.machine_rates.__wrapped__      # as another process asks
    assert rates() == rates() == FOUND and len(measured) == 1
    kept = tmp_path / "rates.json"
    for damaged in (kept.read_text()[:-4], kept.read_text().replace("flops", "flop")):
        kept.write_text(damaged)
        with pytest.warns(UserWarning, match="rates.json: a damaged file of measurements"):
            assert rates() == FOUND
        assert list(json.loads(kept.read_text()).values()) == [FOUND._asdict()]
    assert len(measured) == 3
