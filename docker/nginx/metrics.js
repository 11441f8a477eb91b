// The edge's metrics: `count` adds a finished request to the counters in shared memory, `render` writes them as
// Prometheus text (exposition format 0.0.4). A counter's key is its kind and label values, a line each.

import attempts from 'attempts.js';
import container from 'container.js';
import judging from 'judging.js';
import routes from 'routes.js';

import fs from 'fs';

// Upper bounds in seconds, the API's own (sightglass/metrics).
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

const FAILURES = [500, 502, 503, 504];
const CACHE_RESULTS = ['BYPASS', 'EXPIRED', 'HIT', 'MISS', 'REVALIDATED', 'STALE', 'UPDATING'];
// What came of a request's last attempt at the API, where it brought no whole answer: `failure` tells them apart.
const UPSTREAM_FAILURES = [
    'no_address', 'refused', 'connect_timeout', 'reset', 'read_timeout', 'head_invalid', 'head_too_large', 'answer_cut',
];
const CONNECTION_STATES = ['active', 'reading', 'waiting', 'writing'];
const EVERYTHING = 1000000; // items() stops at 1024 unless told otherwise

// For js_set: the access log's condition asks for it once per request, when the response is over.
// Returns "1": every request is logged. The log has $edge_route and $edge_upstream_failure after it.
function count(r) {
    const counters = ngx.shared.metrics;
    const v = r.variables;
    const route = routes.find(v);
    v.edge_route = route;
    const status = v.edge_status;
    try {
        counters.incr(key('requests', route, v.edge_method, status), 1, 0);
        const failed = failure(v);
        const timed = !isStream(v, status) && !isSlow(v, route);
        if (timed && !isRefusal(v, status, failed) && v.limit_req_status !== 'DELAYED') {
            const seconds = Number(v.request_time);
            counters.incr(key('bucket', route, bucketOf(seconds)), 1, 0);
            counters.incr(key('seconds', route), seconds, 0);
        }
        if (failed) {
            v.edge_upstream_failure = failed;
            counters.incr(key('failure', failed), 1, 0);
        }
        const cache = v.upstream_cache_status;
        if (cache) {
            counters.incr(key('cache', cache), 1, 0);
        }
        if (isOver(v.limit_req_status) || isOver(v.limit_conn_status)) {
            counters.incr('limited', 1, 0);
        }
        judging.count(v, timed, failed === 'answer_cut');
    } catch (_) { // the zone is full
        counters.incr('dropped', 1, 0);
    }
    return '1';
}

// NGINX has no variable for why the API gave no whole answer. Its numbers of the last attempt tell; '' where it did.
function failure(v) {
    const status = v.upstream_status && attempts.last(v.upstream_status);
    if (!status) { // the edge's own answer, or the cache's
        return '';
    }
    if (status !== '502' && status !== '504' || attempts.last(v.upstream_header_time) !== '-') {
        return isCut(v, status) ? 'answer_cut' : ''; // there is a head of the API's
    }
    const addresses = attempts.split(v.upstream_addr);
    // An attempt for which no address was left has the upstream's name, without a port: the one before it failed.
    let i = addresses.length - 1;
    while (i > 0 && !addresses[i].includes(':')) {
        i--;
    }
    if (!addresses[i].includes(':')) {
        return 'no_address';
    }
    const timedOut = attempts.split(v.upstream_status)[i] === '504';
    if (attempts.split(v.upstream_connect_time)[i] === '-') {
        return timedOut ? 'connect_timeout' : 'refused';
    }
    if (timedOut) {
        return 'read_timeout';
    }
    const received = Number(attempts.split(v.upstream_bytes_received)[i]);
    if (received === 0) {
        return 'reset';
    }
    return received >= headLimit(v) ? 'head_too_large' : 'head_invalid';
}

