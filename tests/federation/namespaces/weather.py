"""Carry frames between two cables with delay and loss: what `tc netem` does, in kernels that are built without it.

``weather.py CABLE CABLE`` takes ``{"delay": seconds, "loss": 0…1}``, each way, as lines on standard input, and
answers each when it holds.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import sys

_SOL_PACKET, _PACKET_VNET_HDR = (
    263,
    15,
)  # linux/if_packet.h: checksums and segments stay as the sender left them
_OUTGOING = 4  # what we sent ourselves
_EVERYTHING = 3  # ETH_P_ALL
_LARGEST = 70_000  # bytes: a segment of 64 KiB, which the network card would have cut

chance = random.Random(20)


class Weather:
    """Between two cables."""

    def __init__(self, *cables: str) -> None:
        self.delay, self.loss = 0.0, 0.0
        self.loop = asyncio.new_event_loop()
        one, other = map(_plugged, cables)
        self.loop.add_reader(one, self.carry, one, other)
        self.loop.add_reader(other, self.carry, other, one)
        self.loop.add_reader(sys.stdin, self.change)

    def carry(self, cable: socket.socket, to: socket.socket) -> None:
        frame, (_, _, kind, *_) = cable.recvfrom(_LARGEST)
        if kind != _OUTGOING and chance.random() >= self.loss:
            self.loop.call_later(self.delay, to.send, frame)

    def change(self) -> None:
        line = sys.stdin.readline()
        if not line:
            self.loop.stop()
            return
        wanted = json.loads(line)
        self.delay, self.loss = wanted["delay"], wanted["loss"]
        print("so be it", flush=True)


def _plugged(cable: str) -> socket.socket:
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_EVERYTHING))
    end.bind((cable, 0))
    end.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    return end


Weather(*sys.argv[1:]).loop.run_forever()
