"""What Prometheus would hold after some time in each of a few states of the stack, written down instead of lived.

Times are seconds into it; something breaks, where it does, at ``BROKEN``.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from monitoring.rules import SCRAPE_INTERVAL
from monitoring.slo import BUCKETS, Objectives, load

LENGTH = 2400
BROKEN = 1500
API = ("172.20.0.5:9464", "172.20.0.6:9464")
JOBS = "jobs"
"""The Prometheus job of the processes that work on jobs."""
EXPECTED = "stack:replicas:expected"
WORKER_UP = "sightglass_worker_up"

Value = Callable[[float], float]
Labels = dict[str, Any]
OLD: Labels = {"version": "1.3.9", "revision": "a0c1d22", "environment": "production"}
NEW: Labels = {"version": "1.4.0", "revision": "3f9ac21", "environment": "production"}


@dataclass
class World:
    """The samples of one state, which ends at ``end`` (seconds since the epoch), and of which nothing was stored later
    than ``stored``.
    """

    end: int
    lines: list[str] = field(default_factory=list)
    stored: float = LENGTH

    def gauge(self, name: str, value: float | Value, start: float = 0, stop: float = LENGTH, **labels: Any) -> None:
        """Add a series that is there from ``start`` until before ``stop``."""
        pairs = ",".join(f'{key}="{text}"' for key, text in labels.items())
        for at in range(0, LENGTH + 1, SCRAPE_INTERVAL):
            if start <= at < stop + (stop == LENGTH) and at <= self.stored:
                now = value(at) if callable(value) else value
                self.lines.append(f"{name}{{{pairs}}} {now!r} {self.end - LENGTH + at}")

    def counter(self, name: str, rate: float | Value, start: float = 0, stop: float = LENGTH, **labels: Any) -> None:
        """Add a counter that grows by ``rate`` a second, up and down by a third."""
        total = [0.0]
        for at in range(0, LENGTH + 1, SCRAPE_INTERVAL):
            now = rate(at) if callable(rate) else rate
            total.append(total[-1] + now * SCRAPE_INTERVAL * (1 + 0.3 * math.sin(at / 400)))
        self.gauge(name, lambda at: round(total[int(at / SCRAPE_INTERVAL)], 6), start, stop, **labels)

    def histogram(
        self,
        name: str,
        rate: float | Value,
        median: float,
        bounds: tuple[float, ...] = BUCKETS,
        stop: float = LENGTH,
        **labels: Any,
    ) -> None:
        """Add a classic histogram of values around ``median``."""

        def share(bound: float) -> float:
            return 1 / (1 + (median / bound) ** 4)

        def scaled(factor: float) -> Value:
            return lambda at: (rate(at) if callable(rate) else rate) * factor

        for bound in bounds:
            self.counter(f"{name}_bucket", scaled(share(bound)), stop=stop, le=bound, **labels)
        self.counter(f"{name}_bucket", scaled(1), stop=stop, le="+Inf", **labels)
        self.counter(f"{name}_count", scaled(1), stop=stop, **labels)
        self.counter(f"{name}_sum", scaled(median), stop=stop, **labels)

    def openmetrics(self) -> Iterator[str]:
        """Yield the samples' lines."""
        yield from self.lines


@dataclass(frozen=True)
class Traffic:
    """Requests of one route: a second, by status, and how long they usually take."""

    route: str
    method: str
    seconds: float
    statuses: Mapping[str, float | Value]


USUAL = (
    Traffic("/api/v1/predict", "POST", 0.04, {"200": 12, "422": 0.3, "429": 0.05, "500": 0.01}),
    Traffic("/api/v1/process", "POST", 0.9, {"200": 0.5}),
    Traffic("/api/v1/jobs", "POST", 0.02, {"202": 0.4, "413": 0.02}),
    Traffic("/api/v1/jobs/{job_id}/result", "GET", 0.03, {"200": 0.4, "404": 0.05}),
    Traffic("(unmatched)", "GET", 0.002, {"404": 0.3}),
)
PROBES = Traffic("/ready", "GET", 0.01, {"200": 0.1})
FAILURES = ("500", "502", "503", "504")


def until(rate: float) -> Value:
    """Return ``rate`` until something breaks, 0 after it."""
    return lambda at: rate if at < BROKEN else 0.0


def after(rate: float) -> Value:
    """Return ``rate`` from when something breaks, 0 before it."""
    return lambda at: rate if at >= BROKEN else 0.0


