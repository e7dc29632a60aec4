"""baresip as a phone without sound card: it speaks a tone, answers by itself and records what it hears.

It is driven by its module ctrl_tcp, JSON in netstrings, which also tells what happens to its calls.
"""

from __future__ import annotations

import json
import re
import socket
from collections import deque
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from tests.interop.programs import LIMIT_S, Program, free_port
from tests.interop.tone import read_wav, tone, write_wav

_MODULE_DIRECTORIES = ("/usr/lib/baresip/modules", "/usr/local/lib/baresip/modules")

_TONE_S = 30.0
"""Longer than any test talks: baresip's file source does not begin again."""

_CONFIG = """\
poll_method poll
sip_listen {host}:0
sip_cafile {ca_file}
net_interface {host}
rtp_ports 30000-32760
audio_player aubridge,ear
audio_alert aubridge,bell
audio_source aufile,{directory}/tone.wav
audio_buffer 20-160
module_path {modules}
module g711.so
module sndfile.so
module aufile.so
module aubridge.so
module srtp.so
module dtls_srtp.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{control_port}
snd_path {directory}/recorded
statmode_default off
ringback_disabled yes
"""

_ACCOUNT = (
    '<sip:{number}@{address};transport={transport}>;outbound="sip:{address};transport={transport}"'
    ";answermode={answermode};regint=60;audio_codecs=pcma{options}\n"
)


class Registrar(Protocol):
    """The server that a phone registers at."""

    ca_file: Path
    address: str
    tls_address: str

    def uri(self, number: str) -> str: ...

    def user(self, number: str) -> dict[str, Any]:
        """The registration of `number`, once it is there."""


class Baresip:
    """A phone with one number, registered once made unless `registers` is false.  `frequency_hz` is the tone that it
    speaks, `encryption` is a value of baresip's `mediaenc`, "" for none; `host` is its own address.  It `answers` by
    itself, or when told to `accept`."""

    def __init__(
        self,
        path: str,
        launch: Callable[..., Program],
        directory: Path,
        exchange: Registrar,
        number: str,
        frequency_hz: int,
        transport: str = "udp",
        encryption: str = "",
        password: str = "",
        registers: bool = True,
        host: str = "127.0.0.1",
        answers: bool = True,
    ) -> None:
        self._exchange = exchange
        self._directory = directory / f"baresip-{number}"
        (self._directory / "recorded").mkdir(parents=True)
        write_wav(self._directory / "tone.wav", tone(frequency_hz, _TONE_S))
        control_port = free_port()
        modules = next((place for place in _MODULE_DIRECTORIES if Path(place).is_dir()), _MODULE_DIRECTORIES[0])
        config = _CONFIG.format(
            directory=self._directory, modules=modules, control_port=control_port, ca_file=exchange.ca_file, host=host
        )
        address = exchange.tls_address if transport == "tls" else exchange.address
        options = f";mediaenc={encryption}" if encryption else ""
        if password:
            options += f";auth_user={number};auth_pass={password}"
        self._number = number
        self._answermode = "auto" if answers else "manual"
        account = self._account(address, transport, options)
        (self._directory / "config").write_text(config, "utf-8")
        (self._directory / "accounts").write_text(account, "utf-8")
        (self._directory / "contacts").write_text("", "utf-8")
        self._program = launch([path, "-4", "-s", "-f", self._directory], self._directory, terminal=True)
        self._program.wait_for("baresip is ready")
        self._control = socket.create_connection(("127.0.0.1", control_port), timeout=LIMIT_S)
        self._received = b""
        self._events: deque[dict[str, Any]] = deque()
        if registers:
            exchange.user(number)

    def _account(self, address: str, transport: str, options: str) -> str:
        return _ACCOUNT.format(
            number=self._number,
            address=address,
            transport=transport,
            answermode=self._answermode,
            options=options,
        )

    def dial(self, number: str) -> None:
        self._command("dial", self._exchange.uri(number))

    def accept(self) -> None:
        self._command("accept")

    def hold(self) -> None:
        self._command("hold")

    def resume(self) -> None:
        # baresip 1.1 resumes the call, and complains all the same that there is no other one to be held.
        self._command("resume", harmless="Invalid argument")

    def hang_up(self) -> None:
        self._command("hangup")

    def expect(self, event: str) -> dict[str, Any]:
        """Wait until baresip reports the event; those before it are forgotten."""
        while True:
            told = self._events.popleft() if self._events else self._message()
            if told.get("type") == event:
                return told

    def move_to(self, other: Registrar) -> None:
        """Take the account to another server; the one before does not answer any more."""
        before, self._exchange = self._exchange, other
        self._command("uadel", before.uri(self._number))
        self._command("uanew", self._account(other.address, "udp", "").strip())

    def quit(self) -> None:
        """End it in order; it unregisters."""
        self._command("quit")
        self._program.wait()
        self.close()

    def close(self) -> None:
        self._control.close()

    def recording(self) -> list[int]:
        """What it heard in its only call; complete after `quit`."""
        [samples] = self.recordings()
        return samples

    def recordings(self) -> list[list[int]]:
        """What it heard in each of its calls; complete after `quit`."""
        return [read_wav(path) for path in sorted((self._directory / "recorded").glob("*-dec.wav"))]

    def heard(self) -> list[int]:
        """What it heard in all its calls, one after the other; complete after `quit`."""
        return list(chain(*self.recordings()))

    def _command(self, command: str, parameters: str = "", harmless: str | None = None) -> None:
        """Fails when baresip complains, unless with what is `harmless`."""
        request = json.dumps({"command": command, "params": parameters, "token": command}).encode()
        self._control.sendall(b"%d:%s," % (len(request), request))
        while not (message := self._message()).get("response"):
            self._events.append(message)
        assert message["ok"] or message["data"] == harmless, f"baresip refused {command}: {message['data']}"

    def _message(self) -> dict[str, Any]:
        """The next netstring: length, colon, bytes, comma."""
        while True:
            head = re.match(rb"(\d+):", self._received)
            if head and len(self._received) > (end := head.end() + int(head[1])):
                message: dict[str, Any] = json.loads(self._received[head.end() : end])
                self._received = self._received[end + 1 :]
                return message
            data = self._control.recv(65536)
            assert data, "baresip closed its control connection"
            self._received += data
