"""The process of a parameter server:  python -m mxdl.tools.parameter_server [FILE...]

It serves the job that the environment describes (MXDL_*, or MXNet's DMLC_* with DMLC_ROLE=server) until the workers are
gone.  Each FILE is Python that registers optimizers of your own.
"""
import runpy
import sys


def main(files: list[str]) -> None:
    import mxdl.optimizer  # noqa: F401  registers the optimizers
    from mxdl.kvstore import server
    for file in files:
        runpy.run_path(file)
    server.main()


if __name__ == "__main__":
    main(sys.argv[1:])