def idle(end: int) -> World:
    """A fresh install: nobody has asked it for anything but the prober."""
    world = World(end)
    _edge(world, (PROBES,))
    _api(world, (PROBES,))
    _jobs(world, rate=0)
    _slo(world, load(), requests=0, bad={"availability": 0, "latency": 0})
    _host(world)
    return world


def under_load(end: int) -> World:
    """Ordinary traffic, few errors; a deploy when something breaks elsewhere."""
    world = World(end)
    _edge(world, (*USUAL, PROBES))
    _api(world, (*USUAL, PROBES), deployed=BROKEN)
    _jobs(world, rate=0.4)
    _slo(world, load(), requests=13, bad={"availability": 0.0004, "latency": 0.004})
    _host(world)
    _backups(world, age=0.4)
    _telemetry(world)
    return world


def limited(end: int) -> World:
    """One client asks far more than it may."""
    world = World(end)
    flood = Traffic("/api/v1/predict", "POST", 0.04, {"200": 10, "422": 0.3, "429": after(80), "500": 0.01})
    _edge(world, (flood, *USUAL[1:], PROBES), limited=after(80), failed_attempts=0)
    _api(world, (*USUAL, PROBES))
    _jobs(world, rate=0.4)
    _slo(world, load(), requests=11, bad={"availability": 0.0004, "latency": 0.004})
    _host(world)
    world.gauge(
        "ALERTS", 1, BROKEN + 600, alertname="RateLimiterRejecting", alertstate="firing", severity="ticket",
    )  # fmt: skip
    return world


def replicas_down(end: int) -> World:
    """Both replicas of the API are gone: their names too, and the edge answers 502 and 503 itself."""
    world = World(end)
    broken = tuple(
        Traffic(
            one.route, one.method, one.seconds,
            {status: until(rate) for status, rate in one.statuses.items() if not callable(rate)}
            | {"502": after(3), "503": after(1)},
        )
        for one in USUAL
    )  # fmt: skip
    probes = Traffic("/ready", "GET", 0.01, {"200": until(0.1), "502": after(0.1)})
    _edge(world, (*broken, probes), up=until(1), failed_attempts=5)
    _api(world, (*USUAL, PROBES), stop=BROKEN)
    _jobs(world, rate=0.4)
    _slo(world, load(), requests=13, bad={"availability": 0.002, "latency": 0.004}, broken=1.0)
    _host(world)
    _backups(world, age=2.5)
    _telemetry(world, full=BROKEN)
    alerts: dict[str, Labels] = {
        "APIDown": {"severity": "page", "job": "api"},
        "EdgeProbeFailing": {"severity": "page", "job": "probe", "instance": "https://nginx:8443/ready"},
        "EdgeGatewayErrors": {"severity": "ticket"},
    }
    for alert, labels in alerts.items():
        world.gauge("ALERTS", 1, BROKEN + 60, alertname=alert, alertstate="firing", **labels)
    for window in ("1h", "6h"):
        world.gauge(
            "ALERTS", 1, BROKEN + 120, alertname="ErrorBudgetBurn", alertstate="firing", severity="page",
            slo="availability", window=window,
        )  # fmt: skip
    return world


def no_jobs(end: int) -> World:
    """No process for jobs is wanted, and there is none."""
    world = World(end)
    _edge(world, (*USUAL, PROBES))
    _api(world, (*USUAL, PROBES), jobs=False)
    _slo(world, load(), requests=13, bad={"availability": 0.0004, "latency": 0.004})
    _host(world)
    return world


def blind(end: int) -> World:
    """All is well, and Prometheus stores nothing any more: its disk is full."""
    world = World(end, stored=BROKEN)
    _edge(world, (*USUAL, PROBES))
    _api(world, (*USUAL, PROBES))
    _jobs(world, rate=0.4)
    _slo(world, load(), requests=13, bad={"availability": 0.0004, "latency": 0.004})
    _host(world)
    return world


STATES: dict[str, Callable[[int], World]] = {
    "idle": idle,
    "load": under_load,
    "limited": limited,
    "down": replicas_down,
    "no-jobs": no_jobs,
    "blind": blind,
}


