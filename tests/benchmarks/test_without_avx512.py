"""benchmarks/without_avx512.c: a program under it sees AVX2, but no AVX-512, in each of its threads."""
from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "benchmarks/without_avx512.c"
REFUSED = 69    # the status that the library ends a program with where it cannot hide
PROGRAM = r"""
#include <pthread.h>
#include <stdio.h>
static unsigned leaf7(void) {
    unsigned a = 7, b, c = 0, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return b;
}
static void *say(void *unused) { printf("%u %u\n", leaf7() >> 5 & 1, leaf7() >> 16 & 1); return unused; }
int main(void) {
    pthread_t thread;
    say(NULL);
    return pthread_create(&thread, NULL, say, NULL) || pthread_join(thread, NULL);
}
"""


pytestmark = pytest.mark.skipif(platform.machine() != "x86_64" or not shutil.which("gcc"),
                                reason="needs gcc on x86-64")


def test_no_thread_sees_avx512(tmp_path):
    (tmp_path / "see.c").write_text(PROGRAM)
    hide = tmp_path / "hide.so"
    subprocess.run(["gcc", "-Wall", "-Wextra", "-Werror", "-O2", "-shared", "-fPIC", SOURCE, "-o", hide], check=True,
                   timeout=60)
    subprocess.run(["gcc", tmp_path / "see.c", "-o", tmp_path / "see", "-lpthread"], check=True, timeout=60)
    done = subprocess.run([tmp_path / "see"], env={"LD_PRELOAD": str(hide)}, capture_output=True, text=True, timeout=20)
    if done.returncode == REFUSED:
        pytest.skip(done.stderr.strip())
    plain = subprocess.run([tmp_path / "see"], capture_output=True, text=True, check=True, timeout=20).stdout
    has_avx2 = plain.split()[0]
    assert done.stdout.splitlines() == [f"{has_avx2} 0"] * 2


def test_another_fault_ends_the_program(tmp_path):
    (tmp_path / "fault.c").write_text("int main(void) { return *(volatile int *)8; }")
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", SOURCE, "-o", tmp_path / "hide.so"], check=True, timeout=60)
    subprocess.run(["gcc", tmp_path / "fault.c", "-o", tmp_path / "fault"], check=True, timeout=60)
    done = subprocess.run([tmp_path / "fault"], env={"LD_PRELOAD": str(tmp_path / "hide.so")}, timeout=20)
    if done.returncode == REFUSED:
        pytest.skip("this machine cannot hide instruction sets")
    assert done.returncode == -11
