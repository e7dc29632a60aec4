"""Hosts of their own on this machine: network namespaces joined by virtual cables (Linux, root, `ip`)."""

from __future__ import annotations

import ctypes
import functools
import os
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

WAIT_S = 30.0
_CLONE_NEWNET = 0x40000000


@functools.cache
def missing() -> str:
    """Why there can be no namespaces here; "" when there can."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need ip (iproute2)"
    name = f"sipserver-try-{os.getpid()}"
    tried = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        return f"no network namespaces here: {tried.stderr.strip()}"
    _ip("netns", "delete", name)
    return ""


class Host:
    """One host.  What runs in `run` sees its network only; sockets and threads made there stay in it."""

    def __init__(self, name: str) -> None:
        self.name = f"sipserver-{os.getpid()}-{name}"
        _ip("netns", "add", self.name)
        self._ends: dict[str, str] = {}
        """The end of a cable by the first three numbers of its network."""
        self._ip("link", "set", "lo", "up")
        self._thread = ThreadPoolExecutor(1, initializer=self._enter)

    def _enter(self) -> None:
        """A thread, not the process, changes its network; threads that it starts inherit it."""
        libc = ctypes.CDLL(None, use_errno=True)
        with Path(f"/var/run/netns/{self.name}").open("rb") as namespace:
            if libc.setns(namespace.fileno(), _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")

    def run(self, what: Callable[[], T]) -> T:
        return self._thread.submit(what).result(WAIT_S)

    def cable(self, other: Host, address: str, other_address: str) -> None:
        """Join two hosts by a cable of their own, a network of 256 addresses."""
        ends = [f"v{os.getpid() % 10_000}{host.name[-3:]}{address.split('.')[2]}" for host in (self, other)]
        _ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
        for host, end, text in ((self, ends[0], address), (other, ends[1], other_address)):
            _ip("link", "set", end, "netns", host.name)
            host._ip("address", "add", f"{text}/24", "dev", end)
            host._ip("link", "set", end, "up")
            host._ends[text.rpartition(".")[0]] = end

    def move(self, before: str, after: str) -> None:
        """Give up an address for another one of its network, as a new DHCP lease does; "" for none."""
        for what, address in (("delete", before), ("add", after)):
            if address:
                self._ip("address", what, f"{address}/24", "dev", self._ends[address.rpartition(".")[0]])

    def bridge(self) -> None:
        """Be a switch, which joins all that is plugged into it."""
        self._ip("link", "add", "switch", "type", "bridge")
        self._ip("link", "set", "switch", "up")

    def plug_into(self, switch: Host, address: str) -> None:
        """Join the network of a switch, one of 256 addresses, which no other host of this process is in."""
        name = f"v{os.getpid() % 100_000}{address.rpartition('.')[2]}"
        _ip("link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b")
        _ip("link", "set", f"{name}a", "netns", self.name)
        _ip("link", "set", f"{name}b", "netns", switch.name)
        self._ip("address", "add", f"{address}/24", "dev", f"{name}a")
        self._ip("link", "set", f"{name}a", "up")
        switch._ip("link", "set", f"{name}b", "master", "switch")
        switch._ip("link", "set", f"{name}b", "up")

    def close(self) -> None:
        self._thread.shutdown()
        _ip("netns", "delete", self.name)

    def _ip(self, *arguments: str) -> None:
        _ip("-n", self.name, *arguments)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
