"""docs/cluster.md: every variable that it names is read, its manifests describe a job that holds together."""
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mxdl.kvstore.config import JOB_VARIABLES
from mxdl.kvstore.job import Job
from tests.kvstore.test_launch import ROOT, program, values

TEXT = (Path(__file__).resolve().parents[2] / "docs/cluster.md").read_text()
OTHERS = {"MXDL_ELASTIC", "MXDL_LEAST_WORKERS", "MXDL_MAX_DELAY", "MXDL_TOKEN"}


def manifests() -> list[dict]:
    return [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.S)]


def test_every_variable_of_the_page_is_read():
    named = set(re.findall(r"\bMXDL_[A-Z_]+\b", TEXT))
    assert len(named) > 12 and named <= set(JOB_VARIABLES) | OTHERS, named - set(JOB_VARIABLES)


def test_the_pytorchjob_gives_a_job_that_holds_together():
    job = next(one for one in manifests() if one["kind"] == "PyTorchJob")
    replicas = job["spec"]["pytorchReplicaSpecs"]
    size = sum(part["replicas"] for part in replicas.values())
    found = []
    pods = [part for part in replicas.values() for _ in range(part["replicas"])]
    for rank, part in enumerate(pods):
        container = part["template"]["spec"]["containers"][0]
        assert container["name"] == "pytorch"       # the operator looks for this name
        own = {one["name"]: one.get("value", "from the secret") for one in container["env"]}
        operator = {"RANK": str(rank), "WORLD_SIZE": str(size), "MASTER_PORT": "23456",
                    "MASTER_ADDR": "localhost" if rank == 0 else "mxdl-train-master-0"}
        found.append(Job.from_environment({**operator, **own}))
    assert [one.rank for one in found] == [0, 1, 2, 3] and {one.num_workers for one in found} == {4}
    assert [one.hosts_control for one in found] == [True, False, False, False]
    assert {one.port for one in found} == {23457} and all(one.token for one in found)


def test_the_network_policy_selects_the_job_s_pods():
    job, policy = manifests()
    label = {"training.kubeflow.org/job-name": job["metadata"]["name"]}
    assert policy["spec"]["podSelector"]["matchLabels"] == label
    assert policy["spec"]["ingress"][0]["from"][0]["podSelector"]["matchLabels"] == label


def test_the_ray_program_is_python():
    program_text = re.search(r"```text\n(import os.*?)```", TEXT, re.S)[1]
    compile(program_text, "ray", "exec")


@pytest.mark.slow
def test_torchrun_starts_a_job(tmp_path):
    done = subprocess.run([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
                           *program("push_ones", tmp_path, 5)[1:]], capture_output=True, text=True, timeout=120,
                          cwd=tmp_path, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    assert values(tmp_path) == [[10, 10], [10, 10]]


@pytest.mark.slow
def test_mxnets_roles_are_played_by_one_program(tmp_path):
    """A scheduler, a server and two workers, all the same program, told apart by DMLC_ROLE."""
    import socket
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    about = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "DMLC_NUM_WORKER": "2",
             "DMLC_NUM_SERVER": "1", "DMLC_PS_ROOT_URI": "127.0.0.1", "DMLC_PS_ROOT_PORT": str(port),
             "MXDL_JOIN_TIMEOUT": "30"}
    processes = [subprocess.Popen(program("push_ones", tmp_path, 5), env={**about, "DMLC_ROLE": role})
                 for role in ("worker", "server", "worker", "scheduler")]
    try:
        codes = [process.wait(90) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert values(tmp_path) == [[10, 10], [10, 10]] and [codes[0], codes[2], codes[3]] == [0, 0, 0]
