"""Phones dial the numbers that the server answers itself, and hear what they should."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rtp.sounds import KEYS, MELODY
from tests.interop.baresip import Baresip
from tests.interop.exchange import Exchange
from tests.interop.linphone import Linphone
from tests.interop.sipp import SippPhone
from tests.interop.test_sipp_audio import may_send_raw
from tests.interop.tone import rtp_packets, seconds_of_key, seconds_of_tone, tone, write_pcap

pytestmark = pytest.mark.interop

VOICE_HZ = 700

BEEP_PACKETS = 10
"""What the echo says before it listens."""


def test_baresip_hears_itself_holds_and_resumes(exchange: Exchange, baresip: Callable[..., Baresip]) -> None:
    phone = baresip("100", VOICE_HZ)
    phone.dial("*43")
    phone.expect("CALL_ESTABLISHED")
    exchange.wait_for_audio(80)
    phone.hold()
    phone.expect("CALL_REMOTE_SDP")
    phone.resume()
    phone.expect("CALL_REMOTE_SDP")
    exchange.wait_for_audio(25)  # baresip does not go on recording after a hold

    phone.hang_up()
    phone.expect("CALL_CLOSED")
    [call] = exchange.ended_calls(1)
    assert (call["toNumber"], call["terminationReason"], call["endedBy"]) == ("*43", "normal", "caller")
    exchange.assert_idle()
    phone.quit()
    assert seconds_of_tone(phone.recording(), VOICE_HZ) >= 1.0


def test_baresip_hears_itself_encrypted(exchange: Exchange, baresip: Callable[..., Baresip]) -> None:
    """SDES (RFC 4568): what comes back was decrypted and encrypted anew by the server, with another key."""
    phone = baresip("100", VOICE_HZ, "tls", "srtp-mand")
    phone.dial("*43")
    phone.expect("CALL_ESTABLISHED")
    exchange.wait_for_audio(80)
    phone.hang_up()
    phone.expect("CALL_CLOSED")
    exchange.assert_idle()
    phone.quit()
    assert seconds_of_tone(phone.recording(), VOICE_HZ) >= 1.0


def test_linphone_hears_the_melody_and_its_keys(exchange: Exchange, linphone: Callable[..., Linphone]) -> None:
    phone = linphone("100", VOICE_HZ)
    phone.dial("*41")
    phone.expect("Media streams established")
    exchange.wait_for_audio(90)
    phone.press("5")
    exchange.wait_for_audio(40)
    phone.hang_up()
    phone.expect("ended")
    [call] = exchange.ended_calls(1)
    assert (call["toNumber"], call["terminationReason"]) == ("*41", "normal")
    exchange.assert_idle()
    phone.quit()
    heard = phone.recording()
    longest = max(MELODY, key=lambda note: note.duration_ms if note.frequencies_hz else 0)
    assert seconds_of_tone(heard, longest.frequencies_hz[0]) >= longest.duration_ms / 1000 - 0.2
    assert seconds_of_key(heard, *KEYS["5"].frequencies_hz) >= 0.2  # linphone itself lets it be heard for 0.1 s


@pytest.mark.skipif(not may_send_raw(), reason="SIPp plays captures through a raw socket, which takes root")
def test_sipp_gets_back_what_it_plays(exchange: Exchange, sipp: Callable[..., SippPhone]) -> None:
    phone = sipp("100")
    packets = rtp_packets(tone(VOICE_HZ, 1.0))
    write_pcap(phone.directory / "tone.pcap", packets)
    phone.register()
    phone.play("uac_audio.xml", "-d", "1500", to="*43")
    [call] = exchange.ended_calls(1)
    caller, server = call["media"]
    assert (caller["packets"], caller["lost"], caller["codec"]) == (len(packets), 0, "PCMA")
    assert len(packets) <= server["packets"] <= len(packets) + BEEP_PACKETS
    exchange.assert_idle()
