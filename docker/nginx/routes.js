// The template of a request's route. What the API answered says it itself, in a header that no client gets. For the
// edge's own answers there is the API's table of routes, fetched every second and kept in shared memory: through
// reloads, and while the API is dead.

const UNMATCHED = '(unmatched)'; // the API's own name for no route (sightglass/routes.py)
const TABLE = `http://${process.env.UPSTREAM || 'api'}:9464/routes`;
const REMEMBERED = 1000; // subjects,
const REMEMBERED_LENGTH = 256; // of so many characters: each context has its own, and a client may send 8 KiB

// NGINX keeps a worker's JavaScript contexts, and with them these, from one request to the next.
let rules = [];
let version = 0;
let remembered = new Map();

function find(v) {
    return v.upstream_http_x_sightglass_route || lookUp(subject(v));
}

// See sightglass/route_table.py.
function subject(v) {
    const method = v.upstream_upgrade ? 'WEBSOCKET' : v.edge_method;
    const path = (v.request_uri || '').split('?', 1)[0];
    let decoded = path;
    try {
        decoded = decodeURIComponent(path);
    } catch (_) { // not UTF-8
    }
    return `${method} ${v.host || ''} ${decoded}`;
}

function lookUp(asked) {
    const current = ngx.shared.routes_version.get('version');
    if (current !== version) {
        rules = compile(ngx.shared.routes.get('table'));
        version = current;
        remembered = new Map();
    }
    let template = remembered.get(asked);
    if (template === undefined) {
        const rule = rules.find(([regex]) => regex.test(asked));
        template = rule === undefined ? UNMATCHED : rule[1];
        if (asked.length <= REMEMBERED_LENGTH) {
            if (remembered.size >= REMEMBERED) {
                remembered.clear();
            }
            remembered.set(asked, template);
        }
    }
    return template;
}

function compile(table) {
    const compiled = [];
    for (const [regex, template] of table === undefined ? [] : JSON.parse(table)) {
        try {
            compiled.push([new RegExp(regex), template]);
        } catch (_) { // a convertor of the application's own, of which only Python makes sense
        }
    }
    return compiled;
}

// For js_periodic, in worker 0.
async function fetchTable() {
    try {
        const answer = await ngx.fetch(TABLE);
        const table = await answer.text();
        if (answer.status !== 200 || table === ngx.shared.routes.get('table')) {
            return;
        }
        const size = JSON.parse(table).length;
        ngx.shared.routes.set('table', table);
        ngx.shared.routes_version.set('size', size);
        ngx.shared.routes_version.incr('version', 1, 0);
    } catch (_) { // no replica answers, or the table is larger than its zone: what was known stays
    }
}

function size() {
    return ngx.shared.routes_version.get('size') || 0;
}

export default { fetchTable, find, size };
