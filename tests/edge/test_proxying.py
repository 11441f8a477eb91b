"""What passes through the edge: streams both ways, large bodies, sockets, retries, compression, the cache."""

import gzip
import hashlib
import http.client
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.edge.containers import Edge, Network, eventually
from tests.support.talking import talk

MEBIBYTE = 1024 * 1024


def test_the_first_event_arrives_while_the_stream_is_open(edge: Edge) -> None:
    with edge.client() as client, client.stream("GET", "/events") as answer:
        assert next(answer.iter_lines()) == "data: first"


def test_300_mib_go_up_without_touching_a_disk(edge: Edge) -> None:
    block = b"0123456789abcdef" * (MEBIBYTE // 16)
    digest = hashlib.sha256()

    def blocks() -> Iterator[bytes]:
        for number in range(300):
            if number == 150:  # in the middle of it
                written.append(int(edge.exec("du", "-sk", "/tmp/nginx/body", "/tmp/nginx/proxy").stdout.split()[0]))
            digest.update(block)
            yield block

    written: list[int] = []
    with edge.client() as client:
        answer = client.post("/sink", content=blocks(), headers={"Content-Length": str(300 * MEBIBYTE)}, timeout=120)
    assert answer.json() == {"size": 300 * MEBIBYTE, "sha256": digest.hexdigest()}
    assert written[0] < 1024


def test_300_mib_come_down_without_touching_a_disk(edge: Edge) -> None:
    size = 0
    with edge.client() as client, client.stream("GET", "/produce/300", timeout=120) as answer:
        for number, block in enumerate(answer.iter_raw(MEBIBYTE)):
            size += len(block)
            if number == 150:
                written = int(edge.exec("du", "-sk", "/tmp/nginx/proxy").stdout.split()[0])
    assert size == 300 * MEBIBYTE
    assert written < 1024


def test_a_byte_more_than_300_mib_is_refused_before_it_is_sent(edge: Edge) -> None:
    head = b"POST /sink HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
    assert edge.raw(head % (300 * MEBIBYTE + 1))[0] == 413


def test_websockets_pass_with_the_request_id(edge: Edge) -> None:
    with talk(f"wss://localhost:{edge.https_port}/socket", edge.context()) as connection:
        assert len(str(connection.recv(10))) == 32
        connection.send("hello")
        assert connection.recv(10) == "hello"


def test_no_other_upgrade_passes(edge: Edge) -> None:
    with edge.client() as client:
        told = client.get("/echo", headers={"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c"}).json()[
            "headers"
        ]
    assert "upgrade" not in told
    assert "http2-settings" not in told


def test_upstream_connections_are_kept(edge: Edge) -> None:
    def opened() -> int:
        counters = edge.exec("cat", "/proc/net/snmp").stdout
        names, values = (line.split() for line in counters.splitlines() if line.startswith("Tcp:"))
        return int(values[names.index("ActiveOpens")])

    with edge.client() as client:
        for _ in range(5):  # both workers have a connection
            client.get("/echo")
        before, since = opened(), time.monotonic()
        for _ in range(100):
            client.get("/echo")
    # The edge asks its replicas once a second, and for their routes, on connections of its own.
    assert opened() - before <= 5 + 3 * (time.monotonic() - since)


def test_large_json_is_compressed_and_streams_are_not(edge: Edge) -> None:
    with edge.client() as client:
        large = client.send(client.build_request("GET", "/text/5000"), stream=True)
        assert large.headers["content-encoding"] == "gzip"
        assert large.headers["vary"] == "Accept-Encoding"
        assert gzip.decompress(b"".join(large.iter_raw())) == b'"' + b"x" * 5000 + b'"'
        assert "content-encoding" not in client.get("/text/10").headers
        assert "content-encoding" not in client.get("/produce/1").headers


@pytest.mark.parametrize("secret", [{"Authorization": "Bearer x"}, {"Cookie": "session=x"}])
def test_what_may_hold_a_secret_is_not_compressed(edge: Edge, secret: dict[str, str]) -> None:
    with edge.client() as client:
        assert "content-encoding" not in client.get("/text/5000", headers=secret).headers


class TestCache:
    def get(self, edge: Edge, path: str, **arguments: str) -> tuple[str, str | None]:
        with edge.client(headers=arguments) as client:
            answer = client.get(f"/cached/{path}")
        return answer.text, answer.headers.get("x-cache-status")

    def test_what_opts_in_is_kept(self, edge: Edge) -> None:
        assert self.get(edge, "kept") == ("1", "MISS")
        assert self.get(edge, "kept") == ("1", "HIT")
        assert self.get(edge, "kept?other=query") == ("2", "MISS")

    def test_hits_have_request_ids_of_their_own(self, edge: Edge) -> None:
        with edge.client() as client:
            ids = {client.get("/cached/ids").headers["x-request-id"] for _ in range(4)}
        assert len(ids) == 4

    @pytest.mark.parametrize("header", ["Authorization", "Cookie"])
    def test_private_requests_are_neither_kept_nor_answered_from_it(self, edge: Edge, header: str) -> None:
        name = f"private-{header}"
        assert self.get(edge, name, **{header: "x"}) == ("1", "BYPASS")
        assert self.get(edge, name) == ("2", "MISS")
        assert self.get(edge, name, **{header: "x"}) == ("3", "BYPASS")
        assert self.get(edge, name) == ("2", "HIT")

    @pytest.mark.parametrize("http2", [False, True])
    @pytest.mark.parametrize("chunked", [False, True])
    def test_a_body_fills_nothing(self, edge: Edge, http2: bool, chunked: bool) -> None:
        name = f"fat-{http2}-{chunked}"
        with edge.client(http2=http2) as client:
            answer = client.request("GET", f"/cached/{name}", content=iter([b"body"]) if chunked else b"body")
        assert answer.text == "1"
        assert self.get(edge, name) == ("2", "MISS")

    @pytest.mark.parametrize(
        "words",
        [
            "control=private",
            "control=no-store",
            "control=no-cache",
            "control=",
            "header=Set-Cookie: a=b",
            "header=Vary: *",
        ],
    )
    def test_the_application_decides(self, edge: Edge, words: str) -> None:
        path = f"decided-{words}?{words}"
        assert self.get(edge, path) == ("1", "MISS")
        assert self.get(edge, path) == ("2", "MISS")

    def test_what_is_large_is_not_kept(self, edge: Edge) -> None:
        for size, results in ((999_999, ["MISS", "HIT"]), (1_000_000, ["MISS", "MISS"])):
            path = f"large-{size}?size={size}"
            assert [self.get(edge, path)[1] for _ in range(2)] == results

    def test_what_varies_is_kept_for_each(self, edge: Edge) -> None:
        path = "varied?header=Vary: Accept-Language"
        assert self.get(edge, path, **{"Accept-Language": "de"}) == ("1", "MISS")
        assert self.get(edge, path, **{"Accept-Language": "fr"}) == ("2", "MISS")
        assert self.get(edge, path, **{"Accept-Language": "de"}) == ("1", "HIT")
        assert self.get(edge, path, **{"Accept-Language": "fr"}) == ("2", "HIT")

    def test_paths_not_named_are_not_kept(self, edge: Edge) -> None:
        with edge.client() as client:
            assert "x-cache-status" not in client.get("/echo").headers

    def test_one_request_fills_it_for_all(self, edge: Edge) -> None:
        with edge.client() as client, ThreadPoolExecutor(10) as pool:
            answers = list(pool.map(lambda _: client.get("/cached/crowd?pause=0.5"), range(10)))
        assert {answer.text for answer in answers} == {"1"}

    def after_its_time(self, client: httpx.Client, path: str) -> tuple[int, str, str]:
        """Ask until the answer is not a fresh one of the cache's; returns status, body and the cache's word."""
        answers: list[httpx.Response] = []

        def ask() -> bool:
            answers.append(client.get(f"/cached/{path}"))
            return answers[-1].headers["x-cache-status"] != "HIT"

        eventually(ask)
        return answers[-1].status_code, answers[-1].text, answers[-1].headers["x-cache-status"]

    def test_a_stale_answer_is_given_while_a_new_one_is_made(self, edge: Edge) -> None:
        path = "stale?control=max-age=1,stale-while-revalidate=60"  # RFC 5861
        assert self.get(edge, path) == ("1", "MISS")

        def ask_and_ask_on() -> tuple[int, str, str]:
            with edge.client() as client:
                answer = self.after_its_time(client, path)
                assert client.get("/echo").status_code == 200
            return answer

        with edge.client() as client, ThreadPoolExecutor(3) as pool:
            client.put("/held/stale")
            try:
                asked = [pool.submit(ask_and_ask_on) for _ in range(3)]
                eventually(lambda: sum(one.done() for one in asked) == 2)  # no connection waits for another's update
            finally:
                client.delete("/held/stale")
        assert sorted(one.result() for one in asked) == [(200, "1", "UPDATING")] * 2 + [(200, "2", "EXPIRED")]

    @pytest.mark.parametrize(
        ("control", "later"),
        [
            ("max-age=1", 200),
            ("max-age=1", 500),
            ("max-age=1, must-revalidate", 200),
            ("max-age=1, must-revalidate", 503),
            ("max-age=1, stale-if-error=60", 500),  # the application's own errors pass
            ("max-age=1, stale-if-error=60", 503),
        ],
    )
    def test_no_stale_one_else(self, edge: Edge, control: str, later: int) -> None:
        path = f"strict-{control.replace('=', '')}-{later}?later={later}&control={control}"
        assert self.get(edge, path) == ("1", "MISS")
        with edge.client() as client:
            assert self.after_its_time(client, path) == (later, "2", "EXPIRED")

    def test_a_stale_one_while_no_replica_answers_if_the_application_allows_it(
        self, start_edge: Callable[..., Edge]
    ) -> None:
        edge = start_edge(CACHED_PATHS="/cached", RATE_LIMIT="1000", RATE_BURST="1000")
        allowed, strict = "outage?control=max-age=1,stale-if-error=60", "outage?control=max-age=1"
        for path in (allowed, strict):
            assert self.get(edge, path)[1] == "MISS"
        edge.pin("127.0.0.1:1")
        with edge.client() as client:
            assert self.after_its_time(client, allowed)[::2] == (200, "STALE")
            eventually(lambda: client.get(f"/cached/{strict}").status_code == 502)

    def test_its_results_are_counted(self, start_edge: Callable[..., Edge]) -> None:
        edge = start_edge(CACHED_PATHS="/cached", RATE_LIMIT="1000", RATE_BURST="1000")
        for _ in range(3):
            self.get(edge, "counted")
        self.get(edge, "counted", Cookie="x")
        expected = {("miss",): 1, ("hit",): 2, ("bypass",): 1}
        eventually(lambda: edge.counts("edge_cache_requests_total", "cache") == expected)


def test_a_replica_that_refuses_is_passed_over_even_for_posts(network: Network, edge: Edge, api: str) -> None:
    address = network.address(api)
    # Nobody listens on port 1: connections are refused before anything is sent.
    edge.pin(f"{address}:1", f"{address}:8000")
    try:
        with edge.client(http2=True) as client:
            assert {client.post("/sink", content=b"body").status_code for _ in range(40)} == {200}
    finally:
        edge.pin()


def test_a_pin_comes_off_without_waiting_for_dns(network: Network, start_edge: Callable[..., Edge], api: str) -> None:
    edge = start_edge(RATE_LIMIT="1000", RATE_BURST="1000")
    edge.pin(f"{network.address(api)}:8000")
    nobodys = edge.exec(
        "sed", "-i", "s/^resolver 127.0.0.11 /resolver 192.0.2.1 /w /dev/stdout", "/tmp/nginx/http.conf"
    )
    assert nobodys.stdout
    edge.pin()
    with edge.client() as client:
        assert {client.get("/echo").status_code for _ in range(20)} == {200}


def test_a_pin_that_is_refused_does_not_come_with_a_later_reload(start_edge: Callable[..., Edge]) -> None:
    edge = start_edge()
    with edge.broken():
        assert edge.exec("sh", "/etc/sightglass/nginx/pin.sh", "127.0.0.1:1").returncode == 1
    assert edge.reload().returncode == 0
    with edge.client() as client:
        assert client.get("/echo").status_code == 200


def test_a_pin_that_could_not_be_taken_off_is_the_next_time(start_edge: Callable[..., Edge]) -> None:
    edge = start_edge()
    edge.pin("127.0.0.1:1")
    with edge.broken():
        assert edge.exec("sh", "/etc/sightglass/nginx/pin.sh").returncode == 1
    edge.pin()
    with edge.client() as client:
        assert client.get("/echo").status_code == 200
    workers = edge.workers()
    assert edge.exec("sh", "/etc/sightglass/nginx/pin.sh").returncode == 0
    assert edge.workers() == workers


def arrivals(replicas: list[str]) -> Counter[str]:
    """How often /slow was reached, by method."""
    total: Counter[str] = Counter()
    for replica in replicas:
        total.update({m: n for m, n in httpx.get(f"http://{replica}/made").json().items() if m in ("GET", "POST")})
    return total


def test_a_post_that_was_sent_is_not_sent_again(network: Network, start_edge: Callable[..., Edge], api: str) -> None:
    edge = start_edge(UPSTREAM_TIMEOUT="1", RATE_LIMIT="1000", RATE_BURST="1000")
    other = network.start_api(alias="api-second")
    try:
        pinned = [f"{network.address(name)}:8000" for name in (api, other)]
        edge.pin(*pinned)
        before = arrivals(pinned)
        with edge.client() as client:
            assert client.post("/slow/30", content=b"x").status_code == 504
            assert client.get("/slow/30").status_code == 504
        assert arrivals(pinned) - before == {"POST": 1, "GET": 2}
    finally:
        network.remove(other)


def test_a_replica_that_is_not_ready_is_passed_over_where_it_is_safe(
    network: Network, start_edge: Callable[..., Edge], api: str
) -> None:
    edge = start_edge(RATE_LIMIT="1000", RATE_BURST="1000")
    unready = [network.start_api(alias=f"unready-{number}", UNREADY="1") for number in range(2)]
    try:
        mixed = [f"{network.address(name)}:8000" for name in (api, unready[0])]
        edge.pin(*mixed)
        before = arrivals(mixed)
        with edge.client() as client:
            assert {client.get("/readily").status_code for _ in range(20)} == {200}
            posted = Counter(client.post("/readily", content=b"x").status_code for _ in range(20))
        assert posted[503] > 0
        assert posted[200] + posted[503] == 20
        sent = arrivals(mixed) - before
        assert sent["GET"] > 20
        assert sent["POST"] == 20

        edge.pin(*(f"{network.address(name)}:8000" for name in unready))
        with edge.client() as client:
            answer = client.get("/readily")
        assert (answer.status_code, answer.text) == (503, "the app's own")
    finally:
        for name in unready:
            network.remove(name)


def test_an_answer_before_the_body_does_not_end_the_connection(network: Network, edge: Edge, api: str) -> None:
    replica = [f"{network.address(api)}:8000"]
    before = arrivals(replica)["POST"]
    with edge.connect() as connection:
        connection.sendall(b"POST /readily HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\n")
        eventually(lambda: arrivals(replica)["POST"] > before)
        for rest in (b"x", b"GET /readily HTTP/1.1\r\nHost: localhost\r\n\r\n"):
            connection.sendall(rest)
            response = http.client.HTTPResponse(connection)
            response.begin()
            assert (response.status, response.read()) == (200, b"the app's own")


def test_the_absolute_form_names_the_host(edge: Edge) -> None:
    status, _, body = edge.raw(b"GET https://localhost/echo?a=1 HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n")
    assert status == 200
    assert b'"https://localhost/echo?a=1"' in body
