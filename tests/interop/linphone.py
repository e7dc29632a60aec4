"""linphone's console phone, with sound files in place of a sound card; driven by the commands a person would type."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.interop.exchange import Exchange
from tests.interop.programs import Program, free_port
from tests.interop.tone import read_wav, tone, write_wav

_TONE_S = 5.0
_PROMPT = "linphonec> "

_CONFIG = """\
[sip]
sip_port={udp_port}
sip_tcp_port={tcp_port}
sip_tls_port={tls_port}
root_ca={ca_file}
verify_server_certs=1
verify_server_cn=1
guess_hostname=0
default_proxy=0
register_only_when_network_is_up=0
auto_net_state_mon=0
use_ipv6=0

[proxy_0]
reg_proxy=<sip:{address};transport={transport}>
reg_identity=<sip:{number}@{address}>
reg_expires=60
reg_sendregister=1
publish=0

{auth_info}[rtp]
audio_rtp_port=0
video_rtp_port=0
text_rtp_port=0

[net]
dns_srv_enabled=0
dns_search_enabled=0

[video]
enabled=0

[audio_codec_0]
mime=PCMA
rate=8000
enabled=1
"""


_AUTH_INFO = """\
[auth_info_0]
username={number}
passwd={password}
realm=sipserver

"""


class Linphone:
    """A phone with one number, registered once made and able to talk, unless `registers` is false.  `frequency_hz` is
    the tone that it speaks."""

    def __init__(
        self,
        path: str,
        launch: Callable[..., Program],
        directory: Path,
        exchange: Exchange,
        number: str,
        frequency_hz: int,
        transport: str = "udp",
        password: str = "",
        registers: bool = True,
    ) -> None:
        self._exchange = exchange
        self._directory = directory / f"linphone-{number}"
        (self._directory / ".local" / "share" / "linphone").mkdir(parents=True)
        write_wav(self._directory / "tone.wav", tone(frequency_hz, _TONE_S))
        config = _CONFIG.format(
            udp_port=free_port(),
            tcp_port=free_port(),
            tls_port=free_port(),
            ca_file=exchange.ca_file,
            address=exchange.tls_address if transport == "tls" else exchange.address,
            transport=transport,
            number=number,
            auth_info=_AUTH_INFO.format(number=number, password=password) if password else "",
        )
        (self._directory / "linphonerc").write_text(config, "utf-8")
        environment = {
            "HOME": str(self._directory),
            "XDG_DATA_HOME": str(self._directory / ".local" / "share"),
            "XDG_CONFIG_HOME": str(self._directory),
        }
        self._program = launch([path, "-c", "linphonerc"], self._directory, environment, terminal=True)
        self._heard = 0
        self._program.wait_for(_PROMPT)
        if registers:
            exchange.user(number)
            for command in ("soundcard use files", "record heard.wav", "play tone.wav"):
                self._command(command)

    def dial(self, number: str) -> None:
        self._command(f"call {self._exchange.uri(number)}")

    def answer(self) -> None:
        self._command("answer")

    def hold(self) -> None:
        self._command("pause")

    def resume(self) -> None:
        self._command("resume")

    def press(self, key: str) -> None:
        self._command(key)

    def hang_up(self) -> None:
        self._command("terminate")

    def expect(self, pattern: str) -> None:
        """Wait until it says so, after what was expected before."""
        self._heard = self._program.wait_for(pattern, self._heard).end()

    def quit(self) -> None:
        """End it in order; it unregisters."""
        self._program.type("quit")
        self._program.end_input()  # linphone 5.3 does not end as long as it may read a line
        self._program.wait()

    def _command(self, line: str) -> None:
        """Type it and wait until it is taken: linphone 5.3 forgets a line that comes before it asks for one."""
        start = len(self._program.output)
        self._program.type(line)
        self._program.wait_for(_PROMPT, start)

    def recording(self) -> list[int]:
        """What it heard; complete after `quit`."""
        return read_wav(self._directory / "heard.wav")
