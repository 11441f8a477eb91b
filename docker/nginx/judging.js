// How the replica that a deploy judges answers, beside the others. scripts/judging.py asks for it; the rule is its own
// (scripts/verdict.py). Between deploys nothing is counted. A deploy that was killed is forgotten by the zone's timeout.

import attempts from 'attempts.js';

const VERDICTS = ['as_good', 'too_few_requests', 'worse'];
// Classes of durations, as scripts/verdict.py has them.
const QUICK = 0.01; // seconds
const PER_DOUBLE = 4;
const SLOWEST = 56;

// Of a request that is over, each attempt at a replica. `timed`: its duration is a latency. `cut`: the last answer's end is missing.
function count(v, timed, cut) {
    const judged = ngx.shared.judged;
    if (!v.upstream_addr || !judged.get('on')) {
        return;
    }
    const addresses = attempts.split(v.upstream_addr);
    const statuses = attempts.split(v.upstream_status);
    const durations = attempts.split(v.upstream_response_time);
    addresses.forEach((address, i) => {
        if (!address.includes(':') || !(Number(statuses[i]) > 0)) { // no replica was left, or the client left
            return;
        }
        const side = judged.get(address) ? 'new' : 'others';
        const failed = statuses[i].startsWith('5') || cut && i === addresses.length - 1;
        judged.incr(`${side} number`, 1, 0);
        if (failed) {
            judged.incr(`${side} failed`, 1, 0);
        } else if (timed) {
            judged.incr(`${side} ${classOf(Number(durations[i]))}`, 1, 0);
        }
    });
}

function classOf(seconds) {
    return seconds > QUICK ? Math.min(SLOWEST, Math.ceil(PER_DOUBLE * Math.log2(seconds / QUICK))) : 0;
}

// For js_content: from now on this address (?new=) is judged.
function start(r) {
    const judged = ngx.shared.judged;
    judged.clear();
    judged.set(r.args.new, 1);
    judged.set('on', 1);
    r.return(204);
}

// For js_content: what was counted until now.
function counted(r) {
    r.return(200, JSON.stringify(Object.fromEntries(ngx.shared.judged.items())));
}

// For js_content: it is over, with this verdict; its line is the log's.
function end(r) {
    ngx.shared.judged.clear();
    if (!VERDICTS.includes(r.args.verdict)) {
        r.return(400);
        return;
    }
    ngx.shared.metrics.set(`judged\n${r.args.verdict}`, Date.now() / 1000);
    r.return(204);
}

// For js_set.
function level(r) {
    return r.args.verdict === 'worse' ? 'ERROR' : 'INFO';
}

function message(r) { // r.args would end it at an encoded "&"
    return decodeURIComponent((r.variables.arg_message || '').replaceAll('+', ' '));
}

export default { count, counted, end, level, message, start };
