"""Endpoints under `lathe serve`: shares, sticky keys, canaries that are promoted and rolled back, shadows, gates, lineage,
changed bytes, and a canary that goes on after the service was killed."""

import http.client
import json
import os

from liblathe import SANITIZED, SLOWER, Checks, Lathe, parse, wait_until
from libsoak import ONE, Service, constant, train

checks = Checks()
FEW = 300 if SANITIZED else 2000


def saboteur(name, harm, folder, value):
    document = constant(name, value, folder)
    document["train"]["candidates"] = {"s": {"saboteur": {"harm": harm}}}
    document["deploy"] = {"endpoint": "unused", "when": "always"}
    return document


class Client:
    """Requests over one connection."""

    def __init__(self, service, endpoint="e"):
        self.service, self.path = service, f"/v2/models/{endpoint}/infer"
        self.connect()

    def connect(self):
        self.c = http.client.HTTPConnection("127.0.0.1", self.service.inference, timeout=20 * SLOWER)

    def ask(self, x=1.0, headers=None, id=None):
        """Status and version (or the error)."""
        body = {"inputs": [dict(ONE["inputs"][0], data=[x])]}
        if id is not None:
            body["id"] = id
        try:
            self.c.request("POST", self.path, json.dumps(body), headers or {})
            r = self.c.getresponse()
            answer = json.loads(r.read())
        except (OSError, http.client.HTTPException) as error:
            self.connect()
            return 0, str(error)
        return r.status, answer.get("model_version", answer.get("error"))


def state(service, endpoint="e", kind="canary"):
    rollouts = service.api("GET", f"/endpoints/{endpoint}/rollouts")[1]["rollouts"]
    return next((r for r in rollouts if r["kind"] == kind), None)


def until(what, good, seconds=20):
    return checks.that(what, wait_until(good, seconds), "not within the time")


def check_shares(service):
    """10 % are 10 % within three standard deviations; a key keeps its version."""
    status, body = service.api("PUT", "/endpoints/e", {"traffic": [{"model": "m", "version": 2, "percent": 10},
                                                                   {"model": "n", "version": 1, "percent": 20}]})
    checks.equal("shares", (status, body.get("version")), (200, 1))
    clients = [Client(service) for _ in range(4)]  # over both workers
    count = {}
    for i in range(FEW):
        version = clients[i % 4].ask()[1]
        count[version] = count.get(version, 0) + 1
    for version, share in (("1", 0.7), ("2", 0.1), ("n@1", 0.2)):
        sigma = (share * (1 - share) / FEW) ** 0.5
        checks.that(f"share of {version}", abs(count.get(version, 0) / FEW - share) <= 3.5 * sigma, count)
    checks.equal("by version", clients[0].service.infer("POST", "/models/e/versions/n@1/infer", ONE)[1]["model_version"], "n@1")
    keys = [f"user-{i}" for i in range(60)]
    of = {k: clients[0].ask(headers={"lathe-sticky-key": k})[1] for k in keys}
    checks.that("keys go to all versions", len(set(of.values())) == 3, of)
    for client in clients:
        checks.equal("a key keeps its version", {k: client.ask(headers={"lathe-sticky-key": k})[1] for k in keys}, of)
    checks.equal("by id", service.api("PUT", "/endpoints/e", {"sticky": "id"})[0], 200)
    checks.equal("the id is the key", {k: clients[0].ask(id=k)[1] for k in keys}, of)
    before = service.api("GET", "/endpoints/e")[1]
    for bad in ({"traffic": 7}, {"traffic": [{"model": "m", "version": 2, "percent": 200}]}, {"sticky": "cookie"}, {"version": 2},
                {"model": "m", "version": 77}, {"trafic": []}, {"model": "m", "version": 2, "sticky": "cookie"},
                {"model": "m", "version": 2, "sticky": "id", "traffic": [{"model": "m", "version": 1, "percent": 101}]}):
        status, body = service.api("PUT", "/endpoints/e", bad)
        checks.that(f"refused: {bad}", status in (400, 404, 422) and "error" in body, (status, body))
    after = service.api("GET", "/endpoints/e")[1]
    checks.that("nothing of it was done", all(after[k] == before[k] for k in ("model", "version", "settings")), (before, after))
    return of


