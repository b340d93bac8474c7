"""What doctor notices about threads: the traps are told only where they bite."""
from mxdl.cli.doctor import cpu_quota, thread_findings


def topics(*arguments) -> dict[str, str]:
    return {finding.topic: finding.level for finding in thread_findings(*arguments)}


def test_more_threads_than_the_quota_grants():
    assert topics(8, 8, 2.0, {}, "GNU OpenMP") == {"threads": "note", "spinning": "note"}


def test_passive_waiting_is_fine():
    assert topics(2, 2, None, {"OMP_WAIT_POLICY": "PASSIVE"}, "GNU OpenMP") == {"threads": "ok", "variables": "ok"}


def test_one_thread_does_not_spin():
    assert topics(1, 2, None, {}, "GNU OpenMP") == {"threads": "ok"}


def test_quota_of_a_control_group(tmp_path):
    limits = tmp_path / "cpu.max"
    limits.write_text("150000 100000\n")
    assert cpu_quota(limits) == 1.5
    limits.write_text("max 100000\n")
    assert cpu_quota(limits) is None
    assert cpu_quota(tmp_path / "missing") is None


def test_every_finding_of_this_machine_has_a_text(capsys):
    import json

    from mxdl.cli.main import main
    assert main(["doctor", "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"python", "torch", "threads", "compiler", "data mnist"} <= {finding["topic"] for finding in found}
    assert all(finding["text"] for finding in found)