// The memory for a head is full. The cache keeps its own head in it: some 400 bytes and the key (location/proxy-cached.conf).
function headLimit(v) {
    const own = v.upstream_cache_status ? 512 + v.request_method.length + v.scheme.length + v.host.length + v.request_uri.length : 0;
    return Number(v.upstream_head_bytes) - own;
}

// The answer ended before its Content-Length. A client that left is no cut: its request is not complete.
function isCut(v, status) {
    const length = v.upstream_http_content_length;
    return length !== undefined && v.request_completion === 'OK' && v.edge_method !== 'HEAD' && status !== '304'
        && Number(attempts.last(v.upstream_response_length)) < Number(length);
}

// The edge's own 429 and 5xx tell how fast it refuses. An answer of the application's, cut or not, is one.
function isRefusal(v, status, failed) {
    return (status === '429' || status.startsWith('5')) && (!v.upstream_status || failed && failed !== 'answer_cut');
}

// How long a WebSocket or server-sent events stay open is not a latency.
function isStream(v, status) {
    return status === '101' || /^text\/event-stream\b/i.test(v.sent_http_content_type);
}

function isSlow(v, route) { // SLOW_ROUTES
    return v.slow_routes.split(' ').includes(route);
}

function key(...parts) {
    return parts.join('\n'); // which no template has: it came in a header
}

function bucketOf(seconds) {
    let i = 0;
    while (i < BUCKETS.length && seconds > BUCKETS[i]) {
        i++;
    }
    return i;
}

function isOver(limitStatus) { // REJECTED or REJECTED_DRY_RUN
    return limitStatus !== undefined && limitStatus.startsWith('REJECTED');
}

// For js_periodic, in worker 0: a reload replaces the worker, not the shared memory. Makes the keys that must exist
// before the zone can fill up.
function watchReloads() {
    const counters = ngx.shared.metrics;
    counters.add('dropped', 0);
    counters.add('limited', 0);
    UPSTREAM_FAILURES.forEach((reason) => counters.add(key('failure', reason), 0));
    const current = counters.get('worker');
    // The one before may look once more while it is being replaced.
    if (process.pid !== current && process.pid !== counters.get('predecessor')) {
        counters.set('worker', process.pid);
        counters.incr('reloads', current === undefined ? 0 : 1, 0);
        if (current !== undefined) {
            counters.set('predecessor', current);
        }
    }
}

// For js_content.
function render(r) {
    const counters = {};
    for (const [joined, value] of ngx.shared.metrics.items(EVERYTHING)) {
        const [kind, ...labels] = joined.split('\n');
        (counters[kind] ??= []).push([labels, value]);
    }
    keepTold(counters.requests ?? []);
    r.headersOut['Content-Type'] = 'text/plain; version=0.0.4; charset=utf-8';
    r.return(200, [
        family('edge_http_requests_total', 'counter', 'Requests answered, refused or broken off.',
            requests(counters.requests ?? [])),
        latency(counters),
        family('edge_cache_requests_total', 'counter', 'Requests that asked the response cache, by its answer.',
            CACHE_RESULTS.map((cache) => [{ cache: cache.toLowerCase() }, labelled(counters.cache, cache)])),
        family('edge_upstream_failures_total', 'counter', 'Requests without a whole answer from the API, by what came of the last attempt.',
            UPSTREAM_FAILURES.map((reason) => [{ reason }, labelled(counters.failure, reason)])),
        family('rate_limit_exceeded_total', 'counter', 'Requests over a limit of their client: 429, or only counted in a dry run.',
            [[{}, single(counters.limited)]]),
        family('edge_connections', 'gauge', 'Client connections by state.',
            CONNECTION_STATES.map((state) => [{ state }, r.variables[`connections_${state}`]])),
        family('sightglass_edge_connections_limit', 'gauge', 'Connections there may be at once, the replicas\' included.',
            [[{}, process.env.EDGE_CONNECTIONS]]),
        family('edge_reloads_total', 'counter', 'Times worker 0 was replaced: reloads, and its crashes.',
            [[{}, single(counters.reloads)]]),
        family('edge_metrics_dropped_total', 'counter', 'Requests not counted in full because the counters\' memory was full.',
            [[{}, single(counters.dropped)]]),
        family('sightglass_edge_routes', 'gauge', 'Entries in the table of the API\'s routes; 0 until there was one to fetch.',
            [[{}, routes.size()]]),
        family('edge_log_lines_dropped_total', 'counter', 'Lines of the access log that were dropped because nobody read them.',
            [[{}, droppedLines()]]),
        family('sightglass_deploy_judged_timestamp_seconds', 'gauge', 'When a deploy was judged last, by the verdict.',
            (counters.judged ?? []).map(([[verdict], at]) => [{ verdict }, at])),
        ...container.measured().map(([name, type, help, value]) => family(name, type, help, [[{}, value]])),
        certificate(),
    ].join(''));
}