def check_canary(service, of):
    """A good canary goes through its steps and is promoted; keys that it has it keeps."""
    checks.equal("no traffic", service.api("PUT", "/endpoints/e", {"traffic": None})[0], 200)
    for bad, what in (({"version": 1}, 409), ({"version": 9}, 404), ({"version": 2, "steps": [50, 10]}, 400),
                      ({"version": 2, "guards": {"eror_ratio": 1}}, 400), ({"version": 2, "bake_seconds": -1}, 400),
                      ({"version": 2, "guards": {"prediction_drift": 1}}, 400)):
        status, body = service.api("POST", "/endpoints/e/canary", bad)
        checks.that(f"refused: {bad}", status in (what, 422 if what == 400 else what) and body["error"], (status, body))
    status, body = service.api("POST", "/endpoints/e/canary", {
        "version": 2, "steps": [20, 60], "bake_seconds": 0.2, "min_requests": 40, "promote": "manual",
        "guards": {"error_ratio": 0.01, "latency_p99_ratio": 1000, "latency_mean_ms": 10000}})
    checks.equal("canary", (status, body.get("version")), (200, 1))
    checks.equal("a second canary", service.api("POST", "/endpoints/e/canary", {"version": 2})[0], 409)
    client, keys = Client(service), list(of)
    few = {k for k in keys if client.ask(headers={"lathe-sticky-key": k})[1] == "2"}

    def step(number):
        for _ in range(100):
            client.ask()
        shown = service.api("GET", "/endpoints/e")[1].get("canary")
        return shown is None or shown["step"] == number

    until("the second step", lambda: step(1))
    more = {k for k in keys if client.ask(headers={"lathe-sticky-key": k})[1] == "2"}
    checks.that("keys stay with the canary", few <= more and len(few) < len(more) < len(keys), (few, more))

    def waits():
        step(1)
        return service.api("GET", "/endpoints/e")[1]["canary"]["measured"]["waits_for"] == "promotion"

    until("it waits for its promotion", waits)
    shown = service.api("GET", "/endpoints/e")[1]["canary"]["measured"]
    checks.that("what is measured", shown["share_percent"] == 60 and shown["canary"]["requests"] >= 40 and
                shown["baseline"]["latency_p99_ms"] > 0 and len(shown["guards"]) == 3, shown)
    checks.that("its metrics", service.metric("lathe_canary_share_ratio") == 0.6 and
                service.metric("lathe_canary_requests_total") >= 80)
    checks.equal("promote", service.api("POST", "/endpoints/e/promote", {"reason": "looks good"})[1],
                 {"endpoint": "e", "model": "m", "version": 2})
    checks.equal("its end", (state(service)["state"], state(service)["reason"]), ("promoted", "looks good"))
    checks.equal("all requests", {client.ask()[1] for _ in range(20)}, {"2"})
    checks.equal("history", service.api("GET", "/endpoints/e/history")[1]["moves"][0]["action"], "promote")
    checks.equal("back", service.api("POST", "/endpoints/e/rollback", {})[1]["version"], 1)
    # by itself
    checks.equal("canary", service.api("POST", "/endpoints/e/canary", {
        "version": 2, "steps": [50, 100], "bake_seconds": 0, "min_requests": 10})[0], 200)

    def promoted():
        for _ in range(30):
            client.ask()
        return state(service)["state"] == "promoted"

    until("it is promoted", promoted)
    checks.equal("all requests of it", {client.ask()[1] for _ in range(20)}, {"2"})
    alerts = service.api("GET", "/alerts")[1]["alerts"]
    checks.that("an alert of it", any(a["kind"] == "rollout" and "held its guards" in a["message"] for a in alerts), alerts[:2])


def check_guards(service):
    """A canary that fails, crashes or naps is rolled back; the reason is told everywhere."""
    client = Client(service, "s")
    for harm, guards, condition, clean in (("fail", {"error_ratio": 0.05}, "error_ratio", True),
                                           ("crash", {}, "crash", False),
                                           ("nap", {"latency_mean_ratio": 3, "error_ratio": 1}, "latency_mean_ratio", True)):
        checks.equal("canary", service.api("POST", "/endpoints/s/canary", {
            "model": harm, "steps": [50, 100], "bake_seconds": 3600, "min_requests": 20, "guards": guards})[0], 200)

        def rolled_back():
            for _ in range(40):
                client.ask(x=5000.0)
            return state(service, "s")["state"] == "rolled_back"

        until(f"{condition} rolls back", rolled_back)
        end = state(service, "s")
        checks.that(f"{condition}: the reason", condition in end["reason"] and end["verdict"].get("condition") == condition and
                    "measured" in end["verdict"] and "limit" in end["verdict"] and end["actor"], end)
        alert = service.api("GET", "/alerts")[1]["alerts"][0]
        checks.that(f"{condition}: the alert", alert["severity"] == "critical" and condition in alert["message"], alert)
        until("the service is whole", lambda: service.api("GET", "/health")[0] == 200)
        checks.equal(f"{condition}: afterwards", {client.ask(x=5000.0) for _ in range(20)}, {(200, "1")})


