"""What is said in English of calls that do not come about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from explain.texts.form import Text

_REGISTER_AGAIN: Final = (
    "See whether the phone is on and connected to the network; switching it off and on makes it register at once. It "
    "is back when it stands among the registered phones."
)
_PHONE_SETTINGS: Final = "Look at the phone's settings, or at its own list of calls and faults."

TEXTS: Final[Mapping[str, Text]] = {
    # ---------------------------------------------------------------------------------------- the server said no
    "unknown-number": Text(
        "{dialled} is no number of this office",
        "{dialled} was dialled, and there is no such number here; the numbers of this office are {numbers}.",
        "Dial one of the numbers that there are, or change EXT_MIN and EXT_MAX in the settings to have more of them.",
    ),
    "caller-not-let-in.not-registered-there": Text(
        "the phone of {caller} is not registered from where it called",
        "A phone at {address} wanted to call as {caller}, but {caller} is not registered from that address.",
        "Let the phone register first; if its address has just changed, switch it off and on.",
    ),
    "caller-not-let-in.unprotected": Text(
        "{caller} needs a password here and has none",
        "The settings demand a password from every phone (AUTH_REQUIRED), and {caller} has none yet.",
        "Set one by: python sipserver.py passwd {caller}; then enter it in the phone.",
    ),
    "caller-not-let-in.other-number": Text(
        "the phone showed the password of another number than {caller}",
        "The phone called as {caller} with the password of another number; the two must be the same.",
        "In the phone's account, make user name, authentication name and number the same.",
    ),
    "caller-not-let-in.other": Text(
        "the server did not let the phone of {caller} call",
        "The phone at {address} was not allowed to call as {caller}.",
        "See the failed registrations of {caller} for the reason.",
    ),
    "loop.here": Text(
        "the call came back to this server in a loop",
        "What was sent towards {callee} came back to this server instead of reaching a phone.",
        "See whether the phone of {callee}, or a program registered as {callee}, forwards its calls to this server.",
    ),
    "loop.phone": Text(
        "the phone of {callee} says that the call goes round in circles",
        "The phone of {callee} gave the call back as a loop.",
        "Switch call forwarding off in the phone of {callee}, or forward to another number.",
    ),
    "foreign-contact": Text(
        "the phone of {caller} gave an address that is not its own",
        "The phone of {caller} asked to be reached at an address that can't be its own: the Contact {fault}.",
        "Look in the phone for a fixed or external address and remove it; or a router rewrites its messages: switch "
        "off SIP ALG there.",
    ),
    "relaying-refused": Text(
        "the phone of {caller} asked to pass the call on to another server",
        "The phone of {caller} wanted the call sent through another server, which this one does for nobody.",
        'Remove other servers from "outbound proxy" or "route" in the phone\'s account.',
    ),
    "sips-without-tls": Text(
        "the phone of {caller} called a sips address without TLS",
        "The phone of {caller} asked for an encrypted call but does not talk to the server by TLS.",
        "Set the phone's transport to TLS, or call without sips.",
    ),
    "server-limit.calls": Text(
        "the server had as many calls as it carries",
        "{most} calls were in progress, which is all that this server carries.",
        "Try again later. If nobody made so many calls, see who did: a stranger or a program gone wild.",
    ),
    "server-limit.ringing": Text(
        "{address} had too many unanswered calls at once",
        "From {address} alone {most} calls were ringing, which is all that one address may have.",
        "See what calls from there: a program gone wild, or very many phones behind one router.",
    ),
    "server-limit.ending": Text(
        "the server took no new calls because it was about to end",
        "The server was told to finish the calls in progress and to take no new ones.",
        "Try again when it has been started anew.",
    ),
    "server-limit.ports": Text(
        "the server had no ports left for the sound of one more call",
        "All media ports of the server were in use, so that the call would have had no sound.",
        "Widen the range from RTP_PORT to RTP_PORT_MAX, and the firewall with it; a call takes four ports.",
    ),
    "server-limit.phones": Text(
        "too many phones are registered under the number",
        "The call would have had to be split among {most} phones, more than its own limit allows.",
        "Give some of these phones a number of their own.",
    ),
    "server-fault": Text(
        "a fault of the server ended it",
        "The server met a fault of its own while it handled the call.",
        "See the server's log for the details, and report them.",
    ),
    "ended-by-server.administrator": Text(
        "it was ended from the server ({why})",
        "The call did not end by a phone: {why}.",
        "Nothing need be done if that was meant.",
    ),
    "ended-by-server.interrupted": Text(
        "the server was gone before the call ended ({why})",
        "The server stopped or crashed while the call was in progress: {why}.",
        "See the log of the server, or of the system, for why it stopped.",
    ),
    # ---------------------------------------------------------------------------------------- not reached
    "callee-not-registered.never": Text(
        "{callee} has never registered here",
        "No phone has ever registered as {callee} with this server, so there is nothing to ring.",
        "Set up a phone with the number {callee}; the console shows what to enter when the server starts.",
    ),
    "callee-not-registered.expired": Text(
        "the registration of {callee} had run out {ago} before",
        "The phone of {callee} (last at {address}) had not renewed its registration in time: {ago} before the call it "
        "ran out. Phones do that by themselves while they are on and reach the server.",
        _REGISTER_AGAIN,
    ),
    "callee-not-registered.unregistered": Text(
        "the phone of {callee} had taken its leave {ago} before",
        "The phone of {callee} (at {address}) unregistered {ago} before the call, as phones do when they are switched "
        "off or their account is disabled.",
        "Switch the phone on, or enable its account.",
    ),
    "callee-not-registered.removed-by-another": Text(
        "another phone had removed the registration of {callee} {ago} before",
        "{ago} before the call a phone at {by} removed the registration that the phone at {address} had as {callee}.",
        "Two phones use the number {callee} and one removes the other: give each its own number, or switch off "
        '"unregister all" or "remove other bindings" in the phone at {by}.',
    ),
    "callee-not-registered.administrator": Text(
        "the registration of {callee} was removed by the administrator {ago} before",
        "{ago} before the call the registration of {callee} was removed by hand. The phone notices when it renews it.",
        _REGISTER_AGAIN,
    ),
    "callee-not-registered.credentials-changed": Text(
        "the password of {callee} was changed {ago} before",
        "{ago} before the call the password of {callee} was changed, which ended its registration; the phone does not "
        "have the new one yet.",
        "Enter the new password in the phone.",
    ),
    "callee-not-registered.crowded-out": Text(
        "too many phones are registered as {callee}",
        "More phones registered as {callee} than one number may have, so the oldest registration ended {ago} before.",
        "Give some of these phones a number of their own.",
    ),
    "callee-not-registered.moved": Text(
        "the phone of {callee} had gone over to another server {ago} before",
        "{ago} before the call the phone of {callee} (last here at {address}) registered at another server that shares "
        "this database, and it is not registered there any more either.",
        _REGISTER_AGAIN,
    ),
    "callee-not-registered.restart": Text(
        "{callee} has not registered since the server was started",
        "The phone of {callee} was last heard of {ago} before the call, before the server was started, and has not "
        "come back since.",
        _REGISTER_AGAIN,
    ),
    "callee-not-registered.unknown": Text(
        "{callee} was not registered",
        "No phone was registered as {callee} when it was called. It had been registered at some time before.",
        _REGISTER_AGAIN,
    ),
    "callee-server-away": Text(
        "the server {server}, at which the phone of {callee} is registered, is out of service",
        "The phone of {callee} is registered at the server {server}, which shares this database and gives no sign of "
        "life.",
        "Start that server again, or have the phone register at this one: switch it off and on.",
    ),
    "callee-without-sips": Text(
        "{callee} can't be called by a sips address",
        "{callee} was called by a sips address, which demands TLS all the way, and its phone is not registered so.",
        "Call {callee} without sips, or register its phone by TLS with a sips address.",
    ),
    "callee-banned": Text(
        "the address of the phone of {callee} is banned",
        "The phone of {callee} at {address} could not answer, because the server listens to nothing from {banned}: "
        "{reason}.",
        "Lift the ban (DELETE /api/bans/{banned}), and see which device there uses a wrong password.",
    ),
    "callee-address-unreachable.port": Text(
        "nothing listens at the address of the phone of {callee}",
        'There is a device at {address}, but no phone listens there any more: the network answered "{why}". The '
        "phone or its program was ended, or restarted with another port, without unregistering.",
        "Start the phone or its program again; it registers anew by itself.",
    ),
    "callee-address-unreachable.host": Text(
        "the network can't reach the phone of {callee}",
        'The network could not bring the call to {address}: "{why}". The phone is off, unplugged or in another '
        "network now.",
        "See whether the phone is on and plugged in, and whether the way from the server to {address} is open.",
    ),
    "callee-connection-lost.meanwhile": Text(
        "the {transport} connection to the phone of {callee} is gone",
        "The phone of {callee} is reached by {transport}, and the call could not be brought to {address} by it.",
        "See whether the phone is on; behind a router only the phone itself can open the connection again, which it "
        "does when it registers.",
    ),
    "callee-connection-lost.before": Text(
        "the phone of {callee} had lost its {transport} connection {ago} before",
        "The phone of {callee} lost its {transport} connection {ago} before the call, has not come back, and can't be "
        "connected to at {address}.",
        "See whether the phone is on; set its keep-alive to 30 seconds or less if its router drops idle connections.",
    ),
    "message-too-large": Text(
        "the call was too large for one UDP packet",
        "The invitation to {callee} had {size} bytes and had to travel to {address} in pieces, which many "
        "routers drop.",
        "Set the phones to TCP or TLS; or switch off codecs and features that they don't need, until their messages "
        "have fewer than {safe} bytes.",
    ),
    "callee-nat-mapping-gone": Text(
        "the router before the phone of {callee} let nothing through",
        "The phone of {callee} is behind a router (NAT) at {address} and was last heard {ago} before the call. Nothing "
        "came back: most probably the router has forgotten the way to it.",
        "Set the phone's keep-alive to 30 seconds or less, or use TCP or TLS, or a shorter NAT_KEEPALIVE here.",
    ),
    "callee-silent": Text(
        "the phone of {callee} does not answer the server",
        "The call was sent to the phone of {callee} at {address}, last heard {ago} before, and nothing came back, not "
        "even a word that it had arrived.",
        "See whether the phone is on and in the network, and whether a firewall stands between it and the server.",
    ),
    # ---------------------------------------------------------------------------------------- no agreement
    "srtp-one-sided.caller": Text(
        "the phone of {caller} insists on encrypted sound, and the one of {callee} does not have it",
        "The phone of {caller} offered encrypted sound (SRTP) only, and the phone of {callee} refused that.",
        'Set SRTP to "optional" in the phone of {caller}, or switch it on in the phone of {callee}.',
    ),
    "srtp-one-sided.callee": Text(
        "the phone of {callee} insists on encrypted sound, and the one of {caller} does not offer it",
        "The phone of {callee} takes encrypted sound (SRTP) only, and the phone of {caller} offered the plain kind.",
        'Set SRTP to "optional" in the phone of {callee}, or switch it on in the phone of {caller}.',
    ),
    "no-common-codec.lists": Text(
        "the two phones have no codec in common",
        "The phone of {caller} offered {offered}; the phone of {callee} knows {own}. There is none in both lists.",
        "Enable one codec in both phones; PCMA (G.711) is known by all.",
    ),
    "no-common-codec.offer": Text(
        "the phone of {callee} takes none of the codecs that were offered",
        "The phone of {caller} offered {offered}, and the phone of {callee} refused, without saying what it knows.",
        "Enable PCMA (G.711), which every phone knows, in both phones.",
    ),
    "sound-refused": Text(
        "the phone of {callee} refused the sound",
        "The phone of {callee} answered the call but refused the sound that was offered ({offered}).",
        "Enable PCMA (G.711) in both phones, and see whether one of them insists on encryption.",
    ),
    "broken-description": Text(
        "the phone of {number} described its sound in a way that can't be used",
        "What the phone of {number} said of its sound could not be used: {fault}.",
        "Update the phone's firmware, and switch off video and special codecs in it.",
    ),
    # ---------------------------------------------------------------------------------------- declined
    "do-not-disturb.said": Text(
        "{callee} does not want to be disturbed",
        'The phone of {callee} is set to "do not disturb" ({answer}).',
        'Switch "do not disturb" off in the phone of {callee}, if calls are welcome.',
    ),
    "do-not-disturb.silent": Text(
        "the phone of {callee} takes no calls now",
        'The phone of {callee} turned the call away without ringing ({answer}): it is set to "do not disturb", or '
        "nobody is logged in at it.",
        'See whether "do not disturb" is on in the phone of {callee}.',
    ),
    "rejected-by-person.said": Text(
        "{callee} declined the call",
        "Somebody at the phone of {callee}, or a rule in it, declined the call ({answer}).",
        "Nothing is wrong with the line. If nobody pressed a key, see the phone's list of blocked callers.",
    ),
    "rejected-by-person.rang": Text(
        "{callee} rang, and the call was turned away there",
        "The phone of {callee} rang and then answered {answer}, as many phones do when the red key is pressed.",
        "Nothing is wrong with the line.",
    ),
    "callee-busy": Text(
        "{callee} is busy",
        "The phone of {callee} said that it is busy ({answer}).",
        "Try again later; or allow a second call (call waiting) in the phone of {callee}.",
    ),
    "no-answer.server": Text(
        "{callee} rang for {rang}, and nobody answered",
        "The phone of {callee} rang for {rang}; then the server gave up.",
        "Try again later. How long phones ring is set by CALL_SETUP_TIMEOUT.",
    ),
    "no-answer.phone": Text(
        "{callee} rang for {rang}, and nobody answered",
        "The phone of {callee} rang for {rang}; then it gave up by itself.",
        "Try again later. How long it rings is set in that phone.",
    ),
    "neither-rang-nor-answered": Text(
        "the phone of {callee} got the call but neither rang nor answered",
        "The phone of {callee} confirmed that it had received the call, and then did nothing for {waited}.",
        "Switch the phone off and on; update it if that happens again.",
    ),
    "caller-gave-up.rang": Text(
        "{caller} hung up before {callee} answered",
        "{callee} was ringing, and {caller} hung up after {after}.",
        "Nothing is wrong with the line.",
    ),
    "caller-gave-up.before-ringing": Text(
        "{caller} hung up before {callee} rang",
        "{caller} hung up after {after}, and until then the phone of {callee} had not rung.",
        "If {caller} had to wait, see whether the phone of {callee} is reachable.",
    ),
    "call-forwarded": Text(
        "the phone of {callee} wants the call sent elsewhere",
        "The phone of {callee} forwards its calls ({answer}), which this server does not follow.",
        "Switch call forwarding off in the phone of {callee}.",
    ),
    "phone-fault": Text(
        "the phone of {callee} reported a fault",
        "The phone of {callee} could not handle the call: {answer}.",
        "Switch the phone off and on; update it if that happens again.",
    ),
    "phone-refused.password": Text(
        "the phone of {callee} asks callers for a password",
        "The phone of {callee} wants a password from whoever calls it ({answer}), which no caller has.",
        'Switch off "authenticate incoming calls" in the phone of {callee}.',
    ),
    "phone-refused.unknown": Text(
        "the phone at {address} does not know that it is {callee}",
        "The phone at {address}, which is registered as {callee}, says that it has no such number ({answer}).",
        "In that phone make user name and number the same, then switch it off and on.",
    ),
    "phone-refused.other": Text(
        "the phone of {callee} refused the call",
        "The phone of {callee} at {address} refused the call: {answer}.",
        _PHONE_SETTINGS,
    ),
}
