"""Which algorithms a phone is asked for: both, the better one first (RFC 8760 2.3, 2.4), or MD5 alone.

Pure; guarded by the core lock.  A challenge whose algorithm a phone doesn't know is to be ignored (RFC 2617 3.2.1), but
many phones of the years before 2024 look at the first one only, or give up as soon as they meet one that they don't
know.  Such a phone registers again after a while without an answer: then it is asked for MD5 alone.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import Final

from sip.digest import Algorithm

MAX_PHONES: Final = 4096
"""Phones remembered; who is forgotten is asked for both again."""

_BOTH: Final = tuple(Algorithm)
_MD5_ALONE: Final = (Algorithm.MD5,)
_GIVE_UP = re.compile(r"baresip v(?:[0-2]|3\.(?:\d|10))\.|SIPp\b|Twinkle/|PJSUA v(?:[01]|2\.(?:\d|10))\b", re.ASCII)
"""Programs known for it, which need not fail first."""


class ChallengeChoice:
    """Invariant: `_phones` holds at most `capacity` (source, number), each with the branch of the REGISTER that was
    asked for both and has not been answered yet, or "" once the phone has shown that it takes MD5."""

    def __init__(self, capacity: int = MAX_PHONES) -> None:
        self._capacity = capacity
        self._phones: OrderedDict[tuple[str, str], str] = OrderedDict()

    def __len__(self) -> int:
        """Phones remembered."""
        return len(self._phones)

    def offer(self, host: str, number: str, user_agent: str, register_branch: str | None) -> tuple[Algorithm, ...]:
        """What to ask the phone of that number for; `register_branch` is that of its REGISTER, None for another
        request, of which a phone may have several under way."""
        if _GIVE_UP.match(user_agent):
            return _MD5_ALONE
        phone = host, number
        asked = self._phones.get(phone)
        if asked == "":
            return _MD5_ALONE
        if register_branch is None or asked == register_branch:
            return _BOTH
        self._note(phone, register_branch if asked is None else "")
        return _BOTH if asked is None else _MD5_ALONE

    def answered(self, host: str, number: str, algorithm: Algorithm) -> None:
        """It has shown the right password by this one; asked for both, MD5 is what only those choose that know no
        better."""
        phone = host, number
        if algorithm is Algorithm.MD5:
            self._note(phone, "")
        else:
            self._phones.pop(phone, None)

    def _note(self, phone: tuple[str, str], branch: str) -> None:
        self._phones[phone] = branch
        self._phones.move_to_end(phone)
        if len(self._phones) > self._capacity:
            self._phones.popitem(last=False)
