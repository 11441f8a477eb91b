// Whether the replicas still answer, for requests that would wait for one that never will. The edge asks by itself, once a
// second, whether any does; how long a request may take is of no matter to that.
//
// Silence is counted in questions, not in time: an edge that was stopped itself, or had no CPU, has asked nothing meanwhile.

import attempts from 'attempts.js';

const WAIT = 1500; // ms without an answer, from which requests wait here for the next
const LONGEST_WAIT = 7000; // ms, after which a request goes on
const SILENT = 6; // questions without an answer, from which they are refused; a request is answered within 10 s

function since() {
    const at = ngx.shared.replicas.get('answered');
    return at === undefined ? 0 : Date.now() - at;
}

// For js_periodic, in worker 0, which ends it when it is called anew: no answer is waited for here (`answered`).
async function ask() {
    const replicas = ngx.shared.replicas;
    replicas.add('answered', Date.now());
    const now = Date.now();
    if (now - (replicas.get('asked') ?? 0) < 900) {
        return;
    }
    replicas.set('asked', now);
    replicas.incr('unanswered', 1, 0);
    try {
        await ngx.fetch('http://127.0.0.1:9113/replicas');
    } catch (_) { // the edge could not ask
        replicas.incr('unanswered', -1, 0);
    }
}

// For js_header_filter. Any answer will do; no connection too, refused or in time: that is answered in 10 s anyway.
function answered(r) {
    const connected = attempts.last(r.variables.upstream_connect_time || '-') !== '-';
    if (r.status !== 504 || !connected) {
        ngx.shared.replicas.set('answered', Date.now());
        ngx.shared.replicas.set('unanswered', 0);
    }
}

// For js_content: from now on requests wait for up to so many seconds; with 0, those that do go on.
function hold(r) {
    const seconds = Number(r.args.seconds);
    if (seconds > 0) {
        ngx.shared.replicas.set('held', seconds * 1000);
    } else {
        ngx.shared.replicas.delete('held');
    }
    r.return(204);
}

// For js_access.
async function gate(r) {
    const held = ngx.shared.replicas.get('held');
    if (held) {
        const end = Date.now() + held;
        while (ngx.shared.replicas.get('held')) {
            if (Date.now() > end) {
                r.return(503);
                return;
            }
            await new Promise((done) => setTimeout(done, 100));
        }
    }
    const end = Date.now() + LONGEST_WAIT;
    while (since() > WAIT && Date.now() < end) {
        if (ngx.shared.replicas.get('unanswered') > SILENT) {
            r.return(503);
            return;
        }
        await new Promise((done) => setTimeout(done, 200));
    }
}

export default { answered, ask, gate, hold };