def check_shadow(service):
    """Copies are compared; answers are those of the endpoint."""
    client = Client(service)
    checks.equal("shadow", service.api("POST", "/endpoints/e/shadow", {"version": 1})[0], 200)
    checks.equal("answers", {client.ask() for _ in range(50)}, {(200, "2")})
    shown = {}

    def compared():
        shown.update(service.api("GET", "/endpoints/e")[1]["shadow"]["measured"])
        return shown["requests"] + shown["dropped"] == 50

    until("all are compared", compared)
    checks.that("what was compared", shown["requests"] > 0 and shown["agreement"] == 0 and shown["difference_max"] == 1 and
                shown["difference_mean"] == 1 and shown["failures"] == 0, shown)
    checks.equal("shadow's metric", service.metric("lathe_shadow_offered_total"), 50)
    checks.equal("its end", service.ask(service.control, "DELETE", "/api/v1/endpoints/e/shadow")[0], 200)
    checks.equal("no shadow", service.ask(service.control, "DELETE", "/api/v1/endpoints/e/shadow")[0], 404)
    checks.equal("it ended", state(service, kind="shadow")["state"], "ended")


def check_gates(lathe, service, refused):
    status, body = service.api("POST", "/models/g/promote", {"version": refused["version"]})
    checks.that("a gate refuses", status == 409 and [c["metric"] for c in body["checks"]] == ["rmse", "model_mb"] and
                not any(c["met"] for c in body["checks"]), (status, body))
    checks.has("and says what can be done", body["remedy"], '"force": true', "role admin", "audit log")
    for path, more in (("canary", {}), ("promote", {})):
        status, body = service.api("POST", f"/endpoints/e/{path}", dict(more, model="g", version=refused["version"]))
        checks.that(f"{path}: a gate refuses", status == 409 and len(body["checks"]) == 2, (status, body))
    status, body = service.api("POST", "/models/g/promote", {"version": refused["version"], "force": True, "reason": "urgent"})
    checks.equal("forced", status, 200)


def check_offline(lathe, refused):
    """The command line on a home that nobody serves."""
    r = lathe.run("models", "promote", f"g@{refused['version']}", "--alias", "other", "--json")
    checks.that("a gate refuses", r.returncode == 3 and parse(r.stdout)["checks"][0]["metric"] == "rmse", (r.returncode, r.stdout))
    checks.has("and says what can be done", r.stderr, "--force does it all the same")
    checks.equal("forced", lathe.run("models", "promote", f"g@{refused['version']}", "--alias", "other", "--force").returncode, 0)
    shown = parse(lathe.run("models", "show", "m@2", "--json").stdout)["lineage"]
    checks.that("lineage", len(shown["document_sha256"]) == 64 and shown["run"] and
                all(len(d["sha256"]) == 64 for d in shown["data"].values()) and shown["data"] and
                all(len(p["sha256"]) == 64 for p in shown["plugins"].values()) and shown["plugins"], shown)
    run = lambda *args: lathe.run("endpoints", *args)  # noqa: E731
    checks.equal("set", run("set", "f", "m@2", "--traffic", "n@1=25", "--sticky", "header:x-user").returncode, 0)
    shown = parse(run("show", "f", "--json").stdout)
    checks.that("show", shown["version"] == 2 and shown["settings"] == {
        "traffic": [{"model": "n", "version": 1, "percent": 25}], "sticky": "header:x-user"} and len(shown["history"]) == 1, shown)
    checks.equal("canary", run("canary", "f", "@1", "--steps", "5,50", "--bake", "60", "--guard", "error_ratio=0.1",
                               "--manual").returncode, 0)
    checks.equal("shadow", run("shadow", "f", "n@1").returncode, 0)
    shown = parse(run("show", "f", "--json").stdout)
    checks.that("on trial", shown["canary"]["settings"] == {"steps": [5, 50], "bake_seconds": 60, "promote": "manual", "guards": {
        "error_ratio": 0.1}} and shown["shadow"]["model"] == "n", shown)
    checks.has("list", run("list").stdout, "canary, shadow", "m@2")
    checks.equal("rollback", run("rollback", "f").stdout, "endpoint f serves m@2\n")
    checks.equal("promote", run("promote", "f", "@1").stdout, "endpoint f serves m@1\n")
    checks.equal("no shadow", run("shadow", "f", "none").returncode, 0)
    for args in (("show", "nothing"), ("set", "f", "m@9"), ("promote", "f", "@9"), ("canary", "f", "@2", "--guard", "x=1")):
        checks.equal(f"refused: {args}", run(*args).returncode, 1)
    for args in (("show",), ("canary", "f"), ("set", "f", "m", "--traffic", "m@1"), ("rollback", "f", "--force"), ("no",)):
        checks.equal(f"usage: {args}", run(*args).returncode, 2)