def _edge(
    world: World,
    traffic: tuple[Traffic, ...],
    limited: float | Value = 0,
    up: float | Value = 1,
    failed_attempts: int | None = None,
) -> None:
    nginx: Labels = {"job": "nginx", "instance": "nginx:9113"}
    for one in traffic:
        labels: Labels = {"route": one.route, "method": one.method, **nginx}
        for status, rate in (dict.fromkeys(FAILURES, 0.0) | dict(one.statuses)).items():
            world.counter("edge_http_requests_total", rate, status=status, **labels)
        world.histogram(
            "edge_http_request_duration_seconds", partial(_answered, one), one.seconds, route=one.route, **nginx
        )
    for cache in ("hit", "miss", "stale", "updating", "expired", "bypass", "revalidated"):
        world.counter(
            "edge_cache_requests_total", 0.05 if cache == "hit" and len(traffic) > 1 else 0, cache=cache, **nginx
        )
    world.counter("rate_limit_exceeded_total", limited, **nginx)
    failed = sum(bool(one.statuses.get("502")) for one in traffic) * 3.0
    for reason in ("no_address", "refused", "reset", "read_timeout"):
        here = after(failed) if reason == "no_address" else 0
        world.counter("edge_upstream_failures_total", here, reason=reason, **nginx)
    for state, n in {"active": 7, "reading": 0, "writing": 2, "waiting": 5}.items():
        world.gauge("edge_connections", n, state=state, **nginx)
    world.gauge("edge_reloads_total", 1, **nginx)
    if failed_attempts is not None:
        world.gauge("acme_failed_attempts", failed_attempts, **nginx)
    world.gauge("edge_metrics_dropped_total", 0, **nginx)
    world.gauge("edge_log_lines_dropped_total", 0, **nginx)
    world.gauge("sightglass_edge_connections_limit", 8192, **nginx)
    world.gauge("process_start_time_seconds", world.end - 86400, **nginx)
    _container(world, **nginx)
    probe: Labels = {"job": "probe", "instance": "https://nginx:8443/ready"}
    world.gauge("probe_success", up, **probe)
    world.gauge("probe_ssl_earliest_cert_expiry", world.end + 60 * 86400, **probe)
    for phase, seconds in {
        "connect": 0.001,
        "tls": 0.004,
        "processing": 0.006,
        "transfer": 0.0,
        "resolve": 0.0005,
    }.items():
        world.gauge("probe_http_duration_seconds", seconds, phase=phase, **probe)


def _answered(traffic: Traffic, at: float) -> float:
    """Return how many requests a second were answered: a refusal of the edge's own has no latency."""
    answers = {status: rate for status, rate in traffic.statuses.items() if status not in {"429", "502", "503", "504"}}
    return sum(rate(at) if callable(rate) else rate for rate in answers.values())


def _api(
    world: World, traffic: tuple[Traffic, ...], stop: float = LENGTH, *, jobs: bool = True, deployed: int = 0
) -> None:
    """Add the API's replicas; ``deployed`` is when they were replaced by those of a new version, 0 if long ago."""
    world.gauge(EXPECTED, len(API), job="api")
    world.gauge(EXPECTED, int(jobs), job=JOBS)
    for number, instance in enumerate(API, 1):
        at: Labels = {"job": "api", "instance": instance}
        world.gauge("up", 1, stop=stop, **at)
        world.gauge("scrape_duration_seconds", 0.02, stop=stop, **at)
        for status in ("accepted", "retried", "succeeded", "failed", "dead", "cancelled"):
            accepted = 0.2 if jobs and status == "accepted" and len(traffic) > 1 else 0
            world.counter("jobs_total", accepted, stop=stop, status=status, **at)
        for worker in ("0", "1"):
            labels: Labels = {"worker": worker, **at}
            _process(world, f"api-{number}", stop, deployed, **labels)
            if deployed:
                world.gauge("app_info", 1, stop=deployed, **OLD, **labels)
            world.gauge("app_info", 1, deployed, stop, **NEW, **labels)
            world.gauge(WORKER_UP, 1, stop=stop, **labels)
            world.gauge("event_loop_lag_seconds", 0.002, stop=stop, **labels)
            world.gauge("http_requests_in_progress", 1, stop=stop, **labels)
            for one in traffic:
                if one.route == "(unmatched)":
                    continue
                of: Labels = {"route": one.route, "method": one.method, **labels}
                counted = {name: rate for name, rate in one.statuses.items() if not callable(rate) and name != "429"}
                for status, rate in (dict.fromkeys(FAILURES, 0.0) | counted).items():
                    world.counter("http_requests_total", rate / 4, stop=stop, status=status, **of)
                total = sum(counted.values()) / 4
                world.histogram("http_request_duration_seconds", total, one.seconds * 0.8, stop=stop, **of)
                world.histogram("http_time_to_first_byte_seconds", total, one.seconds * 0.7, stop=stop, **of)
                sizes = (100.0, 1000.0, 10000.0, 100000.0, 1000000.0)
                world.histogram("http_request_size_bytes", total, 900, sizes, stop=stop, **of)
                world.histogram("http_response_size_bytes", total, 1400, sizes, stop=stop, **of)
            _model(world, 3.0 if len(traffic) > 1 else 0.0, stop, **labels)
            _container(world, stop, **labels)


