"""Slow, greedy and impatient clients against a real service: absolute deadlines for heads and bodies, the bounds on body, head
and connections, each with its own answer, while others are served; and a request that is under way at SIGTERM."""

import json
import os
import signal
import socket
import threading
import time

from libserve import Service
from liblathe import DATA, SLOWER, Checks, Lathe

checks = Checks()
PATH = "/v2/models/species/infer"
ROW = {"island": "Biscoe", "bill_length_mm": 45.0, "bill_depth_mm": 14.0, "flipper_length_mm": 215,
       "body_mass_g": 5000, "sex": "male", "year": 2008}
BODY = json.dumps({"inputs": [{"name": k, "shape": [1, 1], "datatype": "BYTES" if isinstance(v, str) else "FP64",
                               "data": [v]} for k, v in ROW.items()]}).encode()
DOCUMENT = {
    "lathe": 1, "name": "birds", "seed": 1,
    "goal": {"task": "classification", "target": "species", "metric": "log_loss"},
    "prepare": {"source": {"csv": {"path": os.path.join(DATA, "penguins.csv"), "missing": ["NA"]}}},
    "train": {"candidates": {"trees": {"gbdt": {"rounds": 5}}}},
    "deploy": {"endpoint": "species", "when": "always"},
}
LIMITS = {"body_mb": 1, "connections": 40, "head_seconds": 1, "body_seconds": 2 * SLOWER, "idle_seconds": 20}


def connect(service):
    return socket.create_connection(("127.0.0.1", service.ports["infer"]), timeout=20 * SLOWER)


def head(length, more=b""):
    return b"POST " + PATH.encode() + b" HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: %d\r\n%s\r\n" % (length, more)


def answer(sock):
    """Status and body of the one answer that still comes; (0, b"") where the connection just ends."""
    data = b""
    try:
        while True:
            got = sock.recv(65536)
            if not got:
                break
            data += got
            top, end, body = data.partition(b"\r\n\r\n")
            length = [int(line.split(b":")[1]) for line in top.split(b"\r\n") if line.lower().startswith(b"content-length")]
            if end and length and len(body) >= length[0]:
                return int(top.split(b" ")[1]), body
    except OSError:
        pass
    return 0, b""


def trickle(service, first, results):
    """A byte every 0.1 s: each is in time, the whole is not."""
    with connect(service) as sock:
        start = time.monotonic()
        try:
            sock.sendall(first)
            sock.settimeout(0.1)
            while time.monotonic() - start < 10 * SLOWER:
                try:
                    if sock.recv(1, socket.MSG_PEEK) is not None:
                        break
                except TimeoutError:
                    sock.sendall(b"a")
        except OSError:
            pass
        sock.settimeout(5)
        results.append((answer(sock)[0], time.monotonic() - start))


def slow_clients(service):
    results = {"head": [], "body": []}
    firsts = {"head": b"POST / HTTP/1.1\r\nx: ", "body": head(100000)}
    threads = [threading.Thread(target=trickle, args=(service, firsts[kind], results[kind]))
               for kind in ("head", "body") for _ in range(12)]
    for thread in threads:
        thread.start()
    served = [service.infer("POST", PATH, BODY)[0] for _ in range(100)]
    checks.equal("others are served meanwhile", served, [200] * 100)
    for thread in threads:
        thread.join()
    for kind, got in results.items():
        checks.equal(f"slow {kind}: answers", [status for status, _ in got], [408] * 12)
        checks.that(f"slow {kind}: the deadline is absolute", all(t < 5 * SLOWER for _, t in got), str(got))


def bounds(service):
    for what, sent, status in (
            ("a body beyond the bound", head((1 << 20) + 1), 413),
            ("a head beyond the bound", head(1, b"x: " + b"y" * 70000 + b"\r\n"), 431)):
        with connect(service) as sock:
            sock.sendall(sent)
            got, body = answer(sock)
            checks.equal(what, got, status)
            checks.that(f"{what}: JSON", "error" in json.loads(body), body.decode())
    time.sleep(1.5 * SLOWER)  # refused ones linger for a second
    open_ones = [connect(service) for _ in range(40)]
    time.sleep(0.2 * SLOWER)
    with connect(service) as sock:
        sock.sendall(head(len(BODY)) + BODY)
        got, body = answer(sock)
        checks.equal("one connection too many", got, 503)
        checks.that("one connection too many: JSON", "error" in json.loads(body), body.decode())
    for sock in open_ones:
        sock.close()
    checks.that("room again", service.until(lambda: service.infer("POST", PATH, BODY)[0] == 200))


def late_end(service):
    """What was begun before SIGTERM is answered; nothing new is taken."""
    with connect(service) as sock:
        sock.sendall(head(len(BODY)) + BODY[:50])
        time.sleep(0.2 * SLOWER)
        service.process.send_signal(signal.SIGTERM)
        time.sleep(0.2 * SLOWER)
        checks.equal("not ready any more", service.infer("GET", "/v2/health/ready")[0], 503)
        sock.sendall(BODY[50:])
        checks.equal("the request under way", answer(sock)[0], 200)
    checks.equal("the end", service.stop(), 0)


def resident_mb(pid):
    with open(f"/proc/{pid}/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE") >> 20


def memory(lathe):
    """A worker that holds more than its bound, here half of a large body, is told and replaced; the service lives."""
    def settings(**limits):
        return lathe.write("serve.json", {"limits": {"body_mb": 200, **limits}})
    with Service(lathe, "--workers", "1", "--config", settings()) as service:
        checks.equal("before", service.infer("POST", PATH, BODY)[0], 200)
        old = service.workers()[0]
        bound = resident_mb(old) + 30
        settings(worker_memory_mb=bound)
        service.process.send_signal(signal.SIGHUP)
        time.sleep(1.2 * SLOWER)  # it is looked at twice a second
        checks.equal("what is below its bound stays", service.workers(), [old])
        with connect(service) as sock:
            try:
                sock.sendall(head(100 << 20) + b" " * (60 << 20))
            except OSError:
                pass
            checks.equal("its own connection breaks", answer(sock)[0], 0)
        checks.that("the log tells", service.until(lambda: f"holds more than its {bound} MB" in service.text()))
        checks.equal("its replacement serves", service.infer("POST", PATH, BODY)[0], 200)
        checks.that("another process", service.workers() != [old])
        checks.equal("counted", service.metric("lathe_worker_restarts_total"), 1)
        checks.equal("stop", service.stop(), 0)


def first_request(lathe):
    """A request that waits for its model to be loaded is one request for its token's rate."""
    root = lathe.run("tokens", "create", "root", "--role", "admin").stdout.strip()
    slow = lathe.run("tokens", "create", "slow", "--role", "infer", "--rate", "0.01").stdout.strip()
    with Service(lathe, "--workers", "1", token=root) as service:
        status, answer_, _ = service.infer("POST", PATH, BODY, token=slow)
        checks.equal("the first request", (status, answer_.get("error")), (200, None))
        checks.equal("the rate is used", service.infer("POST", PATH, BODY, token=slow)[0], 429)
        checks.equal("counted once", service.metric("lathe_inference_requests_total"), 1)


with Lathe() as lathe:
    checks.equal("run", lathe.run("run", lathe.write("birds.json", DOCUMENT)).returncode, 0)
    with Service(lathe, "--workers", "1", config={"limits": LIMITS}) as service:
        slow_clients(service)
        bounds(service)
        late_end(service)
    memory(lathe)
    first_request(lathe)

checks.end()
