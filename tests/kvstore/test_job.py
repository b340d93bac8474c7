"""Jobs from the environments of launchers, and what is wrong with them, all at once."""
import pytest

from mxdl.kvstore.errors import JobError
from mxdl.kvstore.job import Job

ENVIRONMENTS = {
    "none": ({}, dict(role="worker", rank=0, num_workers=1, hosts_control=True)),
    "mxdl": ({"MXDL_RANK": "2", "MXDL_NUM_WORKERS": "4", "MXDL_NUM_SERVERS": "2", "MXDL_CONTROL": "external",
              "MXDL_PORT": "7000", "MXDL_TIMEOUT": "2.5", "MXDL_LOCAL_RANK": "0", "MXDL_LOCAL_SIZE": "2"},
             dict(rank=2, num_workers=4, num_servers=2, hosts_control=False, port=7000, timeout=2.5, leader=2,
                  is_leader=True)),
    "dmlc": ({"DMLC_ROLE": "worker", "DMLC_NUM_WORKER": "3", "DMLC_NUM_SERVER": "1", "DMLC_PS_ROOT_PORT": "9000",
              "DMLC_PS_ROOT_URI": "10.0.0.1", "MXDL_TOKEN": "t", "DMLC_INTERFACE": "eth0"},
             dict(rank=-1, num_workers=3, num_servers=1, address="10.0.0.1", port=9000, hosts_control=False,
                  interface="eth0")),
    "torchrun": ({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4", "MASTER_PORT": "29500",
                  "MASTER_ADDR": "node0", "TORCHELASTIC_RESTART_COUNT": "1", "MXDL_TOKEN": "t"},
                 dict(rank=5, num_workers=8, local_rank=1, local_size=4, leader=4, port=29501, address="node0",
                      generation=1)),
    "slurm": ({"SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_LOCALID": "0", "SLURM_JOB_ID": "123456",
               "SLURM_STEP_NODELIST": "gpu[07-09,12],other", "SLURM_STEP_NUM_NODES": "4", "SLURMD_NODENAME": "gpu07",
               "MXDL_TOKEN": "t"},
              dict(rank=0, num_workers=8, address="gpu07", host="gpu07", port=20000 + 123456 % 20000,
                   hosts_control=True)),
    "open_mpi": ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "1",
                  "OMPI_COMM_WORLD_LOCAL_SIZE": "2"},
                 dict(rank=1, num_workers=2, local_rank=1, local_size=2, leader=0, address="127.0.0.1")),
}


@pytest.mark.parametrize("launcher", ENVIRONMENTS)
def test_each_launcher_is_recognised(launcher):
    variables, expected = ENVIRONMENTS[launcher]
    job = Job.from_environment(variables)
    assert job.launcher == launcher
    assert {name: getattr(job, name) for name in expected} == expected


def test_our_variables_win_over_a_launcher_s():
    variables = {**ENVIRONMENTS["torchrun"][0], "MXDL_PORT": "1234", "MXDL_NUM_SERVERS": "3"}
    job = Job.from_environment(variables)
    assert (job.port, job.num_servers, job.launcher) == (1234, 3, "torchrun")


def test_every_problem_is_told_at_once():
    with pytest.raises(JobError) as told:
        Job.from_environment({"MXDL_RANK": "x", "MXDL_NUM_WORKERS": "0", "MXDL_ADDRESS": "10.0.0.1",
                              "MXDL_TIMEOUT": "-1", "MXDL_TOKEN_FILE": "/nowhere/token"})
    text = str(told.value)
    for part in ("MXDL_RANK", "num_workers", "token", "timeout", "/nowhere/token"):
        assert part in text


def test_a_job_that_leaves_the_machine_needs_a_token():
    with pytest.raises(JobError, match="token"):
        Job(address="127.0.0.1", interface="0.0.0.0")
    assert Job(address="10.1.2.3", token="secret").token == "secret"
    assert "secret" not in repr(Job(token="secret"))


def test_the_token_may_lie_in_a_file(tmp_path):
    (tmp_path / "token").write_text("from a file\n")
    assert Job.from_environment({"MXDL_TOKEN_FILE": str(tmp_path / "token")}).token == "from a file"


def test_mpi_on_several_machines_needs_an_address():
    with pytest.raises(JobError, match="MXDL_ADDRESS is needed"):
        Job.from_environment({"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "4",
                              "OMPI_COMM_WORLD_LOCAL_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "0"})
