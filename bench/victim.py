"""What attacks on the stack cost another client: its latency while each goes on, beside its quiet one just before.

A production stack of its own, with all its limits as they come. The other client has an address of its own, in a
network namespace, and asks four things by turns, eight times a second; the attackers, `nice`d, run on the same CPUs.
The inputs are those of tests/attacks. The memory that the containers held meanwhile is a table of its own.
Run as root, as ``python -m bench.victim``.
"""

import argparse
import contextlib
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from functools import partial
from statistics import median

from hpack import Encoder
from hyperframe.frame import SettingsFrame

from bench.report import Figure, publish, table
from tests.attacks.inputs.documents import BODIES, BOMBS, Body
from tests.attacks.inputs.frames import FLOODS, FRAMES, GET_HEALTH, headers
from tests.attacks.inputs.heads import HEADS
from tests.attacks.inputs.texts import TEXTS
from tests.attacks.memory import MEBIBYTE, Memory
from tests.attacks.sending import PREFACE, Attackers, addresses, until
from tests.attacks.test_floods import SLOW
from tests.attacks.victim import Answers, victim
from tests.edge.outside import outside
from tests.stack import running_stack

Attack = Callable[[Attackers, float], None]
NICE = 15
NAMES = "names of 900,000 characters"
HEAD = ["attack", "requests", "not 200", "quiet p50", "p50", "÷ quiet", "quiet p95", "p95"]
MEMORY = ["container", "limit, MiB", "most held, MiB", "margin"]


def at_once(senders: int, seconds: float, send: Callable[[int], object]) -> None:
    """Have so many threads send, over and over; what fails is the attacker's affair."""

    def work(number: int) -> None:
        for turn in until(seconds):
            with contextlib.suppress(Exception):
                send(number + turn * senders)

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(senders)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + seconds + 5
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))


def each(inputs: Iterable[bytes], frames: bool) -> Attack:
    """Have one client send them, down four connections at once."""
    listed = list(inputs)

    def attack(attackers: Attackers, seconds: float) -> None:
        attacker = attackers.alone()
        send = attacker.send_frames if frames else attacker.send
        at_once(4, seconds, lambda turn: send(listed[turn % len(listed)], 0.2))

    return attack


def bodies(inputs: dict[str, Body], *, packed: bool) -> Attack:
    """Have two clients send documents, one after the other."""
    made = [(body, body.make()) for body in inputs.values()]
    label = {True: {"Content-Encoding": "gzip"}, False: {}}[packed]

    def attack(attackers: Attackers, seconds: float) -> None:
        with ExitStack() as stack:
            clients = [stack.enter_context(attackers.client(timeout=seconds)) for _ in range(2)]

            def send(turn: int) -> None:
                body, content = made[turn % len(made)]
                clients[turn % 2].post(body.path, content=content, headers={"Content-Type": body.content_type} | label)

            at_once(2, seconds, send)

    return attack


def one_client(attackers: Attackers, seconds: float, *, path: str) -> None:
    """Have one client take all it may have, with what takes long."""
    text = (TEXTS["cards"] + TEXTS["full-width"]) * 3
    address = attackers.address()

    def send(_: int) -> None:
        with attackers.client(address, timeout=seconds) as client:
            if path.endswith("predict"):
                client.post(path, json={"text": text[:90_000]})
            else:
                client.post(path, content=text.encode() * 10, headers={"Content-Type": "text/plain"})
        time.sleep(0.1)

    at_once(20, seconds, send)


def patterns(attackers: Attackers, seconds: float) -> None:
    """Have one client send costly texts, at its limit."""
    texts = list(TEXTS.values())
    with attackers.client(timeout=seconds) as client:
        at_once(4, seconds, lambda turn: client.post("/api/v1/predict", json={"text": texts[turn % len(texts)]}))


def slowly(attackers: Attackers, seconds: float) -> None:
    """Hold connections, of several clients, a byte now and then."""
    with ExitStack() as stack:
        held = []
        for _, (begun, rest) in zip(range(200), itertools.cycle(SLOW.values()), strict=False):
            connection = stack.enter_context(attackers.connect())
            connection.sendall(begun)
            held.append((connection, rest))
        for _ in until(seconds):
            for connection, rest in held:
                with contextlib.suppress(OSError):
                    connection.send(rest[:1])
            time.sleep(0.5)


def silently(attackers: Attackers, seconds: float) -> None:
    """Hold 5,000 connections of one address that say nothing."""
    address = attackers.address()
    with ExitStack() as stack:
        for _ in range(5000):
            with contextlib.suppress(OSError):
                stack.enter_context(attackers.tcp(address))
        time.sleep(seconds)


def handshakes(attackers: Attackers, seconds: float) -> None:
    """Shake hands and go."""
    attacker = attackers.alone()
    at_once(4, seconds, lambda _: attacker.connect().close())


def beyond_the_limit(attackers: Attackers, seconds: float) -> None:
    """Ask as fast as one client can."""
    address = attackers.address()
    request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100

    def send(_: int) -> None:
        with attackers.connect(address=address) as connection:
            for _ in range(50):
                connection.sendall(request)
                connection.recv(1 << 20)

    at_once(3, seconds, send)


