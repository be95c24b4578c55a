"""The numbers of an application as Prometheus reads them.

A number of one process has the label `process`. A number of the store has not: all processes would tell the same. The
format, and its negotiation, are those of prometheus-client; to count is left to `twofold.statistics`, which costs less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from twofold.metrics import Log, Numbers
from twofold.overview import State, Status
from twofold.statistics import Distribution, Process


@dataclass(frozen=True)
class _OfProcess:
    """A number that each process has; None where its system does not tell."""

    name: str
    text: str
    value: Callable[[Process], float | None]


@dataclass(frozen=True)
class _Distributed:
    """Distributions that each process has: one, or one for each of some labels."""

    name: str
    text: str
    labels: Sequence[str]
    values: Callable[[Process], Iterable[tuple[Sequence[str], Distribution]]]


@dataclass(frozen=True)
class _OfProjection:
    """A number that each projection has."""

    name: str
    text: str
    value: Callable[[Status], float]


GAUGES = (
    _OfProcess("twofold_process_start_time_seconds", "When it began, in Unix time.", lambda one: one.started_at),
    _OfProcess("twofold_process_resident_memory_bytes", "Memory that it holds.", lambda one: one.resident_bytes),
    _OfProcess("twofold_process_open_files", "Files and sockets that it has open.", lambda one: one.open_files),
    _OfProcess("twofold_streams_open", "Clients that listen to server-sent events.", lambda one: one.streams),
)
COUNTERS = (
    _OfProcess("twofold_process_cpu_seconds", "Time that it had a core.", lambda one: one.cpu_seconds),
    _OfProcess("twofold_append_events", "Events that were appended.", lambda one: one.appends.events),
    _OfProcess("twofold_append_conflicts", "Appends that expected another version.", lambda one: one.appends.conflicts),
)
HISTOGRAMS = (
    _Distributed(
        "twofold_loop_lag_seconds",
        "How late the event loop was, looked at ten times a second.",
        (),
        lambda one: [((), one.loop_lag)],
    ),
    _Distributed(
        "twofold_append_seconds",
        "What an append took that succeeded, from the call to the answer.",
        (),
        lambda one: [((), one.appends.seconds)],
    ),
    _Distributed(
        "twofold_group_appends",
        "How many appends, and other work in transactions, were committed together.",
        (),
        lambda one: [((), one.appends.groups)],
    ),
    _Distributed(
        "twofold_group_seconds",
        "What a group took to be written and committed.",
        (),
        lambda one: [((), one.appends.group_seconds)],
    ),
    _Distributed(
        "twofold_http_request_seconds",
        "Requests by HTTP, until the answer was there.",
        ("method", "route", "status"),
        lambda one: [((each.method, each.route, each.status), each.seconds) for each in one.requests],
    ),
    _Distributed(
        "twofold_command_seconds",
        "Commands by name and by what came of them.",
        ("command", "outcome"),
        lambda one: [((each.name, each.outcome), each.seconds) for each in one.commands],
    ),
    _Distributed(
        "twofold_query_seconds",
        "Queries by name and by what came of them.",
        ("query", "outcome"),
        lambda one: [((each.name, each.outcome), each.seconds) for each in one.queries],
    ),
)
PROJECTION_GAUGES = (
    _OfProjection("position", "How far its slowest part has come.", lambda one: one.position),
    _OfProjection("lag_events", "Events that it has not folded yet.", lambda one: one.behind),
    _OfProjection("lag_seconds", "How long the first of them has been in the log.", lambda one: one.seconds),
    _OfProjection("parked_letters", "Events that it could not pass, and those behind them.", lambda one: one.letters),
    _OfProjection("parked_sequences", "Sequences of which events are parked.", lambda one: one.sequences),
)


def exposed(numbers: Numbers, accept: str) -> tuple[bytes, str]:
    """The numbers in the format that was asked for, and its media type."""
    try:
        encode, media_type = choose_encoder(accept)
    except (TypeError, ValueError):  # a version that is none, which prometheus-client compares with numbers
        encode, media_type = choose_encoder("")
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Told(numbers))
    return encode(registry), media_type


class _Told(Collector):
    """What prometheus-client asks for metrics."""

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers

    def collect(self) -> Iterator[Metric]:
        yield from _of_processes(self._numbers.processes)
        yield from _of_log(self._numbers.log)


def _of_processes(processes: Sequence[Process]) -> Iterator[Metric]:
    for kind, declared in ((GaugeMetricFamily, GAUGES), (CounterMetricFamily, COUNTERS)):
        for one in declared:
            family = kind(one.name, one.text, labels=("process",))
            for process in processes:
                number = one.value(process)
                if number is not None:
                    family.add_metric((process.name,), number)
            yield family
    for distributed in HISTOGRAMS:
        labels = ("process", *distributed.labels)
        histogram = HistogramMetricFamily(distributed.name, distributed.text, labels=labels)
        for process in processes:
            for given, distribution in distributed.values(process):
                histogram.add_metric((process.name, *given), _buckets(distribution), distribution.sum)
        yield histogram


def _buckets(distribution: Distribution) -> list[tuple[str, float]]:
    """The counts as Prometheus has them: of all values up to each bound."""
    bounds = [*(f"{bound:g}" for bound in distribution.bounds), "+Inf"]
    return list(zip(bounds, accumulate(distribution.counts), strict=True))


def _of_log(log: Log | None) -> Iterator[Metric]:
    """What the store tells; that it does not answer is a number too."""
    yield GaugeMetricFamily("twofold_store_up", "Whether the store answers.", value=float(log is not None))
    if log is None:
        return
    yield GaugeMetricFamily("twofold_head_position", "The position of the last event.", value=log.head)
    for one in PROJECTION_GAUGES:
        family = GaugeMetricFamily(f"twofold_projection_{one.name}", one.text, labels=("projection",))
        for status in log.projections:
            family.add_metric((status.name,), one.value(status))
        yield family
    states = GaugeMetricFamily(
        "twofold_projection_state", "1 for the state that it is in, else 0.", labels=("projection", "state")
    )
    for status in log.projections:
        for state in State:
            states.add_metric((status.name, state), float(status.state is state))
    yield states
