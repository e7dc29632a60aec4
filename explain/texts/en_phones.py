"""What is said in English of phones that can't register, and of numbers that can't be reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from explain.texts.form import Text

_ON_AND_OFF: Final = (
    "See whether the phone is on and connected to the network; switching it off and on makes it register at once."
)

TEXTS: Final[Mapping[str, Text]] = {
    # ---------------------------------------------------------------------------------------- refused
    "registered-since": Text(
        "{number} has registered from there since",
        "The registration was refused, last {ago} ago; since then a phone has registered as {number} from {address}.",
        "Nothing need be done.",
    ),
    "source-banned.guessing": Text(
        "its address {banned} is banned for {failures} wrong passwords",
        "Too many wrong passwords came from {banned}, so the server listens to nothing from there any more: also not "
        "to a phone that has the right one.",
        "Enter the right password in the phone at {address}, then lift the ban: DELETE /api/bans/{banned}.",
    ),
    "source-banned.by-hand": Text(
        "its address {banned} was banned by hand",
        "The server listens to nothing from {banned}: {reason}.",
        "Lift the ban if the phone is yours: DELETE /api/bans/{banned}.",
    ),
    "source-rate-limited": Text(
        "its address {address} sent more than SIP_RATE_LIMIT allows",
        "Messages from {address} were dropped, last {ago} ago, because so many came from there at once.",
        "See what sends so much from there; raise SIP_RATE_LIMIT if many phones share that address.",
    ),
    "wrong-password": Text(
        "the password in the phone is not that of {number}",
        "The phone at {address} wanted to register as {number}, {count} times with a wrong password.",
        "Enter the right password in the phone, or set a new one: python sipserver.py passwd {number}.",
    ),
    "no-password-shown": Text(
        "the phone at {address} shows no password",
        "The phone at {address} was asked for the password of {number} again and again and has never shown one: most "
        "probably none is entered in it.",
        "Enter the password of {number} in the phone (and {number} as user name or authentication name, too).",
    ),
    "number-without-password": Text(
        "{number} has no password, which it needs there",
        "The phone at {address} can't register as {number}, because this number has no password and needs one there.",
        "Set one by: python sipserver.py passwd {number}; then enter it in the phone.",
    ),
    "foreign-network": Text(
        "the phone at {address} is outside the trusted networks, and no number has a password",
        "From outside TRUSTED_NETWORKS a phone must show a password, and no number has one yet.",
        "Set one by: python sipserver.py passwd {number}; or add the phone's network to TRUSTED_NETWORKS if it is your "
        "own.",
    ),
    "unknown-user.number": Text(
        "{number} is no number of this office",
        "The phone at {address} wanted to register as {number}; the numbers of this office are {numbers}.",
        "Enter one of these numbers as user name in the phone.",
    ),
    "unknown-user.user": Text(
        "the user name in the phone is no number of this office",
        "The phone at {address} showed a password for a user that does not exist here: {why}.",
        "In the phone, make user name and authentication name the number itself, one of {numbers}.",
    ),
    "password-of-another-number": Text(
        "the phone showed the password of another number",
        "The phone at {address} wanted to register as {number} with the name and password of another number.",
        "In the phone's account, make number, user name and authentication name the same.",
    ),
    "unusable-credentials": Text(
        "the phone's answer to the question for its password can't be read",
        "The phone at {address} answered the question for the password of {number} in a way that can't be used: {why}.",
        "Update the phone; if it has a setting for the realm, leave it empty.",
    ),
    "nonce-too-late": Text(
        "the phone answers questions for its password that are too old",
        "The phone at {address} keeps answering the question for the password of {number} too late, from another "
        "address, or twice, so that its answers don't count.",
        "Switch the phone off and on and update it. If its address changes from message to message, see its router; "
        "a clock that jumps, here or there, does the same.",
    ),
    "contact-refused": Text(
        "the phone gave an address that can't be its own",
        "The phone at {address} asked to be called at an address that can't be used: {why}.",
        "Remove a fixed or external address from the phone's settings; switch off SIP ALG in its router.",
    ),
    "malformed-registration": Text(
        "the phone's registration breaks the rules of SIP",
        "The registration of {number} by the phone at {address} can't be used: {why}.",
        "Update the phone; see whether a router with SIP ALG rewrites its messages.",
    ),
    # ---------------------------------------------------------------------------------------- not reachable
    "phone-not-registered.never": Text(
        "no phone has ever registered as {number}",
        "No phone has ever registered as {number} with this server.",
        "Set up a phone with the number {number}; the console shows what to enter when the server starts.",
    ),
    "phone-not-registered.expired": Text(
        "the registration of {number} ran out {ago} ago",
        "The phone of {number} (last at {address}) did not renew its registration in time, and it ran out {ago} ago.",
        _ON_AND_OFF,
    ),
    "phone-not-registered.unregistered": Text(
        "the phone of {number} took its leave {ago} ago",
        "The phone of {number} (at {address}) unregistered {ago} ago, as phones do when they are switched off or their "
        "account is disabled.",
        "Switch the phone on, or enable its account.",
    ),
    "phone-not-registered.removed-by-another": Text(
        "another phone removed the registration of {number} {ago} ago",
        "{ago} ago a phone at {by} removed the registration that the phone at {address} had as {number}.",
        'Give each phone its own number, or switch off "unregister all" in the phone at {by}.',
    ),
    "phone-not-registered.administrator": Text(
        "the registration of {number} was removed by the administrator {ago} ago",
        "{ago} ago the registration of {number} was removed by hand. The phone notices when it renews it.",
        _ON_AND_OFF,
    ),
    "phone-not-registered.credentials-changed": Text(
        "the password of {number} was changed {ago} ago",
        "{ago} ago the password of {number} was changed, which ended its registration; the phone does not have the new "
        "one yet.",
        "Enter the new password in the phone.",
    ),
    "phone-not-registered.crowded-out": Text(
        "too many phones registered as {number}",
        "More phones registered as {number} than one number may have; the last registration ended {ago} ago.",
        "Give some of these phones a number of their own.",
    ),
    "phone-not-registered.moved": Text(
        "the phone of {number} went over to another server {ago} ago",
        "{ago} ago the phone of {number} (last here at {address}) registered at another server that shares this "
        "database, and it is not registered there any more either.",
        _ON_AND_OFF,
    ),
    "phone-not-registered.restart": Text(
        "{number} has not registered since the server was started",
        "The phone of {number} was last heard of {ago} ago, before the server was started, and has not come back.",
        _ON_AND_OFF,
    ),
    "phone-not-registered.unknown": Text(
        "{number} is not registered",
        "No phone is registered as {number} now. One had been at some time before.",
        _ON_AND_OFF,
    ),
    "phone-banned": Text(
        "the address {banned} of its phone is banned",
        "A phone of {number} is registered, but the server listens to nothing from {banned}: {reason}.",
        "Lift the ban: DELETE /api/bans/{banned}; and see which device there uses a wrong password.",
    ),
    "phone-connection-lost": Text(
        "the phone of {number} lost its {transport} connection {ago} ago",
        "The phone of {number} at {address} lost its connection {ago} ago. When somebody calls, the server will try to "
        "open a new one.",
        "See whether the phone is on.",
    ),
    "phone-connection-lost.behind-nat": Text(
        "the phone of {number} lost its {transport} connection {ago} ago",
        "The phone of {number} at {address} lost its connection {ago} ago, and behind its router only the phone itself "
        "can open a new one.",
        "See whether the phone is on; set its keep-alive to 30 seconds or less.",
    ),
    "phone-not-answering": Text(
        "the phone of {number} has not answered for {ago}",
        "The phone of {number}, behind a router at {address}, has not answered the server's pings for {ago}; calls to "
        "it will probably fail.",
        "See whether the phone is on; set its keep-alive to 30 seconds or less, or use TCP or TLS.",
    ),
    "phone-behind-sip-alg": Text(
        "something may rewrite the messages of its phone",
        "The phone of {number} at {address} names its public address {public} in one place and the private {private} "
        "in another, as messages look that a router with SIP ALG has changed in part.",
        "If calls or sound fail, switch off SIP ALG (SIP helper, SIP fixup) in the router of that phone.",
    ),
    "two-phones-one-number": Text(
        "two phones take {number} from one another",
        "The phones at {one} and {other} both use {number}, and have removed or replaced each other's registration "
        "{times} times within an hour, so that {number} rings now here, now there.",
        'Give each phone its own number; or switch off "unregister all" in them, and clone no settings with the same '
        "device id.",
    ),
}
