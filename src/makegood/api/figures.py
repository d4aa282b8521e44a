"""Figures that are counted on the hot path as plain numbers, and told to Prometheus when it asks.

Strangers keep out: what is counted where is in `measures`, names and labels in `metrics`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from makegood.api import metrics

Labels = tuple[str, ...]
"""Values of labels, in their order."""


class Tally:
    """A counter with labels. Values beyond those that may be told apart are counted together.

    Attributes:
        counts: By the values of the labels.
    """

    __slots__ = ("counts", "metric")

    def __init__(self, metric: metrics.Metric, known: Iterable[Labels] = ()) -> None:
        self.metric = metric
        self.counts: dict[Labels, float] = dict.fromkeys(known or ([()] if not metric.labels else []), 0.0)

    def add(self, labels: Labels = (), count: float = 1.0) -> None:
        """So many more."""
        self.counts[labels] = self.counts.get(labels, 0.0) + count

    def family(self) -> Metric:
        """As Prometheus takes it."""
        family = CounterMetricFamily(self.metric.name, self.metric.doc, labels=self.metric.labels)
        for labels, count in self.counts.items():
            family.add_metric(labels, count)
        return family


class Spread:
    """A histogram."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, metric: metrics.Metric) -> None:
        self.bounds = metric.buckets
        self.counts = [0] * (len(metric.buckets) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """One more."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """How many were at most so much, each with its bound."""
        told, below = [], 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            below += count
            told.append((bound, float(below)))
        return told


def spreads(metric: metrics.Metric, found: Mapping[Labels, Spread]) -> Metric:
    """Histograms by their labels, as Prometheus takes them."""
    family = HistogramMetricFamily(metric.name, metric.doc, labels=metric.labels)
    for labels, spread in found.items():
        family.add_metric(labels, spread.buckets(), spread.total)
    return family


def gauge(metric: metrics.Metric, values: Mapping[Labels, float]) -> Metric:
    """What stands at this moment, as Prometheus takes it."""
    family = GaugeMetricFamily(metric.name, metric.doc, labels=metric.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


class Few:
    """The values of a label that are told apart: the first ones that came; the others are one."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def __call__(self, value: str) -> str:
        """The value that it is told as."""
        known = self._known.get(value)
        if known is None:
            if len(self._known) >= metrics.LABEL_VALUES_MAX:
                return metrics.OTHER
            known = self._known[value] = value
        return known
