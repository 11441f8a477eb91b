// NGINX joins what it says of several attempts at the API by ", ", and by " : " after an internal redirect.

function split(joined) {
    return joined.split(/(?:,| :) /);
}

function last(joined) {
    return joined.slice(joined.lastIndexOf(' ') + 1);
}

export default { last, split };
