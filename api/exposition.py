"""What the server tells Prometheus: snapshots, read when Prometheus asks, as metric families in its text format 0.0.4.

Nothing is counted here a second time.  No label names a person, a number, a phone or a call: who may see how the server
fares need not see who calls whom, and the number of time series stays the same whatever the network sends.

Waitress workers, several at once; the leaf lock in `_Ratchet` guards the one thing they share.
"""

from __future__ import annotations

import platform
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain
from typing import Final

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from api.services import Context, Internals, Services
from api.views import clean
from rtp.figures import StreamSnapshot
from sip.snapshots import CallSnapshot, CallState, CallTotals, TerminationReason

SILENCE_S: Final = 10.0
"""A side that has sent no sound for so long is silent; phones that suppress silence send comfort noise more often."""

_Samples = Mapping[tuple[str, ...], float]
_LIVE_STATES = (CallState.INITIATED, CallState.RINGING, CallState.ESTABLISHED)


class _Ratchet:
    """The highest value that each counter has had.

    Prometheus takes any fall for a restart from zero.  A late packet makes the packets lost one fewer (RFC 3550 A.3),
    and of two scrapes at once the one that read first may answer last.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._highest: dict[tuple[str, ...], float] = {}

    def hold(self, key: tuple[str, ...], value: float) -> float:
        with self._lock:
            highest = self._highest[key] = max(value, self._highest.get(key, 0.0))
            return highest


class Exposition:
    """The metrics page of one server."""

    CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self, context: Context) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_ServerCollector(context))
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        return generate_latest(self._registry)


class _ServerCollector(Collector):
    def __init__(self, context: Context) -> None:
        self._context = context
        self._ratchet = _Ratchet()

    def collect(self) -> Iterable[Metric]:
        services = self._context.services
        inside = services.internals()
        streams, calls = services.streams(), services.calls()
        return chain(
            self._server(services, inside),
            self._calls(calls, services.call_totals(), inside),
            self._registrations(services, inside),
            self._media(services, inside),
            _stream_quality(streams),
            _silent_calls(calls, streams, self._context.wall_clock()),
            self._signalling(inside),
            self._log(inside),
        )

    def _server(self, services: Services, inside: Internals) -> Iterator[Metric]:
        labels = {"version": self._context.version, "python_version": platform.python_version()}
        yield _gauge("sipserver_build_info", "1, and by its labels which program this is.", tuple(labels), _one(labels))
        yield _gauge(
            "sipserver_start_time_seconds", "When the server started, in seconds since 1970.", (), services.started_at()
        )
        health = services.health()
        yield _gauge("sipserver_ready", "1 while the server does its work, as /healthz tells.", (), health.ready)
        yield _gauge(
            "sipserver_problems", "What hinders it at the moment; /healthz says what.", (), len(health.problems)
        )
        yield _gauge(
            "sipserver_thread_up",
            "1 while the thread of that name lives; all of them should.",
            ("thread",),
            _by_label(inside.threads),
        )
        yield self._counter(
            "sipserver_faults_total",
            "Faults that the server has met and got over, by the place that they ended in; the log tells of each kind.",
            ("place",),
            _by_label(inside.faults),
        )
        yield _gauge(
            "sipserver_store_pending_changes",
            "Changes that wait to be written to the database.",
            (),
            inside.store_pending,
        )

    def _calls(self, calls: Sequence[CallSnapshot], totals: CallTotals, inside: Internals) -> Iterator[Metric]:
        states = Counter(call.state for call in calls)
        yield _gauge(
            "sipserver_calls_in_progress",
            "Calls in progress by state.",
            ("state",),
            {(state.value.lower(),): states[state] for state in _LIVE_STATES},
        )
        yield self._counter(
            "sipserver_call_attempts_total", "Calls begun, also those refused at once.", (), totals.total
        )
        # A series that is there before anything happens lets `increase` see the first time.
        by_reason = dict.fromkeys((reason.value for reason in TerminationReason), 0) | totals.by_reason
        yield self._counter(
            "sipserver_calls_ended_total", "Calls ended, by the reason.", ("reason",), _by_label(by_reason)
        )
        yield self._counter(
            "sipserver_call_talk_seconds_total", "Seconds talked in calls that have ended.", (), totals.talk_s
        )
        yield self._setup_times(inside)

    def _setup_times(self, inside: Internals) -> Metric:
        name = "sipserver_call_setup_seconds"
        bounds = (*map(str, inside.setup_bounds_s), "+Inf")
        counts = [
            self._ratchet.hold((name, bound), count) for bound, count in zip(bounds, inside.setup_counts, strict=True)
        ]
        return HistogramMetricFamily(
            name,
            "Seconds from the INVITE of a call to its answer.",
            buckets=list(zip(bounds, accumulate(counts), strict=True)),
            sum_value=self._ratchet.hold((name,), inside.setup_sum_s),
        )

    def _registrations(self, services: Services, inside: Internals) -> Iterator[Metric]:
        registrations = services.registrations()
        transports = Counter(
            contact.transport.lower() for each in registrations for contact in each.contacts if not contact.server
        )
        bindings = dict.fromkeys(("udp", "tcp", "tls"), 0) | transports
        yield _gauge("sipserver_extensions", "Numbers that exist.", (), len(services.extensions()))
        yield _gauge("sipserver_registered_numbers", "Numbers that can be called now.", (), len(registrations))
        yield _gauge(
            "sipserver_registered_devices",
            "Devices registered at this server, by transport; a number may have several.",
            ("transport",),
            _by_label(bindings),
        )
        yield self._counter(
            "sipserver_registrations_failed_total",
            "REGISTER requests refused for good reason; /api/registrations/failures tells whose.",
            (),
            inside.failed_registrations,
        )
        yield _gauge("sipserver_bans", "Addresses that are not listened to.", (), len(services.bans()))

    def _media(self, services: Services, inside: Internals) -> Iterator[Metric]:
        totals = services.relay_totals()
        for name, explanation, value in (
            ("packets", "RTP packets received from phones.", totals.packets),
            ("bytes", "Bytes of these packets, RTP headers included.", totals.bytes),
            ("packets_lost", "RTP packets that phones sent and that never arrived.", totals.lost),
            ("packets_rejected", "Packets at media ports from addresses that may not send there.", totals.rejected),
            ("packets_dropped", "RTP packets received that could not be passed on.", totals.dropped),
        ):
            yield self._counter(f"sipserver_rtp_{name}_total", explanation, (), value)
        yield _gauge("sipserver_rtp_streams", "Directions of media streams that flow now.", (), totals.active_streams)
        yield _gauge(
            "sipserver_rtp_port_pairs",
            "Pairs of media ports in the range; a call takes two.",
            (),
            inside.media_port_pairs,
        )
        yield _gauge(
            "sipserver_rtp_port_pairs_in_use",
            "Pairs of media ports that belong to calls.",
            (),
            inside.media_port_pairs_in_use,
        )
        yield _gauge("sipserver_rtp_workers", "Processes that help to copy media.", (), inside.rtp_workers)

    def _signalling(self, inside: Internals) -> Iterator[Metric]:
        yield _gauge(
            "sipserver_sip_transactions",
            "SIP transactions in memory, by our part in them.",
            ("role",),
            {("server",): inside.server_transactions, ("client",): inside.client_transactions},
        )
        yield self._counter(
            "sipserver_sip_messages_dropped_total", "Messages dropped for SIP_RATE_LIMIT.", (), inside.flood_dropped
        )
        yield self._counter(
            "sipserver_sip_requests_refused_total",
            "Requests that were not let in, by cause; a challenge is how every honest one begins.",
            ("cause",),
            _by_label(inside.refused_requests),
        )
        yield _gauge(
            "sipserver_sip_connections",
            "SIP connections open, by transport.",
            ("transport",),
            _by_label(inside.connections),
        )
        yield _gauge(
            "sipserver_sip_queued_messages", "Messages that wait to be written to them.", (), inside.queued_messages
        )

    def _log(self, inside: Internals) -> Iterator[Metric]:
        yield _gauge("sipserver_log_queued_lines", "Log lines that wait to be written.", (), inside.log_queued)
        yield self._counter(
            "sipserver_log_lines_dropped_total", "Log lines that came faster than the disk.", (), inside.log_dropped
        )
        yield self._counter(
            "sipserver_log_errors_total", "Log lines of level error; error.log has them.", (), inside.log_errors
        )
        yield _gauge(
            "sipserver_log_files_failing", "Log files that can't be written now.", (), inside.log_files_failing
        )

    def _counter(self, name: str, explanation: str, labels: tuple[str, ...], value: float | _Samples) -> Metric:
        family = CounterMetricFamily(name, explanation, labels=labels)
        for values, number in _samples(value):
            family.add_metric(values, self._ratchet.hold((name, *values), number))
        return family


def _gauge(name: str, explanation: str, labels: tuple[str, ...], value: float | _Samples) -> Metric:
    family = GaugeMetricFamily(name, explanation, labels=labels)
    for values, number in _samples(value):
        family.add_metric(values, number)
    return family


def _samples(value: float | _Samples) -> Iterator[tuple[tuple[str, ...], float]]:
    if not isinstance(value, Mapping):
        yield (), value
        return
    for values, number in value.items():
        yield tuple(map(clean, values)), number


def _by_label(values: Mapping[str, float]) -> _Samples:
    return {(label,): number for label, number in values.items()}


def _one(labels: Mapping[str, str]) -> _Samples:
    return {tuple(labels.values()): 1}


def _stream_quality(streams: Sequence[StreamSnapshot]) -> Iterator[Metric]:
    """Of what flows now; without it there is no sample, since 0 would be a bad mark."""
    active = [stream for stream in streams if stream.active]
    jitters = [stream.jitter_ms / 1000 for stream in active]
    round_trips = [stream.rtt_ms / 1000 for stream in active if stream.rtt_ms is not None]
    marks = [stream.mos for stream in active if stream.mos is not None]
    yield _gauge("sipserver_rtp_jitter_average_seconds", "Mean jitter of the streams that flow.", (), _average(jitters))
    yield _gauge("sipserver_rtp_jitter_worst_seconds", "Highest jitter among them.", (), _extreme(jitters, max))
    yield _gauge(
        "sipserver_rtp_round_trip_average_seconds", "Mean round trip from phone to phone.", (), _average(round_trips)
    )
    yield _gauge("sipserver_rtp_round_trip_worst_seconds", "Longest round trip.", (), _extreme(round_trips, max))
    yield _gauge("sipserver_rtp_mos_average", "Mean quality of the streams that flow, 1 to 4.5.", (), _average(marks))
    yield _gauge("sipserver_rtp_mos_worst", "Lowest quality among them.", (), _extreme(marks, min))


def _average(values: Sequence[float]) -> _Samples:
    return {(): sum(values) / len(values)} if values else {}


def _extreme(values: Sequence[float], pick: Callable[[Sequence[float]], float]) -> _Samples:
    return {(): pick(values)} if values else {}


def _silent_calls(calls: Sequence[CallSnapshot], streams: Sequence[StreamSnapshot], now_at: float) -> Iterator[Metric]:
    """Calls on hold are among them: that they are quiet is seen from here, why is not."""
    audio = [stream for stream in streams if stream.kind == "audio"]
    with_audio = {stream.call_id for stream in audio}
    heard = {(each.call_id, each.side) for each in audio if (each.last_packet_at or 0.0) > now_at - SILENCE_S}
    silent_sides = Counter(
        sum((call.call_id, side) not in heard for side in (0, 1))
        for call in calls
        if call.call_id in with_audio and call.answered_at is not None and call.answered_at <= now_at - SILENCE_S
    )
    yield _gauge(
        "sipserver_calls_silent",
        "Calls answered a while ago in which one side or both have sent no sound for 10 seconds; also those on hold.",
        ("sides",),
        {("one",): silent_sides[1], ("both",): silent_sides[2]},
    )
