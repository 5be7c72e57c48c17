"""A gateway that serves for weeks finds what has ended, although a command hardly ever looks for it."""

from __future__ import annotations

import subprocess
import sys

_MADE = """
import gc, mosaic_gateway.cli, weakref
from mosaic_gateway.cli.start import _collect_garbage

class Ended:
    pass

def left_of(number):
    living = []
    for _ in range(number):
        one = Ended()
        one.itself = one  # as a connection and its transport
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
