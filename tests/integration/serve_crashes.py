"""A plugin that crashes on one poisoned row: only its worker's connections break, those that wait in the worker's queue are
served by its replacement, the plugin is named; a version that does it again and again is taken out of service. Without
their supervisor workers end, and another one starts clean."""

import http.client
import json
import os
import signal

from liblathe import SLOWER, Checks, Lathe, is_alive, wait_until
from libsoak import ONE, Service, constant, train

checks = Checks()


def body(x):
    return json.dumps({"inputs": [dict(ONE["inputs"][0], data=[x])]})


def connect(service):
    return http.client.HTTPConnection("127.0.0.1", service.inference, timeout=20 * SLOWER)


def ask(c, name, x=1.0):
    """Status; 0: the connection broke."""
    try:
        c.request("POST", f"/v2/models/{name}/infer", body(x))
        r = c.getresponse()
        r.read()
        return r.status
    except (OSError, http.client.HTTPException):
        return 0


def poison(service, name="s"):
    return ask(connect(service), name, 5000.0)


def restarts(service):
    return service.metric("lathe_worker_restarts_total")


def check_one_crash(service):
    clients = [connect(service) for _ in range(16)]
    for c in clients:
        checks.equal("before", ask(c, "e"), 200)
        c.auto_open = 0  # a broken one stays so
    checks.equal("the poisoned row's own connection", poison(service), 0)
    late = [connect(service) for _ in range(8)]
    checks.equal("connections that come meanwhile", [ask(c, "e") for c in late], [200] * 8)
    after = [ask(c, "e") for c in clients]
    checks.that("the other worker's connections live", 200 in after and set(after) <= {0, 200}, after)
    checks.that("counted", wait_until(lambda: restarts(service) == 1))
    checks.has("the log names who", service.text(), "saboteur", "crash@1", "SIGSEGV" if "SIGSEGV" in service.text() else "signal")


def check_loop(service):
    def taken_out():
        poison(service)
        return "is taken out of service" in service.text()
    checks.that("a crash loop ends", wait_until(taken_out, 30))
    checks.that("its name is not served", wait_until(lambda: poison(service) in (404, 503)))
    checks.equal("as one that was unloaded", poison(service), 503)
    index = {m["name"]: m for m in json.loads(service.ask(service.inference, "POST", "/v2/repository/index", {})[2])}
    checks.equal("the index tells", index["s"].get("reason"), "unloaded")
    checks.that("others are", wait_until(lambda: ask(connect(service), "e") == 200))
    before = restarts(service)
    for _ in range(5):
        poison(service)
    checks.equal("no more crashes", restarts(service), before)
    checks.equal("the audit log knows", service.ask(service.inference, "POST", "/v2/repository/models/s/load")[0], 200)
    checks.that("loaded again", wait_until(lambda: ask(connect(service), "s") == 200))


def check_orphans(lathe, service):
    workers = service.workers()
    service.kill()
    checks.that("workers end with their supervisor", wait_until(lambda: not any(is_alive(p) for p in workers), 10))
    with Service(lathe, workers=1, config={"limits": {"hang_seconds": 2 * SLOWER}}) as again:
        checks.equal("another one starts clean", ask(connect(again), "e"), 200)
        worker = again.workers()[0]
        os.kill(worker, signal.SIGSTOP)  # hangs
        checks.that("a worker that hangs is replaced", wait_until(lambda: worker not in again.workers(), 20))
        checks.has("and told", again.text(), "has not moved")
        checks.that("its replacement serves", wait_until(lambda: ask(connect(again), "e") == 200))
        checks.equal("stop", again.stop(), 0)


with Lathe(plugins=("saboteur",)) as lathe:
    train(lathe, constant("m", 1, lathe.dir, endpoint="e", when="always"))
    bad = constant("crash", 1, lathe.dir, endpoint="s", when="always")
    bad["train"]["candidates"] = {"s": {"saboteur": {"harm": "crash"}}}
    train(lathe, bad)
    with Service(lathe, workers=2, config={"limits": {"hang_seconds": 2 * SLOWER}}) as service:
        check_one_crash(service)
        check_loop(service)
        check_orphans(lathe, service)
checks.end()
