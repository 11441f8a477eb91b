"""One request, one trace: which ids it has, by what was sent."""

import asyncio
import json
import multiprocessing
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import PlainTextResponse

from sightglass.identity import identify
from tests.unit.observed import Client, Observed, ask, context_of, http

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"
EDGES = "0af7651916cd43dd8448eb211c80319c"
NO_PARENTS = [
    "",
    "garbage",
    f"ff-{TRACE}-{SPAN}-01",
    f"01-{TRACE}-{SPAN}-01",
    f"00-{'0' * 32}-{SPAN}-01",
    f"00-{TRACE}-{'0' * 16}-01",
    f"00-{TRACE.upper()}-{SPAN}-01",
    f"00-{TRACE}-{SPAN.upper()}-01",
    f"00-{TRACE}-{SPAN}-0A",
    f"00-{TRACE}-{SPAN}",
    f"{PARENT}-more",
    f" {PARENT}",
    f"{PARENT}\n",
    f"{PARENT}, {PARENT}",
    f"00-{TRACE}0-{SPAN}-01",
    f"00-{TRACE[1:]}-{SPAN}-01",
]
NO_IDS = ["", "a b", "a/b", 'a"b', "a\n", "\x00", "\x1b[31m", "ü", "x" * 129]


def ids(**headers: str) -> tuple[str, str | None]:
    found = identify([(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()])
    return found.request_id, found.trace_id


def is_own(one: str | None) -> bool:
    return re.fullmatch("[0-9a-f]{32}", one or "") is not None and one not in (TRACE, EDGES, "0" * 32)


def test_a_name_that_is_there_ever_so_often_is_not_sent_and_holds_nobody_up() -> None:
    """Where each was compared with all others, it would be for minutes."""
    found = identify([(b"x-request-id", b"a")] * 200_000)
    assert found.request_id == found.trace_id


def test_nothing_sent_is_one_id_for_both() -> None:
    request_id, trace_id = ids()
    assert request_id == trace_id
    assert is_own(trace_id)


@pytest.mark.parametrize("sent", ["a", "abc-123.DEF_4", "x" * 128])
def test_a_request_id_is_theirs_and_the_trace_ours(sent: str) -> None:
    request_id, trace_id = ids(x_request_id=sent)
    assert request_id == sent
    assert is_own(trace_id)


def test_a_traceparent_is_both() -> None:
    assert ids(traceparent=PARENT) == (TRACE, TRACE)


def test_both_are_theirs() -> None:
    assert ids(x_request_id="mine-1", traceparent=PARENT) == ("mine-1", TRACE)


@pytest.mark.parametrize("invalid", NO_PARENTS)
def test_an_invalid_traceparent_is_none(invalid: str) -> None:
    request_id, trace_id = ids(traceparent=invalid)
    assert request_id == trace_id
    assert is_own(trace_id)
    assert identify([(b"traceparent", invalid.encode())]).parent is None


@pytest.mark.parametrize("invalid", NO_IDS)
def test_an_invalid_request_id_is_none(invalid: str) -> None:
    assert ids(x_request_id=invalid, traceparent=PARENT) == (TRACE, TRACE)


def test_what_is_there_twice_is_not_sent() -> None:
    twice = identify([(b"x-request-id", b"one"), (b"x-request-id", b"two"), *[(b"traceparent", PARENT.encode())] * 2])
    assert twice.request_id == twice.trace_id
    assert is_own(twice.trace_id)


def test_the_edges_trace_is_taken_up_and_is_no_parent() -> None:
    headers = [(b"x-request-id", b"mine-1"), (b"x-sightglass-trace", EDGES.encode())]
    found = identify(headers)
    assert (found.request_id, found.trace_id, found.parent) == ("mine-1", EDGES, None)
    assert identify([*headers, (b"traceparent", PARENT.encode())]).trace_id == TRACE


@pytest.mark.parametrize("invalid", ["", "0" * 32, EDGES.upper(), EDGES[1:], f"{EDGES}0", "garbage"])
def test_an_invalid_trace_of_an_edge_is_none(invalid: str) -> None:
    assert is_own(ids(x_sightglass_trace=invalid)[1])


@given(st.binary(max_size=200), st.binary(max_size=80), st.binary(max_size=40))
def test_ids_are_always_safe_to_write(request_id: bytes, parent: bytes, trace: bytes) -> None:
    found = identify([(b"x-request-id", request_id), (b"traceparent", parent), (b"x-sightglass-trace", trace)])
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", found.request_id)
    assert re.fullmatch(r"(?!0{32})[0-9a-f]{32}", found.trace_id or "")


def test_the_answer_carries_both_once() -> None:
    shared = PlainTextResponse("x", headers={"X-Trace-ID": "theirs", "X-Request-ID": "theirs"})
    scope = http(headers=[("x-request-id", "mine-1"), ("traceparent", PARENT)])
    client = asyncio.run(ask(Observed(shared), scope))
    told = [header for header in client.headers if header[0] in ("x-request-id", "x-trace-id")]
    assert told == [("x-request-id", "mine-1"), ("x-trace-id", TRACE)]
    assert context_of(scope).parent == PARENT


async def test_a_problem_carries_both() -> None:
    async def failing(*_: object) -> None:
        raise ValueError("gone")

    client = Client()
    scope = http(headers=[("x-request-id", "mine-1"), ("traceparent", PARENT)])
    with pytest.raises(ValueError, match="gone"):
        await Observed(failing).app(scope, client.receive, client.send)
    problem = json.loads(client.body)
    assert (problem["request_id"], problem["trace_id"]) == ("mine-1", TRACE)


def test_forked_processes_give_ids_of_their_own() -> None:
    """As gunicorn's workers do: at once, from where the arbiter was."""
    identify([])
    forked = multiprocessing.get_context("fork")
    asked = [forked.Pipe(duplex=False) for _ in range(3)]
    for _, end in asked:
        child = forked.Process(target=lambda end=end: end.send([identify([]).trace_id for _ in range(300)]))
        child.start()
        child.join(30)
    given = [one for end, _ in asked for one in end.recv()] + [identify([]).trace_id for _ in range(300)]
    assert len(set(given)) == 4 * 300
