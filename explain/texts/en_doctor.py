"""What the doctor says in English."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from explain.texts.form import Text

TEXTS: Final[Mapping[str, Text]] = {
    "server-not-running": Text(
        "no server answers here",
        "Nothing answers at the API that the settings name (port {port}), so only settings and machine were looked at.",
        "Start the server: python sipserver.py; or run the doctor with the settings that it runs with.",
    ),
    "port-taken": Text(
        "another program has the port {port}",
        "The server could not start: {port} is in use by another program.",
        "End that program, or choose another port in the settings.",
    ),
    "advertised-addresses.setting": Text(
        "phones are told {addresses}",
        "Phones are told to reach this server, and its sound, at {addresses}, because SERVER_ADDRESS says so.",
        "Nothing need be done as long as all phones can reach that address.",
    ),
    "advertised-addresses.listening": Text(
        "phones are told {addresses}",
        "Phones are told to reach this server, and its sound, at {addresses}, where alone it listens (SIP_HOST).",
        "Nothing need be done as long as all phones can reach that address.",
    ),
    "advertised-addresses.route": Text(
        "phones are told {addresses}",
        "Each phone is told the address by which this machine reaches it: {addresses}.",
        "Nothing need be done; if a router with NAT stands before this server, set SERVER_ADDRESS.",
    ),
    "only-this-machine": Text(
        "only this machine can reach the server",
        "Phones are told {address}, an address that leads each of them to itself.",
        "Set SIP_HOST=0.0.0.0, and see whether this machine is connected to a network.",
    ),
    "private-address-for-public-phones": Text(
        "phones in the Internet are told a private address",
        "The phone of {number} is registered from {phone} and is told {address}, which nobody outside your network can "
        "reach: its calls will have no sound, or end after half a minute.",
        "Set SERVER_ADDRESS to the public address of this server, and forward its ports to it.",
    ),
    "ports-to-open.range": Text(
        "a firewall must let the ports of SIP and of the sound through",
        "These ports must be open towards this server: UDP and TCP {sip} (SIP){tls}, UDP {first}-{last} (sound).",
        "Nothing need be done where phones call and hear each other.",
    ),
    "ports-to-open.any": Text(
        "the sound uses any free ports, which no firewall can be told",
        "These ports must be open towards this server: UDP and TCP {sip} (SIP){tls}, and all UDP ports for the sound, "
        "since RTP_PORT is 0.",
        "Remove RTP_PORT from the settings to have a range of ports that a firewall can be told.",
    ),
    "few-media-ports": Text(
        "there is room for {calls} calls only",
        "The media ports, or the files that this process may open, suffice for {calls} calls at once.",
        "Widen the range from RTP_PORT to RTP_PORT_MAX (a call takes four), or raise the limit of open files.",
    ),
    "nat-without-keepalive": Text(
        "phones behind routers are not kept reachable",
        "NAT_KEEPALIVE is off, and these phones are behind routers that soon forget the way to them: {numbers}.",
        "Remove NAT_KEEPALIVE from the settings; the default is fine.",
    ),
    "phones-behind-one-nat": Text(
        "{count} phones share the address {address}",
        "These numbers are registered from behind one router at {address}: {numbers}. That works; limits and bans for "
        "this address meet them all.",
        "Nothing need be done. If one of them shows a wrong password, put it right before all are banned.",
    ),
    "phones-not-answering": Text(
        "phones behind routers do not answer: {numbers}",
        "These registered phones have not answered the server's pings, the longest for {ago}: {numbers}. Calls to them "
        "will probably fail.",
        "See whether they are on; set their keep-alive to 30 seconds or less, or use TCP or TLS.",
    ),
    "server-hindered": Text(
        "{problem}",
        "The server says of itself: {problem}.",
        "See the server's log for the details.",
    ),
    "clock-wrong.behind": Text(
        "the clock of this machine is wrong",
        "The clock is {behind} behind the time at which this program was made; times of calls and certificates are "
        "wrong.",
        "Set the clock, and let the system keep it right (NTP).",
    ),
    "clock-wrong.set": Text(
        "the clock of this machine was set by {by}",
        "The clock was set by {by}, {ago} ago, while the server ran; times of calls before and after don't fit.",
        "Let the system keep the clock right all the time (NTP).",
    ),
    "disk-space.little": Text(
        "only {free} MiB are free where {path} lies",
        "The disk of {path} has {free} MiB left for registrations, history, traces and logs.",
        "Make room, or keep less: HISTORY_DAYS, TRACE_DAYS, TRACE_MAX_MB.",
    ),
    "disk-space.full": Text(
        "the disk of {path} is full",
        "The disk of {path} has {free} MiB left: the server soon can't keep anything any more.",
        "Make room now, or keep less: HISTORY_DAYS, TRACE_DAYS, TRACE_MAX_MB.",
    ),
    "weak-passwords": Text(
        "easy to guess: the password of {numbers}",
        "The passwords of these numbers are among the first that everybody tries: {numbers}. Scanners find them within "
        "minutes, and call at your expense.",
        "Set good ones: python sipserver.py passwd NUMBER --generate; then enter them in the phones.",
    ),
    "few-passwords.unreadable": Text(
        "the passwords could not be looked at",
        "The files with the passwords can't be read by whoever runs this command.",
        "Run it as the user that the server runs as, on its machine and with its settings.",
    ),
    "few-passwords.public": Text(
        "no number has a password, and addresses of the Internet are trusted",
        "TRUSTED_NETWORKS holds {networks}, so that anybody there can register as any number.",
        "Leave only your own networks in TRUSTED_NETWORKS, and set passwords: python sipserver.py passwd NUMBER.",
    ),
    "few-passwords.private": Text(
        "no number has a password",
        "Every device in your own network can register as any number; from outside nobody can.",
        "Nothing need be done at home; in an office give each number a password (python sipserver.py passwd NUMBER).",
    ),
    "api-exposed.plain": Text(
        "other machines reach the API without encryption",
        "The API listens on {host} without TLS: who can listen on the way reads its token.",
        "Remove API_HOST from the settings, or run python sipserver.py cert and set API_TLS=true.",
    ),
    "api-exposed.development": Text(
        "the API may end all calls at once",
        "APP_ENV=development opens routes that end all calls and registrations.",
        "Remove APP_ENV from the settings, unless you develop.",
    ),
    "refused-phones": Text(
        "phones of your own networks could not register: {numbers}",
        "Within the last hour {count} numbers were refused from your own networks (TRUSTED_NETWORKS) and have not come "
        "through since: {numbers}.",
        "See /api/registrations/failures, which explains each of them.",
    ),
    "several-phones-one-number": Text(
        "several phones ring as {number}",
        "Phones at {addresses} are registered as {number}; all of them ring, and who answers first has the call.",
        "Nothing need be done if that is meant.",
    ),
}
