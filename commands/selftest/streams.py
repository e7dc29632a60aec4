"""TCP as somebody meets it who wants to hold the server up.  One thread, that of the command."""

from __future__ import annotations

import socket

from commands.selftest.line import Line
from commands.selftest.scene import Scene
from commands.selftest.verdict import Finding, Level
from sip.constants import MAX_MESSAGE_SIZE

_ANSWER_S = 3.0


def check(scene: Scene) -> Finding:
    """One connection says nothing, one never ends its message, a third asks something."""
    source = scene.outside or scene.inside
    try:
        with _connect(scene, source), _connect(scene, source) as endless, _connect(scene, source) as honest:
            is_cut_off = _is_cut_off(endless)
            is_heard = _is_heard(scene, source, honest)
    except OSError as error:
        return Finding(
            "tcp",
            Level.SKIPPED,
            "TCP could not be tried",
            f"No connection to port {scene.server.port} ({error.strerror or error}). Phones that use UDP need none.",
        )
    if is_cut_off and is_heard:
        return Finding(
            "tcp",
            Level.OK,
            "One connection can't hold up another",
            "A message without an end was cut off, and beside a connection that says nothing another was answered.",
        )
    fault = "a message without an end was not cut off" if is_heard else "others were not answered meanwhile"
    return Finding(
        "tcp",
        Level.DANGER,
        "A single connection can hold up the server",
        f"Of three TCP connections one said nothing and one never ended its message: {fault}.",
        "Restart the server. If this stays, report it as SECURITY.md says, and close TCP in the firewall meanwhile.",
    )


def _connect(scene: Scene, source: str) -> socket.socket:
    return socket.create_connection(scene.server, _ANSWER_S, (source, 0))


def _is_cut_off(connection: socket.socket) -> bool:
    """The server ends a connection whose message is larger than any may be."""
    line = b"X-Endless: " + b"x" * 1000 + b"\r\n"
    try:
        connection.sendall(b"OPTIONS sip:selftest SIP/2.0\r\n")
        for _ in range(2 * MAX_MESSAGE_SIZE // len(line)):
            connection.sendall(line)
        while connection.recv(65_536):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


def _is_heard(scene: Scene, source: str, connection: socket.socket) -> bool:
    with Line(scene.server, source) as line:
        request = line.request("OPTIONS")
    request.replace_top_via(request.headers.get_all("via")[0].replace("/UDP ", "/TCP "))
    try:
        connection.sendall(request.to_bytes())
        return connection.recv(65_536).startswith(b"SIP/2.0 ")
    except OSError:
        return False