// How many requests a scrape has seen: counters that a kill has thrown behind that are forgotten at the next start
// (start.sh). To Prometheus, one that falls a little begins anew and has all it counts in one scrape.
function keepTold(pairs) {
    try {
        fs.writeFileSync('/tmp/nginx/state/told', String(pairs.reduce((sum, [, n]) => sum + n, 0)));
    } catch (_) { // a full disk: as without it
    }
}

function droppedLines() {
    try {
        return Number(fs.readFileSync('/tmp/nginx/log_lines_dropped')); // log.pl's
    } catch (_) { // none yet
        return 0;
    }
}

// What docker/acme tells of itself, as it stands there.
function certificate() {
    try {
        return fs.readFileSync('/run/tls/acme.prom', 'utf8');
    } catch (_) { // the certificate is somebody else's business
        return '';
    }
}

// A failure's series is there, at 0, from its route's first request on: rate() cannot see the first value of a series.
function requests(pairs) {
    const totals = {};
    for (const [[route, method, status], n] of pairs) {
        for (const failure of FAILURES) {
            totals[key(route, method, failure)] ??= 0;
        }
        totals[key(route, method, status)] = n;
    }
    return Object.keys(totals).map((joined) => {
        const [route, method, status] = joined.split('\n');
        return [{ route, method, status }, totals[joined]];
    });
}

function latency(counters) {
    const perRoute = {};
    for (const [[route, bucket], n] of counters.bucket ?? []) {
        (perRoute[route] ??= new Array(BUCKETS.length + 1).fill(0))[Number(bucket)] = n;
    }
    const name = 'edge_http_request_duration_seconds';
    const lines = [];
    for (const route of Object.keys(perRoute)) {
        let total = 0;
        perRoute[route].forEach((n, i) => {
            total += n;
            lines.push(sample(`${name}_bucket`, { route, le: i < BUCKETS.length ? BUCKETS[i] : '+Inf' }, total));
        });
        lines.push(sample(`${name}_sum`, { route }, labelled(counters.seconds, route)));
        lines.push(sample(`${name}_count`, { route }, total));
    }
    return header(name, 'histogram', 'From a request\'s first byte to its answer\'s last, in seconds; without refusals, streams and SLOW_ROUTES.') + lines.join('');
}

function family(name, type, help, samples) {
    return header(name, type, help) + samples.map(([labels, value]) => sample(name, labels, value)).join('');
}

function header(name, type, help) {
    return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
}

function sample(name, labels, value) {
    const pairs = Object.keys(labels).map((label) => `${label}="${escape(labels[label])}"`);
    return `${name}${pairs.length ? `{${pairs.join(',')}}` : ''} ${value}\n`;
}

function escape(value) {
    return String(value).replace(/["\\]/g, '\\$&');
}

function labelled(pairs, label) {
    const found = (pairs ?? []).find(([labels]) => labels[0] === label);
    return found === undefined ? 0 : found[1];
}

function single(pairs) {
    return pairs === undefined ? 0 : pairs[0][1];
}

export default { count, render, watchReloads };