def check_kill(lathe, ports):
    """A canary is in its step again after the supervisor was killed, and is judged by it."""
    with Service(lathe, workers=2) as service:
        checks.equal("canary", service.api("POST", "/endpoints/s/canary", {
            "model": "fail", "steps": [30, 60, 100], "bake_seconds": 0, "min_requests": 30, "guards": {"error_ratio": 0.05}})[0], 200)
        client = Client(service, "s")

        def second():
            for _ in range(50):
                client.ask()
            return state(service, "s")["step"] >= 1

        until("the second step", second)
        service.kill()
    with Service(lathe, workers=2) as service:
        found = state(service, "s")
        checks.that("it goes on", found["state"] == "running" and found["step"] >= 1, found)
        client = Client(service, "s")

        def rolled_back():
            for _ in range(40):
                client.ask(x=5000.0)
            return state(service, "s")["state"] == "rolled_back"

        until("it is rolled back", rolled_back)
        checks.equal("stop", service.stop(), 0)


def check_changed_bytes(lathe, model):
    """A byte of a registered version that was changed is noticed where it is loaded."""
    path, refused, tries = model["file"], 0, 6
    size = os.path.getsize(path)
    os.chmod(path, 0o600)
    with open(path, "rb") as file:
        original = file.read()
    for i in range(tries):
        at = 8 + i * (size - 9) // (tries - 1)
        with open(path, "r+b") as file:
            file.seek(at)
            file.write(bytes([original[at] ^ 1]))
        row = lathe.write("row.csv", "x\n1\n")
        refused += lathe.run("predict", "m@1", row).returncode != 0
        checks.that(f"verify: byte {at}", lathe.run("models", "verify", "m@1").returncode != 0)
        checks.that(f"promote: byte {at}", lathe.run("models", "promote", "m@1", "--alias", "x").returncode != 0)
        with open(path, "r+b") as file:
            file.seek(at)
            file.write(original[at:at + 1])
    checks.equal("changed bytes that were refused at load", refused, tries)
    checks.equal("as it was", lathe.run("models", "verify", "m@1").returncode, 0)


with Lathe(plugins=("saboteur",)) as lathe:
    first = train(lathe, constant("m", 1, lathe.dir, endpoint="e", when="always"))
    train(lathe, constant("m", 2, lathe.dir))
    train(lathe, constant("m", 2, lathe.dir, endpoint="unused", when="always"))
    train(lathe, constant("n", 3, lathe.dir, endpoint="unused", when="always"))
    gated = constant("g", 4, lathe.dir, endpoint="unused", when="always")
    gated["goal"]["require"] = {"rmse": "< 0", "model_mb": "<= 0.000001", "r2": "<= 1e9"}
    lathe.pipeline(gated)
    refused = {"version": 1}
    for harm in ("none", "fail", "crash", "nap"):
        document = saboteur(harm, harm, lathe.dir, 1)
        train(lathe, document)
    lathe.run("endpoints", "set", "s", "none@1")
    lathe.run("endpoints", "set", "e", "m@1")
    check_offline(lathe, refused)
    with Service(lathe, workers=2) as service:
        of = check_shares(service)
        check_canary(service, of)
        check_guards(service)
        check_shadow(service)
        check_gates(lathe, service, refused)
        checks.equal("stop", service.stop(), 0)
    checks.equal("the store is whole", lathe.run("verify").returncode, 0)
    check_kill(lathe, None)
    check_changed_bytes(lathe, first)
checks.end()
