"""What is said in English of calls that were answered, and of those whose record is gone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from explain.texts.form import Text

TEXTS: Final[Mapping[str, Text]] = {
    # ---------------------------------------------------------------------------------------- cut off
    "ack-missing.lost": Text(
        "the phone of {caller} never acknowledged the answer",
        "{callee} answered, and the phone of {caller} never confirmed it; phones hang up after about 32 seconds then. "
        "Its confirmation goes to a wrong address, or something on the way swallows it.",
        'Switch off SIP ALG in the router of {caller}, remove a wrong "outbound proxy" from its phone, and update it.',
    ),
    "ack-missing.address": Text(
        "the phone of {caller} was told an address of this server that it can't reach",
        "{callee} answered, and the confirmation of {caller}'s phone never came: it is told to send it to "
        "{advertised}, a private address, while the phone is in the Internet.",
        "Set SERVER_ADDRESS to the public address of this server.",
    ),
    "ack-missing.elsewhere": Text(
        "the confirmation of {caller}'s phone came from another address",
        "{callee} answered, and the confirmation came from {elsewhere}, where {caller} is not registered, so that it "
        "was not believed.",
        "See why the phone of {caller} changes its address in mid-call: two uplinks, a VPN, or a router that rewrites.",
    ),
    "ack-not-heard": Text(
        "the phone of {callee} never heard that its answer had arrived",
        "The confirmation of the caller was passed on to the phone of {callee}, which went on repeating its "
        "answer; phones hang up after about 32 seconds then.",
        "See whether a firewall or a router with SIP ALG stands before the phone of {callee}.",
    ),
    "session-expired": Text(
        "neither phone renewed the call in time",
        "The phones had agreed to renew the call now and then (session timer), and after {talk} neither had done so: "
        "most probably both had lost the network, or one of them does not do what it promises.",
        "If it happens again, switch session timers off in the phones.",
    ),
    "caller-vanished.gone": Text(
        "the phone of {caller} could not be reached any more",
        "The server had something to tell the phone of {caller}, and could not deliver it.",
        "See whether that phone had lost its network.",
    ),
    "caller-vanished.silent": Text(
        "the phone of {caller} never confirmed the end of its call",
        "The phone of {caller} was told why no call came about, and never confirmed it.",
        "If its calls fail often, see its network and its router (SIP ALG).",
    ),
    # ---------------------------------------------------------------------------------------- sound
    "no-audio.nothing": Text(
        "no sound came from either phone",
        "{caller} and {callee} were connected for {talk}, and not one packet of sound has come to the server from "
        "either (UDP ports {ports}): a firewall keeps them away.",
        "Let UDP through to the media ports of the server (RTP_PORT to RTP_PORT_MAX), in its own firewall too.",
    ),
    "no-audio.foreign": Text(
        "the sound came from addresses that it may not come from",
        "{caller} and {callee} were connected for {talk}; {rejected} packets came to the ports {ports} from other "
        "addresses than those of the two phones, and were rejected.",
        "See which way the sound of the phones takes: another uplink, a VPN, or a router that changes addresses.",
    ),
    "one-way-audio.nothing": Text(
        "no sound came from {silent}",
        "{silent} could hear {heard}, but not one packet of sound came from {silent} to the server (UDP port {port}): "
        "a firewall or router keeps it back, or its microphone is muted in a way that sends nothing.",
        "Let UDP from the phone of {silent} through to the media ports of the server (RTP_PORT to RTP_PORT_MAX); see "
        "whether it is muted; switch off SIP ALG in its router.",
    ),
    "one-way-audio.foreign": Text(
        "the sound of {silent} came from a wrong address",
        "{rejected} packets came to the port of {silent} (UDP {port}) from addresses that are not its own, and were "
        "rejected; {heard} could be heard.",
        "See which way the sound of {silent} takes: another uplink, a VPN, or a router that changes addresses.",
    ),
    "one-way-audio.held": Text(
        "the phone of {silent} was on hold or muted",
        "The phone of {silent} had said that it sends no sound, as with hold or mute, and sent none.",
        "Nothing is wrong with the line; take the call off hold there.",
    ),
    "private-address-in-sdp": Text(
        "the phone of {number} asked for its sound at a private address",
        "The phone of {number} speaks to the server from {source}, but wanted its sound at {announced}, which nobody "
        "outside its network can reach; and it has sent no sound by which the server could find it.",
        "Let the phone's UDP through its router to the media ports of the server; or set its external address or STUN.",
    ),
    "audio-stopped.one": Text(
        "the sound of {number} stopped",
        "The sound of {number} stopped {after} after the answer and stayed away for {silence}, while the call went on.",
        "See whether the phone of {number} lost its network then, or its router forgets ways that are quiet.",
    ),
    "audio-stopped.both": Text(
        "the sound of both phones stopped",
        "Both phones fell silent {after} after the answer, and nothing came for {silence}.",
        "See what happened to the network then, between the server and both phones.",
    ),
    "packets-lost.to-server": Text(
        "{lost} % of the sound of {sender} got lost",
        "{lost} % of what the phone of {sender} sent never came to the server, so {receiver} heard gaps.",
        "Look at the network between the phone of {sender} and the server: Wi-Fi, a full uplink, a bad cable.",
    ),
    "packets-lost.from-server": Text(
        "{lost} % of the sound of {sender} got lost on its way to {receiver}",
        "All came to the server, but the phone of {receiver} reports that {lost} % of it never arrived there.",
        "Look at the network between the server and the phone of {receiver}: Wi-Fi, a full downlink, a bad cable.",
    ),
    "high-jitter": Text(
        "the sound of {sender} came unevenly",
        "The packets of {sender} came to the server with a jitter of {jitter} ms, so {receiver} heard clicks or gaps.",
        "Look at the network between the phone of {sender} and the server: Wi-Fi, or other traffic without priority "
        "for telephony.",
    ),
    # ---------------------------------------------------------------------------------------- tampering
    "sip-alg.record-route": Text(
        "something rewrites the messages of the phone at {address}",
        'The phone at {address} gave back "{after}" where "{before}" was sent to it: a router with SIP ALG '
        "rewrites its messages, or the phone is broken.",
        "Switch off SIP ALG (also called SIP helper, SIP fixup or session helper) in the router of that phone.",
    ),
    "sip-alg.target": Text(
        "something rewrites the messages of the phone at {address}",
        'The phone at {address} confirmed to "{after}", while the address that was sent to it is "{before}": a '
        "router with SIP ALG rewrites its messages, or the phone is broken.",
        "Switch off SIP ALG (also called SIP helper, SIP fixup or session helper) in the router of that phone.",
    ),
    "sip-alg.length": Text(
        "something rewrites the messages of the phone at {address}",
        "A message from {address} announced {before} bytes of content and had {after}: a router with SIP ALG has "
        "changed addresses in it and not its length.",
        "Switch off SIP ALG (also called SIP helper, SIP fixup or session helper) in the router of that phone.",
    ),
    "sip-alg.via": Text(
        "something may rewrite the messages of the phone at {address}",
        "The phone at {address} names its public address {after} in one place and the private {before} in another, as "
        "messages look that a router with SIP ALG has changed in part.",
        "If calls or sound fail, switch off SIP ALG (SIP helper, SIP fixup) in the router of that phone.",
    ),
    # ---------------------------------------------------------------------------------------- the history alone
    "history-says.busy": Text(
        "{callee} was busy", "The record of this call is not kept any more; the history says: {why}.", "Try again."
    ),
    "history-says.rejected": Text(
        "it was refused",
        "The record of this call is not kept any more; the history says: {why}.",
        "If it happens again, look at a newer call: its record says more.",
    ),
    "history-says.noanswer": Text(
        "nobody answered at {callee}",
        "The record of this call is not kept any more; the history says: {why}.",
        "Try again later.",
    ),
    "history-says.cancelled": Text(
        "the caller hung up first",
        "The record of this call is not kept any more; the history says: {why}.",
        "Nothing need be done.",
    ),
    "history-says.unreachable": Text(
        "{callee} could not be reached",
        "The record of this call is not kept any more; the history says: {why}.",
        "See whether {callee} is registered now.",
    ),
    "history-says.timeout": Text(
        "something was waited for in vain",
        "The record of this call is not kept any more; the history says: {why}.",
        "If it happens again, look at a newer call: its record says more.",
    ),
    "history-says.media-timeout": Text(
        "no sound was heard any more",
        "The record of this call is not kept any more; the history says: {why}.",
        "If it happens again, look at a newer call: its record says more.",
    ),
    "history-says.error": Text(
        "something went wrong (answer {status})",
        "The record of this call is not kept any more; the history says: {why}.",
        "If it happens again, look at a newer call: its record says more.",
    ),
}