def _process(world: World, container: str, stop: float = LENGTH, started: int = 0, **at: Any) -> None:
    began = world.end - LENGTH
    named: dict[str, Labels] = {"process": {}, "sightglass_process": {"container": container}}
    for prefix, more in named.items():
        world.gauge(f"{prefix}_start_time_seconds", began - 86400, stop=started or stop, **at, **more)
        if started:
            world.gauge(f"{prefix}_start_time_seconds", began + started - 7, started, stop, **at, **more)
    world.counter("process_cpu_seconds_total", 0.12, stop=stop, **at)
    world.gauge("process_resident_memory_bytes", 130e6, stop=stop, **at)
    world.gauge("process_open_fds", 31, stop=stop, **at)
    world.gauge("process_max_fds", 65536, stop=stop, **at)
    for generation in ("0", "1", "2"):
        world.counter(
            "python_gc_collections_total", 0.2 / (1 + int(generation)), stop=stop, generation=generation, **at
        )


def _container(world: World, stop: float = LENGTH, **at: Any) -> None:
    world.gauge("sightglass_container_memory_working_set_bytes", 280e6, stop=stop, **at)
    world.gauge("sightglass_container_spec_memory_limit_bytes", 1073741824, stop=stop, **at)
    world.counter("sightglass_container_cpu_usage_seconds_total", 0.3, stop=stop, **at)
    world.gauge("sightglass_container_spec_cpu_cores", 2, stop=stop, **at)
    world.counter("sightglass_container_cpu_cfs_throttled_seconds_total", 0, stop=stop, **at)
    if at["job"] == "nginx":
        return
    world.counter("tracing_spans_failed_total", 0, stop=stop, **at)
    world.counter("tracing_spans_not_held_total", 0, stop=stop, **at)
    world.counter("sightglass_log_lines_dropped_total", 0, stop=stop, **at)


def _model(world: World, rate: float, stop: float = LENGTH, **at: Any) -> None:
    world.gauge("model_ready", 1, stop=stop, **at)
    for kind, places in {"texts": 8, "documents": 2, "loading": 8}.items():
        world.gauge("sightglass_model_places", places, stop=stop, kind=kind, **at)
        world.gauge("sightglass_model_places_taken", int(kind == "texts" and rate > 0), stop=stop, kind=kind, **at)
    world.counter("model_predictions_total", rate, stop=stop, **at)
    world.counter("model_errors_total", 0, stop=stop, **at)
    world.counter("model_rejections_total", 0, stop=stop, **at)
    bounds = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
    world.histogram("model_inference_duration_seconds", rate, 0.012, bounds, stop, **at)
    if rate:
        for kind, share in {"EMAIL_ADDRESS": 0.5, "PHONE_NUMBER": 0.3, "CREDIT_CARD": 0.05}.items():
            world.counter("pii_detected_total", rate * share, stop=stop, entity_type=kind, **at)


def _jobs(world: World, rate: float) -> None:
    at: Labels = {"job": JOBS, "instance": "172.20.0.9:9464"}
    world.gauge("up", 1, **at)
    _process(world, "jobs-1", **at)
    _container(world, **at)
    _model(world, rate, **at)
    world.gauge("app_info", 1, **NEW, **at)
    world.gauge("job_queue_depth", 2 if rate else 0, **at)
    world.gauge("job_queue_age_seconds", 4 if rate else 0, **at)
    database: Labels = {"job": "database", "instance": "172.20.0.12:9187"}
    world.gauge("up", 1, **database)
    world.gauge("pg_up", 1, **database)
    world.gauge("pg_settings_max_connections", 100, **database)
    world.gauge("pg_stat_database_numbackends", 9, datname="sightglass", **database)
    world.gauge("pg_database_size_bytes", 40e6, datname="sightglass", **database)
    world.counter("pg_stat_database_xact_commit", 10 + 20 * rate, datname="sightglass", **database)
    world.counter("pg_stat_database_xact_rollback", 0, datname="sightglass", **database)
    for store, operations in {"database": ("read", "write"), "bucket": ("read", "write", "list", "remove")}.items():
        for operation in operations:
            world.counter("sightglass_job_state_errors_total", 0, store=store, operation=operation, **at)
    ends = {"succeeded": 0.95, "failed": 0.02, "dead": 0.004, "retried": 0.03, "cancelled": 0.01, "accepted": 0}
    for status, share in ends.items():
        world.counter("jobs_total", rate * share, status=status, **at)
    world.histogram(
        "job_duration_seconds", rate, 0.8, (0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14400), **at
    )


