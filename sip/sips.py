"""The SIPS scheme (RFC 5630): what is addressed by it travels over TLS on every hop, or not at all.  Pure."""

from __future__ import annotations

from sip.flow import Flow
from sip.uri import Uri


def is_downgrade(uri: Uri, flow: Flow) -> bool:
    """Whether a request to this URI has come, or would go, over a link that it must not take (5.3)."""
    return uri.scheme == "sips" and not flow.secure


def may_bind(request_uri: Uri, contact: Uri, flow: Flow) -> bool:
    """Whether a REGISTER may bind this contact (5.2): a SIPS contact is registered by a SIPS Request-URI, and over TLS,
    since the flow of the REGISTER is how the phone is reached."""
    return contact.scheme != "sips" or (request_uri.scheme == "sips" and flow.secure)


def may_reach(request_uri: Uri, contact: Uri, flow: Flow) -> bool:
    """Whether a request may go on to the phone that registered this contact by this flow (5.3): one to a SIPS URI goes
    to SIPS contacts only, and nothing goes to a SIPS contact but over TLS."""
    if "sips" not in (request_uri.scheme, contact.scheme):
        return True
    return contact.scheme == "sips" and flow.secure


def target_uri(request_uri: Uri, contact: Uri) -> Uri:
    """The contact as Request-URI.  A request that came to a SIP URI stays one, since a SIPS URI would promise the phone
    what the hops before did not keep; all but the scheme is left as it is (5.3)."""
    if contact.scheme == "sips" and request_uri.scheme != "sips":
        return Uri.parse(f"sip{contact.text[4:]}")
    return contact


def not_allowed(flow: Flow) -> tuple[str, str]:
    """The header that tells a caller why a SIPS URI is answered with 480 (5.3)."""
    return "Warning", f'380 {flow.sent_by} "SIPS Not Allowed"'
