// A client over its limit is told so after a moment. NGINX goes on with what a connection has sent in a row as long as there
// is something to answer at once, and would do nothing for other clients meanwhile.

const MOMENT = 20; // ms; short, because whatever waits takes memory

// For js_access.
async function refuse(r) {
    await new Promise((done) => setTimeout(done, MOMENT));
    r.status = 429; // which the body tells
    r.return(429, r.variables.problem_body);
}

export default { refuse };