def _slo(
    world: World, objectives: Objectives, requests: float, bad: Mapping[str, float], broken: float | None = None
) -> None:
    """Add what the recording rules would record: the share ``bad`` by objective, ``broken`` once something broke."""

    def share(name: str, window: float, at: float) -> float:
        worst = bad[name] if broken is None or name == "latency" else broken
        within = min(1.0, max(0.0, (at - BROKEN) / window))
        return bad[name] * (1 - within) + worst * within

    def errors(name: str, at: float) -> float:
        return requests * share(name, 300, at)

    def left(name: str, budget: float, at: float) -> float:
        return 1 - share(name, days, at) / budget

    windows = {"5m": 300, "30m": 1800, "1h": 3600, "2h": 7200, "6h": 21600, "1d": 86400, "3d": 259200}
    days = objectives.window_days * 86400
    for slo in objectives.slos:
        world.gauge("slo:error_budget:ratio", slo.budget, slo=slo.name)
        world.gauge("slo:requests:rate5m", requests, slo=slo.name)
        world.gauge("slo:errors:rate5m", partial(errors, slo.name), slo=slo.name)
        if not requests:
            continue  # no traffic, no ratio
        for window, seconds in (windows | {f"{objectives.window_days}d": days}).items():
            world.gauge(f"slo:sli_error:ratio_rate{window}", partial(share, slo.name, seconds), slo=slo.name)
        world.gauge("slo:error_budget_remaining:ratio", partial(left, slo.name, slo.budget), slo=slo.name)


def _backups(world: World, age: float) -> None:
    """Add what is known of backups; the last one, and its check, are ``age`` times as old as they may be by plan."""
    node: Labels = {"job": "node", "instance": "node-exporter:9100"}
    for what, seconds, last in (("", 86400, "success"), ("check_", 604800, "check")):
        world.gauge(f"backup_{what}interval_seconds", seconds, **node)
        world.gauge(f"backup_last_{last}_timestamp_seconds", world.end - age * seconds, **node)
    world.gauge("backup_size_bytes", 2e9, **node)
    world.gauge("backup_failed_attempts", 0, **node)


