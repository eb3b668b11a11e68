#!/usr/bin/env python3
"""Hot swaps under full load, then load/unload cycles: swaps.py [SWAPS [CYCLES [CONNECTIONS]]], default 1000 2000 8.

Two versions predict different constants, so that an answer is a function of the version: every answer must be 200 and
carry the constant of the version that it names; after an acknowledged swap the next request must find the new version.
Then cycles of unload and load: memory, descriptors and threads of the service must not grow after a warm-up.
"""

import json
import os
import re
import select
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
os.environ.setdefault("LATHE_SOURCE", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
os.environ.setdefault("LATHE_BIN", os.path.join(os.environ["LATHE_SOURCE"], "build", "bin", "lathe"))

from liblathe import SANITIZED, Checks, Lathe  # noqa: E402
from libsoak import ONE, Service, constant, train, usage  # noqa: E402

VALUES = {b"1": 1, b"2": 2}
DEPTH = 16  # requests under way on a connection


def load(port, n_connections, stop, result):
    """Keeps connections full of requests; counts answers, and everything that is wrong with one. A process of its own."""
    body = json.dumps(ONE).encode()
    request = (b"POST /v2/models/e/infer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
               b"Content-Length: %d\r\n\r\n" % len(body)) + body
    head = re.compile(rb"HTTP/1.1 (\d+) .*?\r\ncontent-length: (\d+)\r\n.*?\r\n\r\n", re.S)
    answer = re.compile(rb'"model_version":"(\d+)".*"data":\[(\d+)')
    poll = select.poll()
    conns, left, wrong = {}, {}, []
    count = {b"1": 0, b"2": 0}
    for _ in range(n_connections):
        s = socket.create_connection(("127.0.0.1", port))
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.sendall(request * DEPTH)
        conns[s.fileno()], left[s.fileno()] = s, b""
        poll.register(s, select.POLLIN)
    waiting = {fd: DEPTH for fd in conns}
    while any(waiting.values()):
        events = poll.poll(10000)
        if not events:
            wrong.append("no answer within 10 s")
            break
        for fd, _ in events:
            data = conns[fd].recv(262144)
            if not data:
                wrong.append(f"a connection was closed with {waiting[fd]} requests under way")
                waiting[fd] = 0
                poll.unregister(fd)
                continue
            data = left[fd] + data
            at = n = 0
            while (m := head.match(data, at)) and m.end() + int(m.group(2)) <= len(data):
                end = m.end() + int(m.group(2))
                text = data[m.end():end]
                found = answer.search(text)
                if m.group(1) != b"200" or not found or VALUES[found.group(1)] != int(found.group(2)):
                    wrong.append((m.group(1) + b" " + text[:200]).decode(errors="replace"))
                else:
                    count[found.group(1)] += 1
                at, n = end, n + 1
            left[fd] = data[at:]
            waiting[fd] -= n
            if not stop.is_set() and n:
                conns[fd].sendall(request * n)
                waiting[fd] += n
    result.append((count, wrong))


def swap(service, swaps, checks):
    """Promotes one version after the other; every few times a rollback does it."""
    slow, late = 0.0, 0
    for i in range(swaps):
        version = 2 - i % 2
        begin = time.monotonic()
        if i % 5 == 4:
            status, body = service.api("POST", "/endpoints/e/rollback", {})
        else:
            status, body = service.api("POST", "/models/m/promote", {"version": version})
        slow = max(slow, time.monotonic() - begin)
        if not checks.that("swap", status == 200 and body["version"] == version, (i, status, body)):
            return slow
        answered = service.infer("POST", "/models/e/infer", ONE)[1]["model_version"]
        late += answered != str(version)
    checks.equal("answers of the old version after a swap was acknowledged", late, 0)
    return slow


def run_swaps(lathe, checks, swaps, connections):
    from multiprocessing import get_context
    context = get_context("fork")
    with Service(lathe, workers=2) as service:
        stop, results = context.Event(), context.Manager().list()
        clients = [context.Process(target=load, args=(service.inference, connections, stop, results)) for _ in range(2)]
        for c in clients:
            c.start()
        begin = time.monotonic()
        slow = swap(service, swaps, checks)
        took = time.monotonic() - begin
        stop.set()
        for c in clients:
            c.join()
        checks.equal("load generators that ended in order", len(results), 2)
        wrong = [w for _, ws in results for w in ws]
        counts = [sum(c[v] for c, _ in results) for v in VALUES]
        checks.that("every answer is 200 and of the version that it names", not wrong, wrong[:3])
        checks.that("both versions answered", min(counts) > 0, counts)
        print(f"{swaps} swaps in {took:.1f} s (slowest {slow * 1e3:.0f} ms) under {sum(counts) / took:.0f} requests/s: "
              f"{sum(counts)} answers, {len(wrong)} wrong or failed; by version {counts}")
        checks.equal("stop", service.stop(), 0)


def cycle(service, checks, cycles):
    for _ in range(cycles):
        for verb, code in (("unload", 503), ("load", 200)):
            status = service.infer("POST", f"/repository/models/e/{verb}", {})[0]
            checks.equal(verb, status, 200)
            status = service.infer("POST", "/models/e/infer", ONE)[0]
            if not checks.equal(f"infer after {verb}", status, code):
                return


def run_cycles(lathe, checks, cycles):
    with Service(lathe, workers=1) as service:
        who = {"supervisor": service.pid, "worker": service.workers()[0]}
        warm = max(10, cycles // 10)
        cycle(service, checks, warm)
        checks.equal("runs", service.api("GET", "/runs")[0], 200)  # starts the supervisor's few threads
        time.sleep(0.3)  # the last connections are closed
        before = {name: usage(pid) for name, pid in who.items()}
        begin = time.monotonic()
        cycle(service, checks, cycles)
        took = time.monotonic() - begin
        time.sleep(0.3)
        for name, pid in who.items():
            (rss0, fd0, t0), (rss, fd, t) = before[name], usage(pid)
            print(f"{cycles} load/unload cycles ({took:.1f} s), {name}: memory {rss0 / 1024:.0f} → {rss / 1024:.0f} KiB, "
                  f"descriptors {fd0} → {fd}, threads {t0} → {t}")
            checks.that(f"descriptors of the {name}", fd <= fd0, f"{fd0}, then {fd}")
            checks.that(f"threads of the {name}", t <= t0, f"{t0}, then {t}")
            if not SANITIZED:
                checks.that(f"memory of the {name}", rss - rss0 <= 256 * 1024, f"{rss - rss0} bytes more")
        checks.equal("stop", service.stop(), 0)


def main(swaps, cycles, connections=8):
    checks = Checks()
    with Lathe() as lathe:
        for value in (1, 2):
            train(lathe, constant("m", value, lathe.dir, endpoint="e", when="always"))
        if swaps:
            run_swaps(lathe, checks, swaps, connections)
        if cycles:
            run_cycles(lathe, checks, cycles)
    checks.end()


if __name__ == "__main__":
    main(*([int(a) for a in sys.argv[1:]] or [1000, 2000]))
