"""The direction of imports and the purity of the core: the layers of docs/architecture.md as a table."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent

EXPLAINED = ("doctor", "phones", "setup", "talk")
"""What explanations have texts about, in each language."""

LAYERS: tuple[tuple[str, ...], ...] = (
    ("faults", "interpreter", "private_file", "setting_kinds"),
    ("config", "lasting_thread", "log_lines"),
    ("log_files",),
    ("log_setup",),
    # SIP, pure
    (
        "sip",
        "sip.codec",
        "sip.constants",
        "sip.errors",
        "sip.facts",
        "sip.grammar",
        "sip.nonces",
        "sip.numbering",
        "sip.returned",
    ),
    ("sip.attempts",),
    ("sip.passwords",),
    ("sip.snapshots", "sip.sources", "sip.timers"),
    ("sip.bans", "sip.diary", "sip.flood", "sip.masking", "sip.multipart", "sip.uri"),
    ("sip.headers", "sip.inet", "sip.sdp_values"),
    ("sip.sdp",),
    ("sip.asserted_identity", "sip.digest", "sip.media_stream", "sip.message", "sip.networks"),
    ("sip.media_relay",),
    (
        "sip.challenge_choice",
        "sip.credentials",
        "sip.flow",
        "sip.media",
        "sip.outcome",
        "sip.patience",
        "sip.stream",
        "sip.validation",
    ),
    (
        "sip.black_hole",
        "sip.common_passwords",
        "sip.contact_rules",
        "sip.endpoint",
        "sip.events",
        "sip.gatekeeper",
        "sip.joined",
        "sip.key_info",
        "sip.neighbours",
        "sip.session_timer",
    ),
    ("sip.local_sdp", "sip.quality_verdict"),
    ("sip.local_media",),
    ("sip.local_dialog", "sip.ringback"),
    ("sip.journal", "sip.media_watch", "sip.routing", "sip.sips", "sip.trace_words", "sip.transaction"),
    ("sip.location", "sip.trace"),
    ("sip.call", "sip.trace_keeper"),
    (
        "sip.calls",
        "sip.registrar",
        "sip.targets",
        "sip.trace_codec",
        "sip.transaction_client",
        "sip.transaction_server",
    ),
    ("sip.forwarding", "sip.recorder", "sip.transaction_layer"),
    ("sip.exchange",),
    ("sip.call_control", "sip.keepalive"),
    ("sip.local_request", "sip.responses", "sip.service_numbers"),
    (
        "sip.house_rules",
        "sip.local_agent",
    ),
    ("sip.proxy",),
    ("sip.first_leg",),
    ("sip.click_to_dial",),
    ("sip.admission",),
    ("sip.sharing",),
    ("sip.transaction_user",),
    ("sip.core",),
    # RTP, pure
    ("rtp", "rtp.figures", "rtp.g711", "rtp.pacing", "rtp.packet", "rtp.payload_types", "rtp.quality"),
    ("rtp.keys", "rtp.latch", "rtp.pulse", "rtp.rtcp", "rtp.sounds", "rtp.srtp", "rtp.stats"),
    (
        "rtp.header_log",
        "rtp.outgoing",
        "rtp.program",
        "rtp.rtcp_writer",
        "rtp.series",
        "rtp.session",
        "rtp.shared_stats",
    ),
    ("rtp.conversation",),
    # drivers: sockets, threads, time
    ("sip.event_bus", "sip.outbox", "sip.quota", "sip.tls"),
    ("rtp.channel", "rtp.poller", "rtp.udp", "sip.address_watch", "sip.addresses"),
    ("sip.icmp",),
    ("sip.transport",),
    ("rtp.loop", "rtp.ports", "sip.ban_file", "sip.kept_passwords", "sip.tcp_connection", "sip.transport_udp"),
    ("sip.transport_tcp",),
    ("sip.transport_tls",),
    ("rtp.direction", "rtp.pool", "rtp.worker_process", "sip.driver", "sip.password_store"),
    ("sip.engine",),
    ("rtp.line", "rtp.worker", "sip.safekeeping"),
    ("rtp.crew", "rtp.endpoint", "rtp.leg"),
    ("rtp.stream",),
    ("rtp.relay",),
    # explanations, pure
    ("explain", "explain.finding", "explain.networks", "explain.texts", "explain.texts.form"),
    ("explain.rule", *(f"explain.texts.{language}_{part}" for language in ("en", "ru") for part in EXPLAINED)),
    ("explain.texts.en", "explain.texts.ru"),
    ("explain.calls", "explain.calls.case", "explain.phones", "explain.phones.standing", "explain.words"),
    ("explain.phones.presence", "explain.phones.refusals"),
    ("explain.phones.explanation",),
    (
        "explain.calls.declining",
        "explain.calls.holding",
        "explain.calls.negotiating",
        "explain.calls.reaching",
        "explain.calls.refusing",
        "explain.calls.sounding",
        "explain.calls.tampering",
    ),
    ("explain.calls.explanation",),
    ("explain.doctor", "explain.doctor.facts"),
    ("explain.doctor.house_rules", "explain.doctor.network_rules"),
    ("explain.doctor.diagnosis",),
    # state that lasts
    ("store.lock", "store.pool", "store.sql", "store.text"),
    (
        "store.backlog",
        "store.bindings",
        "store.calls",
        "store.interface",
        "store.medium",
        "store.schema",
        "store.servers",
    ),
    ("store.history", "store.postgres_schema", "store.postgres_trouble", "store.trouble"),
    ("store.database", "store.postgres", "store.traces"),
    ("store.archive", "store.postgres_keepers", "store.writer"),
    ("store.database_store", "store.neighbours"),
    ("store.postgres_import", "store.postgres_store", "store.sqlite_store"),
    ("store",),
    # views of a trace, pure
    ("tracing", "tracing.messages", "tracing.packets"),
    ("tracing.parties", "tracing.pcap"),
    ("tracing.ladder",),
    ("tracing.ladder_text",),
    # HTTP
    (
        "api.connection",
        "api.headers",
        "api.memory",
        "api.openapi.schema",
        "api.outcome",
        "api.problem_watch",
        "api.rate_limit",
        "api.services",
        "api.sessions",
        "api.views",
        "api.webhooks",
        "api.webhooks.target",
    ),
    ("api.audit", "api.call_ids", "api.errors", "api.event_view", "api.openapi.explanations", "api.openapi.traces"),
    ("api.openapi.routes", "api.openapi.views"),
    ("api.access", "api.csv_text", "api.health", "api.limits", "api.openapi", "api.query", "api.trace_views"),
    (
        "api.admin",
        "api.body",
        "api.explanation_views",
        "api.exposition",
        "api.idempotency",
        "api.paging",
        "api.statistics",
    ),
    ("api.traces", "api.webhooks.book"),
    ("api.explaining", "api.webhooks.courier"),
    (
        "api.bans",
        "api.calls",
        "api.dialling",
        "api.explanations",
        "api.documentation",
        "api.draining",
        "api.events",
        "api.extensions",
        "api.media",
        "api.metrics",
        "api.page",
        "api.registrations",
        "api.session",
        "api.testcalls",
        "api.webhooks.routes",
    ),
    ("api",),
    ("api.server",),
    ("reload", "signals", "startup"),
    ("commands.refusal", "surroundings"),
    ("commands.authority", "commands.backup", "commands.passwd", "commands.restore", "commands.selftest.verdict"),
    ("commands.cert", "commands.selftest.api_view", "commands.selftest.line", "commands.selftest.passwords"),
    ("commands.selftest.scene",),
    ("commands.selftest.certificate", "commands.selftest.exposure", "commands.selftest.settings"),
    ("commands.selftest.strangers", "commands.selftest.streams", "commands.selftest.trial_call"),
    ("commands.selftest.media",),
    ("commands.doctor", "commands.selftest"),
    ("commands",),
    ("command_line", "machinery"),
    ("answers",),
    ("sipserver",),
)
"""A file imports only from the lines above its own."""

DRIVERS = frozenset(
    {
        "rtp.channel",
        "rtp.crew",
        "rtp.direction",
        "rtp.endpoint",
        "rtp.leg",
        "rtp.line",
        "rtp.loop",
        "rtp.poller",
        "rtp.pool",
        "rtp.ports",
        "rtp.relay",
        "rtp.stream",
        "rtp.udp",
        "rtp.worker",
        "rtp.worker_process",
        "sip.address_watch",
        "sip.addresses",
        "sip.ban_file",
        "sip.driver",
        "sip.event_bus",
        "sip.engine",
        "sip.icmp",
        "sip.kept_passwords",
        "sip.password_store",
        "sip.outbox",
        "sip.quota",
        "sip.tcp_connection",
        "sip.tls",
        "sip.safekeeping",
        "sip.transport_tcp",
        "sip.transport_tls",
        "sip.transport_udp",
    }
)
"""Files of sip/ and rtp/ that may touch the world; all others are pure."""

BANNED = frozenset(
    {
        "asyncio",
        "concurrent",
        "flask",
        "multiprocessing",
        "queue",
        "select",
        "selectors",
        "signal",
        "socket",
        "sqlite3",
        "ssl",
        "subprocess",
        "threading",
        "time",
        "waitress",
    }
)
"""What a pure file must not import."""

FOR_ALL = frozenset({"faults", "lasting_thread", "private_file"})
"""What knows of nothing else and may be needed anywhere."""

ALLOWED_PACKAGES = {
    "faults": frozenset[str](),
    "lasting_thread": frozenset[str](),
    "private_file": frozenset[str](),
    "config": frozenset({"setting_kinds"}),
    "setting_kinds": frozenset[str](),
    "interpreter": frozenset[str](),
    "log_lines": frozenset[str](),
    "log_files": frozenset({"log_lines"}),
    "log_setup": frozenset({"config", "log_files", "log_lines"}),
    "sip": frozenset({"sip", "config"}),
    "rtp": frozenset({"rtp"}),
    "api": frozenset(
        {
            "api",
            "config",
            "rtp.figures",
            "rtp.quality",
            "explain",
            "sip.bans",
            "sip.events",
            "sip.facts",
            "sip.media_stream",
            "sip.passwords",
            "sip.snapshots",
            "sip.sources",
            "sip.trace",
            "tracing",
        }
    ),
    "tracing": frozenset({"tracing", "sip"}),
    "store": frozenset(
        {
            "store",
            "config",
            "sip.ban_file",
            "sip.credentials",
            "sip.kept_passwords",
            "sip.snapshots",
            "sip.trace",
            "sip.trace_codec",
        }
    ),
    "explain": frozenset({"config", "explain", "sip"}),
    "commands": frozenset(
        {
            "api.access",
            "api.explanation_views",
            "commands",
            "config",
            "explain",
            "setting_kinds",
            "sip",
            "startup",
            "store",
            "surroundings",
        }
    ),
    "surroundings": frozenset({"config", "explain", "sip", "startup"}),
    "reload": frozenset({"config"}),
    "signals": frozenset[str](),
    "startup": frozenset({"config", "sip"}),
    "command_line": frozenset({"commands"}),
    "machinery": frozenset({"api", "config", "log_setup", "rtp", "sip", "startup", "store"}),
    "answers": frozenset({"api", "config", "explain", "machinery", "rtp", "sip", "store", "surroundings"}),
    "sipserver": frozenset(
        {
            "answers",
            "api",
            "command_line",
            "config",
            "interpreter",
            "log_setup",
            "reload",
            "rtp",
            "signals",
            "sip",
            "startup",
            "store",
        }
    ),
}
"""sip/ and rtp/ never meet but in the program itself; api/ knows of them their frozen views and a few pure rules."""

PACKAGES = ("sip", "rtp", "store", "tracing", "explain", "api", "commands")

PURE = ("sip.", "rtp.", "tracing.", "explain.")
"""What lies in there is pure, unless it is a driver."""

LEVEL = {module: level for level, modules in enumerate(LAYERS) for module in modules}


def sources() -> dict[str, Path]:
    """Every module of the program by its name."""
    paths = [
        *ROOT.glob("*.py"),
        *(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")),
    ]
    names = (".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths)
    return dict(zip((name.removesuffix(".__init__") for name in names), paths, strict=True))


SOURCES = sources()


@cache
def imported_by(module: str) -> tuple[str, ...]:
    """What this module of the program imports."""
    return tuple(imports_of(SOURCES[module].read_text()))


def imports_of(source: str) -> Iterator[str]:
    """Modules that this text imports when it runs, wherever in it; those for type checkers only are none."""
    waiting: list[ast.AST] = [ast.parse(source)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, "imports are absolute"
            # `from package import module` imports the module, not only the package.
            modules = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from modules & SOURCES.keys() or {node.module}
        waiting += ast.iter_child_nodes(node)


def own_imports(module: str) -> list[str]:
    return [name for name in imported_by(module) if name in SOURCES]


def test_every_file_is_in_the_table_once_and_the_table_names_no_other() -> None:
    assert sorted(module for modules in LAYERS for module in modules) == sorted(SOURCES)
    assert SOURCES.keys() >= DRIVERS


def test_the_page_for_people_names_every_file() -> None:
    """docs/architecture.md: in each row the files of one directory, or a directory as a whole."""
    named = set()
    table = (ROOT / "docs" / "architecture.md").read_text().partition("## Layers")[2].partition("## Threads")[0]
    for row in re.findall(r"^\|.*", table, re.MULTILINE):
        directory = ""
        for place, name in re.findall(r"`((?:[a-z0-9_]+/)*)((?:[a-z0-9_]+\.py)?)`", row):
            directory = place or directory
            named.add(directory + name)
    paths = [path.relative_to(ROOT) for path in SOURCES.values() if path.name != "__init__.py"]
    missing = [str(path) for path in paths if not named & {str(path), *(f"{each}/" for each in path.parents)}]
    assert missing == []


def test_imports_lead_downward() -> None:
    assert [
        f"{module} imports {name}" for module in SOURCES for name in own_imports(module) if LEVEL[name] >= LEVEL[module]
    ] == []


def test_no_package_imports_its_neighbour() -> None:
    found = []
    for module in SOURCES:
        allowed = ALLOWED_PACKAGES[module.partition(".")[0]] | FOR_ALL
        names = [name for name in own_imports(module) if not {name, name.partition(".")[0]} & allowed]
        found += [f"{module} imports {name}" for name in names]
    assert found == []


def test_a_pure_file_touches_no_socket_thread_or_clock() -> None:
    pure = [name for name in SOURCES if name.startswith(PURE) and name not in DRIVERS]
    assert [
        f"{module} imports {name}"
        for module in pure
        for name in imported_by(module)
        if name.partition(".")[0] in BANNED
    ] == []


def test_the_imports_of_a_text() -> None:
    text = """
from __future__ import annotations
import os.path, time as clock
from rtp import session
from sip.uri import Uri
if TYPE_CHECKING:
    import socket
else:
    import ssl
def late():
    from threading import Lock
"""
    assert set(imports_of(text)) == {"__future__", "os.path", "time", "rtp.session", "sip.uri", "ssl", "threading"}