def _host(world: World) -> None:
    for job, instance in {
        "nginx": "nginx:9113", "probe": "https://nginx:8443/ready", "node": "node-exporter:9100",
        "prometheus": "localhost:9090", "alertmanager": "alertmanager:9093", "blackbox": "blackbox-exporter:9115",
    }.items():  # fmt: skip
        at: Labels = {"job": job, "instance": instance}
        world.gauge("up", 1, **at)
        world.gauge("scrape_duration_seconds", 0.01, **at)
        world.gauge("scrape_samples_post_metric_relabeling", 312, **at)
        if job in {"node", "prometheus", "alertmanager", "blackbox"}:
            world.gauge("process_start_time_seconds", world.end - 86400, **at)
            world.gauge("process_resident_memory_bytes", 60e6, **at)
            world.counter("process_cpu_seconds_total", 0.004, **at)
    world.gauge("ALERTS", 1, alertname="Watchdog", alertstate="firing", severity="none")
    node: Labels = {"job": "node", "instance": "node-exporter:9100"}
    for cpu in ("0", "1"):
        for mode, share in {"idle": 0.7, "user": 0.2, "system": 0.08, "iowait": 0.02}.items():
            world.counter("node_cpu_seconds_total", share, cpu=cpu, mode=mode, **node)
    world.gauge("node_memory_MemTotal_bytes", 8e9, **node)
    world.gauge("node_memory_MemAvailable_bytes", 5e9, **node)
    world.gauge("node_load1", 0.7, **node)
    world.gauge("node_load15", 0.5, **node)
    disk: Labels = {"device": "/dev/vda1", "mountpoint": "/", "fstype": "ext4", **node}
    world.gauge("node_filesystem_avail_bytes", 60e9, **disk)
    world.gauge("node_filesystem_size_bytes", 100e9, **disk)
    own: Labels = {"job": "prometheus", "instance": "localhost:9090"}
    world.gauge("prometheus_tsdb_head_series", 2040, **own)
    world.gauge("prometheus_tsdb_storage_blocks_bytes", 45e6, **own)
    world.gauge("prometheus_tsdb_wal_storage_size_bytes", 8e6, **own)
    world.gauge("prometheus_tsdb_lowest_timestamp_seconds", world.end - 86400, **own)
    world.gauge("prometheus_config_last_reload_successful", 1, **own)
    world.counter("prometheus_tsdb_head_samples_appended_total", 200, **own)
    for group in ("slo", "slo-budget", "api", "jobs", "edge", "host", "monitoring"):
        of: Labels = {"rule_group": f"/etc/sightglass/prometheus/rules/rules.yml;{group}", **own}
        world.gauge("prometheus_rule_group_last_duration_seconds", 0.003, **of)
        world.counter("prometheus_rule_evaluation_failures_total", 0, **of)
    alertmanager: Labels = {"job": "alertmanager", "instance": "alertmanager:9093"}
    receiver: Labels = {"receiver_name": "default", "integration": "webhook", **alertmanager}
    for state in ("active", "suppressed", "unprocessed"):
        world.gauge("alertmanager_alerts", int(state == "active"), state=state, **alertmanager)
    world.gauge("alertmanager_config_last_reload_successful", 1, **alertmanager)
    world.counter("alertmanager_notifications_total", 0.01, **receiver)
    world.counter("alertmanager_notifications_failed_total", 0, **receiver)


def _telemetry(world: World, full: float = LENGTH + 1) -> None:
    """Add what keeps logs and traces; the disk of VictoriaLogs is full from ``full`` on."""

    def until_full(rate: float) -> Value:
        return lambda at: rate if at < full else 0.0

    def waiting(at: float) -> float:
        return 2e5 + 3e5 * max(0.0, at - full)

    collector: Labels = {"job": "collector", "instance": "collector.monitoring:8888"}
    logs: Labels = {"job": "victoria-logs", "instance": "victoria-logs:9428"}
    jaeger: Labels = {"job": "jaeger", "instance": "jaeger.operations:8888"}
    for at in (collector, logs, jaeger):
        world.gauge("up", 1, **at)
        world.gauge("scrape_duration_seconds", 0.01, **at)
        world.gauge("scrape_samples_post_metric_relabeling", 120, **at)
        prefix = "" if at is logs else "otelcol_"
        world.counter(f"{prefix}process_cpu_seconds_total", 0.02, **at)
        world.gauge("process_resident_memory_bytes" if at is logs else "otelcol_process_memory_rss_bytes", 60e6, **at)
    world.counter("otelcol_receiver_accepted_log_records_total", 40, receiver="file_log", **collector)
    world.counter("otelcol_receiver_accepted_spans_total", 2, receiver="otlp", transport="http", **collector)
    world.counter("otelcol_receiver_refused_log_records_total", 0, receiver="file_log", **collector)
    world.counter("otelcol_exporter_sent_spans_total", 2, exporter="otlp_http/traces", **collector)
    for failed in ("enqueue", "send"):
        world.counter(f"otelcol_exporter_{failed}_failed_spans_total", 0, exporter="otlp_http/traces", **collector)
    for exporter, size, capacity in (("logs", waiting, 1e9), ("traces", 2e5, 2e8)):
        queue: Labels = {"exporter": f"otlp_http/{exporter}", **collector}
        world.gauge("otelcol_exporter_queue_size", size, **queue)
        world.gauge("otelcol_exporter_queue_capacity", capacity, **queue)
    world.counter("vl_rows_ingested_total", until_full(40), type="opentelemetry_protobuf", **logs)
    world.gauge("vl_storage_rows", 126_000, type="storage/big", **logs)
    world.gauge("vl_storage_is_read_only", lambda at: float(at >= full), path="/victoria-logs-data", **logs)
    world.gauge("vl_data_size_bytes", 12e6, type="storage", **logs)
    world.gauge("jaeger_storage_badger_value_log_bytes_available", 60e9, **jaeger)
