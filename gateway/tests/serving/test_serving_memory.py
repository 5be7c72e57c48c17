"""A gateway that serves for weeks finds what has ended, as a command hardly ever does, and gives it back."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_MADE = """
import gc, mosaic_gateway.cli, weakref
from mosaic_gateway.cli.start import _collect_garbage

class Ended:
    pass

def left_of(number):
    living = []
    for _ in range(number):
        one = Ended()
        one.itself = one  # as an error and its trace
        living.append(weakref.ref(one))
    return sum(each() is not None for each in living)

before = left_of(20_000)
_collect_garbage()
print(before, left_of(20_000), gc.get_freeze_count() > 10_000)
"""


def test_a_process_that_serves_lets_go_of_what_refers_to_itself() -> None:
    done = subprocess.run([sys.executable, "-c", _MADE], capture_output=True, text=True, check=True)
    before, after, frozen = done.stdout.split()
    assert int(before) == 20_000, "a command ends before it pays"
    assert int(after) <= 5_000
    assert frozen == "True", "what start made is not looked through again and again"


_LARGE = """
from pathlib import Path
from mosaic_gateway.cli.start import _give_back_large

def resident():
    return int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0]) // 1024

def left_of(number):
    before, small, large = resident(), [], []
    for _ in range(number):
        large.append(bytearray(b"x") * (256 * 1024))  # as uvloop has for each connection over TLS
        small.append(bytes(60_000))  # what comes in between, and stays
    large.clear()
    return resident() - before

left_of(1)  # from now on glibc keeps as much
before = left_of(200)
_give_back_large()
print(before, left_of(200))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of another C library nothing is asked")
def test_a_process_that_serves_gives_back_what_is_large() -> None:
    done = subprocess.run([sys.executable, "-c", _LARGE], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert before > 50, "MiB: 50 that were large, and what stays"
    assert after < 20