def beyond_the_limit_in_streams(attackers: Attackers, seconds: float) -> None:
    """Do the same over HTTP/2, a hundred at a time."""
    address = attackers.address()
    encoder = Encoder()
    first = PREFACE + SettingsFrame(0).serialize()
    requests = [
        b"".join(headers(GET_HEALTH, 2 * (100 * part + number) + 1, encoder=encoder) for number in range(100))
        for part in range(50)
    ]

    def send(_: int) -> None:
        with attackers.connect("h2", address) as connection:
            for part, request in enumerate(requests):
                connection.sendall(request if part else first + request)
                connection.recv(1 << 20)

    at_once(3, seconds, send)


def jobs(attackers: Attackers, seconds: float) -> None:
    """Have one client queue form after form of small jobs."""
    head = 'Content-Disposition: form-data; name="document"; filename="a.txt"\r\nContent-Type: text/plain'
    form = f"--x\r\n{head}\r\n\r\na@b.example\r\n" * 500 + "--x--\r\n"
    with attackers.client(timeout=seconds) as client:
        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        at_once(2, seconds, lambda _: client.post("/api/v1/jobs", content=form, headers=kind))


def computing(attackers: Attackers, seconds: float) -> None:  # noqa: ARG001
    """Send nothing, and take of the CPUs what an attacker takes that sends."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        subprocess.run([sys.executable, "-c", "while True: pass"], timeout=seconds, check=False)


def attacks() -> dict[str, Attack]:
    """Return each class."""
    packed = {name: BOMBS[name] for name in ("300 MB of text/plain", "300 MB of application/xml", NAMES)}
    return {
        "no attack: its sender computes": computing,
        "HTTP/1.1 smuggled, cut or broken": each(HEADS.values(), frames=False),
        "HTTP/2 out of order": each(FRAMES.values(), frames=True),
        **{f"flood: {name.replace('_', ' ')}": each([make(20_000)], frames=True) for name, make in FLOODS.items()},
        "slow senders": slowly,
        "silent connections": silently,
        "handshakes": handshakes,
        "requests beyond the limit": beyond_the_limit,
        "requests beyond the limit, over HTTP/2": beyond_the_limit_in_streams,
        "documents that break parsers": bodies(BODIES, packed=False),
        "bombs": bodies(packed, packed=True),
        "costly texts": patterns,
        "all of predict's places": partial(one_client, path="/api/v1/predict"),
        "all of process' places": partial(one_client, path="/api/v1/process"),
        "jobs by the thousand": jobs,
    }


def main() -> None:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="length of each turn")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each attack, and of quiet before each")
    parser.add_argument("--only", default="", help="those whose names have this in it; nothing is published")
    options = parser.parse_args()
    made = {name: attack for name, attack in attacks().items() if options.only in name}
    os.nice(NICE)
    rows = []
    with running_stack(profiles=["monitoring"]) as stack, outside() as cable, addresses(cable.host, 100) as sources:
        port = int(stack.settings["HTTPS_PORT"])
        attackers = Attackers(cable.host, port, sources)
        inside = ["nice", "-n", str(-NICE), "ip", "netns", "exec", cable.namespace]
        with Memory(stack) as memory:
            for name, attack in made.items():
                quiet, attacked = [], []
                for _ in range(options.rounds):
                    with victim(inside, cable.host, port) as watch:
                        time.sleep(options.seconds)
                    quiet.append(watch.answers)
                    with victim(inside, cable.host, port) as watch:
                        attack(attackers, options.seconds)
                    attacked.append(watch.answers)
                rows.append(row(name, quiet, attacked))
                print(" | ".join(rows[-1]), flush=True)
            held = memory.held
    ratios = [float(one[HEAD.index("÷ quiet")]) for one in rows]
    if options.only:
        return
    publish(
        "What attacks cost another client",
        "Milliseconds; the other client asks /health, predict, process and /ready by turns. Goal: its median is at "
        f"most twice its quiet one. {options.rounds} x {options.seconds:.0f} s each, quiet and attacked by turns.\n\n"
        + table(HEAD, rows)
        + "\n\nMemory meanwhile: what cannot be given back, the most that was seen, ten times a second.\n\n"
        + table(
            MEMORY,
            [
                [name, f"{one.limit / MEBIBYTE:.0f}", f"{one.most / MEBIBYTE:.0f}", f"{1 - one.most / one.limit:.0%}"]
                for name, one in sorted(held.items())
            ],
        ),
        [
            Figure(
                f"another client's median beside an attack: the middle of {len(rows)}",
                "its quiet one",
                median(ratios),
                "≤ 2",
            ),
            Figure("another client's median beside the worst attack", "its quiet one", max(ratios), "≤ 2"),
        ],
    )


def row(name: str, quiet: list[Answers], attacked: list[Answers]) -> list[str]:
    """Return an attack's line of the table."""
    before, during = (sorted(second for one in answers for second in one.seconds) for answers in (quiet, attacked))
    failed = sum(one.statuses.total() - one.statuses[200] for one in attacked)
    p95 = [f"{values[len(values) * 95 // 100] * 1000:.1f}" for values in (before, during)]
    p50 = [median(values) * 1000 for values in (before, during)]
    shown = [f"{value:.1f}" for value in p50]
    return [name, str(len(during)), str(failed), *shown, f"{p50[1] / p50[0]:.2f}", *p95]


if __name__ == "__main__":
    main()
