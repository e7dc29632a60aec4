"""Keys that phones tell by INFO instead of in the sound: `application/dtmf-relay` and `application/dtmf`.  Pure.

No RFC defines the two; phones that send them agree on what they look like.
"""

from __future__ import annotations

import re

from sip.message import Request

KEY_TYPES = ("application/dtmf-relay", "application/dtmf")
_KEY = re.compile(r"(?:signal\s*=\s*)?(1[0-5]|[0-9A-D*#])\s*", re.IGNORECASE)
_KEYS_BY_CODE = dict(zip(("10", "11", "12", "13", "14", "15"), "*#ABCD", strict=True))
"""Some phones write the event codes of RFC 4733 3.2."""


def pressed_key(request: Request) -> str | None:
    """0 to 9, A to D, * or #; None when the request tells of none."""
    if request.content_type not in KEY_TYPES:
        return None
    key = next(filter(None, map(_KEY.fullmatch, request.body.decode("latin-1").splitlines())), None)
    return _KEYS_BY_CODE.get(key[1], key[1].upper()) if key is not None else None
