"""All about a call while it lasts, after its end, and after a restart, without a secret anywhere."""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from rtp import series
from tests.support.office import Office, eventually
from tests.support.tshark import read_capture

PASSWORDS = {"100": "correct-horse-battery", "101": "staple-the-second"}
KEY = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz"
CRYPTO = ("X-Key", f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}")
"""A key in a header field is as secret as one in a session description."""


def fetch(office: Office, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", office.server.api_port, timeout=5)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        assert response.status == 200, body
        return body
    finally:
        connection.close()


def about(office: Office, call_id: str, part: str = "") -> Any:
    return office.api.get(f"/api/calls/{quote(call_id, safe='')}{part}")


def outputs(office: Office, call_id: str) -> dict[str, bytes]:
    base = f"/api/calls/{quote(call_id, safe='')}"
    parts = ("", "/ladder", "/ladder?format=text", "/ladder?format=mermaid", "/messages", "/pcap", "/quality")
    return {part: fetch(office, base + part) for part in parts}


def test_a_call_is_traced_from_its_first_moment_until_long_after_a_restart(
    start_office: Callable[..., Office], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Samples are due at once, and the housekeeper takes them every second.
    monkeypatch.setattr(series, "SPAN_S", 0.01)
    settings: dict[str, Any] = {
        "ext_passwords": tuple(PASSWORDS.items()),
        "trace_rtp": "headers",
        "data_dir": tmp_path / "kept",
    }
    office = start_office(**settings)
    alice, bob = (office.phone(number, password=password) for number, password in PASSWORDS.items())
    call = alice.call("101", CRYPTO)
    ring = bob.expect_call()
    ring.answer()
    call.wait_answered()
    call_id = call.invite.request.call_id
    credentials = call.invite.request.get("Authorization") or call.invite.request["Proxy-Authorization"]
    (proof,) = re.findall(r'\bresponse="([0-9a-f]+)"', credentials)

    live = about(office, call_id)
    assert (live["state"], live["trace"]["kept"]) == ("ESTABLISHED", True)
    assert live["streams"][0]["codecs"] == ["PCMU", "PCMA", "telephone-event"]
    assert [(party["role"], party["number"], party["statusCode"]) for party in live["parties"]] == [
        ("caller", "100", 200),
        ("callee", "101", 200),
    ]
    for sender, listener in ((call, ring), (ring, call)):
        packets = sender.media.make_packets(20)
        sender.media.send(*packets)
        assert [listener.media.receive() for _ in packets] == packets
    streams = eventually(lambda: about(office, call_id, "/quality")["streams"], "a sample of the housekeeper")
    assert [stream["sender"] for stream in streams] == ["caller", "callee"]
    assert streams[0]["samples"][0]["mos"] > 4
    call.hang_up()
    office.last_ended()

    # WSGI decodes paths, but not these.
    stranger = office.api.request("GET", "/api/calls/no%2Fsuch%3Fcall/ladder")
    assert (stranger.status, stranger.json["reason"]) == (404, "unknown")

    ended = outputs(office, call_id)
    arrows = [step for step in about(office, call_id, "/ladder")["steps"] if step["kind"] == "message"]
    labels = [step["label"] for step in arrows if not step["isRepeated"]]
    assert labels[0] == "INVITE (SDP)" and labels[-4:] == ["BYE", "BYE", "200 OK", "200 OK"]
    streams = about(office, call_id, "/quality")["streams"]
    assert [sum(sample["packets"] for sample in stream["samples"]) for stream in streams] == [20, 20]
    rows = read_capture(ended["/pcap"], tmp_path, "sip.Call-ID", "rtp.seq", "udp.srcport", "udp.dstport")
    assert {row[0] for row in rows if row[0]} == {call_id}
    assert len([row for row in rows if row[0]]) == len(arrows)
    heard = [(row[2], row[3]) for row in rows if row[1]]
    assert len(heard) == 40
    assert {source for source, _ in heard} == {str(call.media.port), str(ring.media.port)}
    assert {row[-1] for row in rows} <= {"", "Unrecognised SIP header (x-key)"}
    office.close()

    again = start_office(**settings)
    kept = outputs(again, call_id)
    same = ("/ladder?format=text", "/ladder?format=mermaid", "/messages", "/quality", "/pcap")
    assert {part: kept[part] for part in same} == {part: ended[part] for part in same}
    secrets = [*PASSWORDS.values(), KEY, proof]
    files = [path.read_bytes() for path in (tmp_path / "kept").iterdir() if path.name.startswith("sipserver.db")]
    for secret in secrets:
        assert not any(secret.encode() in data for data in (*ended.values(), *kept.values(), *files)), secret
