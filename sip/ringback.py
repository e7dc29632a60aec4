"""What the phone that has picked up first hears while the other number rings, in a call that the server begins.

Pure; guarded by the core lock.
"""

from __future__ import annotations

from typing import Final

from sip.black_hole import black_hole_answer, is_plain_sound
from sip.endpoint import EndpointRelay
from sip.flow import Flow
from sip.local_media import LocalMedia
from sip.sdp import SessionDescription
from sip.sdp_values import SdpError
from sip.timers import Timer, TimerQueue

PROGRAM: Final = "ringback"
"""What the endpoint plays."""

DELAY_S: Final = 0.3
"""From the first ring to the tone: a phone that answers by itself has done so then.  Some jitter buffers never recover
when the source changes before they have filled, with the fifth packet."""


class Ringback:
    """The ringing tone for a phone that speaks G.711 without encryption; silence for all others, and when no port is
    free (see `sip.black_hole`)."""

    def __init__(self, relay: EndpointRelay, timers: TimerQueue) -> None:
        self._relay = relay
        self._timers = timers
        self._timer: Timer | None = None
        self._media: LocalMedia | None = None

    def answer(self, offer: bytes, call_id: str, flow: Flow) -> bytes:
        """The answer to the offer of that phone.  Raises `SdpError` for what is no usable offer."""
        quiet = black_hole_answer(offer)
        sound = (media for media in SessionDescription.parse(offer).media if media.kind == "audio")
        if not all(map(is_plain_sound, sound)):
            return quiet
        endpoint = self._relay.open_endpoint(call_id, PROGRAM, flow.local_host)
        if endpoint is None:
            return quiet
        media = LocalMedia(endpoint, flow.local_host)
        try:
            answer = media.answer(offer, flow.remote_host)
        except SdpError:
            media.close()
            return quiet
        self._media = media
        return answer

    def ring(self, now: float) -> None:
        """The other number rings."""
        if self._media is not None and self._timer is None:
            self._timer = self._timers.start(now + DELAY_S, self._play, self._media)

    @staticmethod
    def _play(media: LocalMedia, _now: float) -> None:
        media.start()

    def fall_silent(self) -> None:
        """Somebody has answered there; the phone is about to be led elsewhere."""
        if self._timer is not None:
            self._timer.cancel()
        if self._media is not None:
            self._media.announce(())

    def close(self) -> None:
        """The phone listens elsewhere, or the call is over: free the ports.  Idempotent."""
        if self._media is not None:
            self.fall_silent()
            self._media.close()
            self._media = None
