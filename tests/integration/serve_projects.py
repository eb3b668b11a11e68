"""Projects: what belongs to one is not there for the tokens of another, on every route of both ports.

The routes are those that the service describes (x-scope in its OpenAPI document), so that a new one is asked here as well: what
it needs beyond names of the path stands in BODIES and QUERIES, and where it is missing the answer is no 404 and the test fails.
"""

import json
import os
import sqlite3
import time

from liblathe import Checks, Lathe, wait_until
from libserve import Service

checks = Checks()
ROWS = "a,b\n" + "".join(f"{i},{i % 7}\n" for i in range(5))
TENSOR = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [1, 2]}]}
SLOW = {"mlp": {"layers": [{"units": 512, "activation": "relu"}] * 3, "epochs": 100000, "batch": 8,
                "early_stopping": None}}


def document(name, **more):
    return {"lathe": 1, "name": name, "seed": 1,
            "goal": {"task": "regression", "target": "y", "metric": "rmse"},
            "prepare": {"source": {"csv": {"path": "data.csv"}}, "profile": False},
            "train": {"candidates": {"line": "linear"}},
            "deploy": {"endpoint": name + "-end", "when": "always"},
            "monitor": {"drift": [{"psi": {"threshold": 0.01}}], "replay": {"csv": {"path": "later.csv"}}}, **more}


class World:
    """Both projects with all that can belong to one; answers as red, blue or all."""

    def __init__(self, lathe, service, secrets):
        self.service = service
        self.secrets = secrets
        for color in ("red", "blue"):
            self.wait(color, self.submit(color, document(color)))
            self.wait(color, self.submit(color, document(color, seed=2)))
            self.submit(color, document(color, schedule="@yearly"), key="schedule")
        self.run = self.ask("blue", "GET", "/api/v1/runs")[1]["runs"][0]["run"]
        self.file = self.ask("blue", "GET", f"/api/v1/runs/{self.run}")[1]["files"][0]["name"]
        self.alert = str(self.ask("blue", "GET", "/api/v1/alerts")[1]["alerts"][0]["id"])
        self.model = self.ask("all", "GET", "/api/v1/models/blue/versions/1/file", raw=True)[1]
        slow = document("blue-slow", train={"candidates": {"net": SLOW}})
        self.busy = self.submit("blue", slow)
        self.waits = self.submit("blue", slow)

    def ask(self, color, method, path, body=None, raw=False, port="control", headers=()):
        return self.service.call(self.service.ports[port], method, path, body, token=self.secrets[color], raw=raw,
                                 headers=headers)[:2]

    def patient(self, *question):
        """None where the service says: later."""
        answer = self.ask(*question)
        return answer if answer[0] != 503 else None

    def submit(self, color, body, key="run"):
        status, answer = self.ask(color, "POST", "/api/v1/runs", body)
        checks.equal(f"{color} submits", (status, answer.get("error")), (202, None))
        return answer.get(key)

    def wait(self, color, run):
        wait_until(lambda: self.ask(color, "GET", f"/api/v1/runs/{run}")[1].get("finished_us"), 60)
        status = self.ask(color, "GET", f"/api/v1/runs/{run}")[1].get("status")
        checks.equal(f"{color} has run", status, "succeeded")

    def fill(self, path, method):
        run = self.waits if path.endswith("/cancel") else self.run
        names = {"model": "blue", "endpoint": "blue-end", "version": "1", "run": run, "file": self.file,
                 "alert": self.alert, "schedule": "blue", "token": "blue-spare", "project": "blue"}
        for key, value in names.items():
            path = path.replace("{" + key + "}", value)
        return path


def bodies(world):
    """What an operation needs; {} where nothing stands here."""
    return {
        ("PUT", "/api/v1/endpoints/{endpoint}"): {"sticky": "id"},
        ("POST", "/api/v1/endpoints/{endpoint}/promote"): {"version": 2},
        ("POST", "/api/v1/endpoints/{endpoint}/canary"): {"version": 1},
        ("POST", "/api/v1/endpoints/{endpoint}/shadow"): {"version": 1},
        ("POST", "/api/v1/endpoints/{endpoint}/labels"): {"labels": [{"id": "a", "label": 1.5}]},
        ("POST", "/api/v1/models/{model}/promote"): {"version": 1},
        ("POST", "/api/v1/models/{model}/versions/{version}/predict"): ROWS,
        ("POST", "/api/v1/models/{model}/import"): world.model,
        ("POST", "/api/v1/runs"): document("blue"),
        ("POST", "/api/v1/tokens"): {"name": "red-more", "role": "infer", "project": "blue"},
    }


# What a project's token gets where it is not 404: names are one for the home, so a name that is taken can only be told.
WANTED = {("POST", "/api/v1/models/{model}/import"): 409, ("POST", "/api/v1/runs"): 409}
# Operations without a name in the path that are about one thing all the same.
ABOUT = {"/api/v1/runs/compare", "/api/v1/runs POST", "/api/v1/tokens POST"}


def operations(world):
    paths = world.ask("red", "GET", "/api/v1/openapi.json")[1]["paths"]
    for path, methods in paths.items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def check_routes(world):
    given = bodies(world)
    counts = {"project": 0, "service": 0, "shared": 0}
    for method, path, operation in operations(world):
        scope = operation.get("x-scope")
        counts[scope] += 1
        what = f"{method} {path}"
        full = world.fill(path, method)
        full += {"/api/v1/runs/compare": f"?a={world.run}&b={world.run}",
                 "/api/v1/derived": f"?of={world.run}"}.get(path, "")
        body = given.get((method, path), {} if method in ("PUT", "POST") else None)
        if scope == "service":
            status, answer = world.ask("red", method, full, body)
            checks.equal(f"{what} is not for a project", status, 403)
            checks.has(what, answer["error"], "the service as a whole", "red")
        elif scope == "project" and ("{" in path or path in ABOUT or f"{path} {method}" in ABOUT):
            status, answer = world.ask("red", method, full, body)
            checks.equal(f"{what} of another project: {answer}", status, WANTED.get((method, path), 404))
            checks.lacks(f"{what} says no more", json.dumps(answer), "did you mean 'blue'")
            if (method, path) != ("POST", "/api/v1/tokens"):
                status, answer = wait_until(lambda: world.patient("blue", method, full, body)) or (503, "")
                checks.that(f"{what} of its own: {status} {str(answer)[:200]}", status < 300)
        elif scope == "project":
            checks.equal(f"{what} is a list", method, "GET")
            status, answer = world.ask("red", method, full)
            checks.equal(what, status, 200)
            checks.lacks(f"{what} of red", json.dumps(answer), "blue")
            checks.has(f"{what} of blue", json.dumps(world.ask("blue", method, full)[1]), "blue")
            both = json.dumps(world.ask("all", method, full)[1])
            checks.has(f"{what} of all", both, "blue")
    checks.that(f"operations of each kind {counts}", min(counts.values()) >= 5 and counts["project"] >= 35, counts)


def check_names(world):
    """Names are one for the home: they cannot be taken over, nor served from another project."""
    world.submit("blue", document("blue", schedule="@yearly"), key="schedule")
    for what, path, method, body, want in (
            ("its endpoint for my model", "/api/v1/endpoints/blue-end", "PUT", {"model": "red", "version": 1}, 409),
            ("my endpoint for its model", "/api/v1/endpoints/red-end", "PUT", {"model": "blue", "version": 1}, 404),
            ("a share of my traffic", "/api/v1/endpoints/red-end", "PUT",
             {"traffic": [{"model": "blue", "version": 1, "percent": 5}]}, 404),
            ("a canary", "/api/v1/endpoints/red-end/canary", "POST", {"model": "blue", "version": 1}, 404),
            ("deploying its endpoint", "/api/v1/runs", "POST",
             document("red2", deploy={"endpoint": "blue-end", "when": "always"}), 409),
            ("deploying its model", "/api/v1/runs", "POST",
             document("red2", deploy={"model": "blue", "when": "always"}), 409),
            ("its schedule", "/api/v1/runs", "POST", document("blue", schedule="@daily",
                                                              deploy={"model": "red", "when": "never"}), 409),
            ("its token's name", "/api/v1/tokens", "POST", {"name": "blue-spare", "role": "infer"}, 409)):
        status, answer = world.ask("red", method, path, body)
        checks.equal(f"{what}: {answer}", status, want)
    # nor by somebody who sees both
    for what, body in (("a move", {"model": "red", "version": 1}),
                       ("a share", {"traffic": [{"model": "red", "version": 1, "percent": 5}]})):
        status, answer = world.ask("all", "PUT", "/api/v1/endpoints/blue-end", body)
        checks.equal(f"{what} into another project: {answer}", status, 409)
    status, answer = world.ask("red", "POST", "/api/v1/tokens", {"name": "red-more", "role": "admin"})
    checks.equal("a token of one's own project", status, 201)
    world.secrets["more"] = answer["token"]
    checks.lacks("has its project", json.dumps(world.ask("more", "GET", "/api/v1/models")[1]), "blue")
    # a run of one who sees all belongs to what it deploys
    status, answer = world.ask("all", "POST", "/api/v1/runs", document("blue", seed=3))
    checks.equal("all may train both", status, 202)
    checks.equal("for the model's project", world.ask("blue", "GET", f"/api/v1/runs/{answer['run']}")[0], 200)
    checks.equal("and not another", world.ask("red", "GET", f"/api/v1/runs/{answer['run']}")[0], 404)


def check_runs(world):
    """By the beginning of an id, by "latest", as a stream."""
    red = world.ask("red", "GET", "/api/v1/runs/latest")[1]
    checks.equal("latest is one's own", red["project"], "red")
    checks.equal("the beginning of an id", world.ask("red", "GET", f"/api/v1/runs/{world.run[:-1]}")[0], 404)
    stream = {"accept": "text/event-stream"}
    checks.equal("its events", world.ask("red", "GET", f"/api/v1/runs/{world.run}/events", headers=stream)[0], 404)
    status, text = world.ask("blue", "GET", f"/api/v1/runs/{world.run}/events", headers=stream)
    checks.that("one's own events", status == 200 and "event: end" in text, text[-200:])
    checks.equal("a run that is under way", world.ask("red", "POST", f"/api/v1/runs/{world.busy}/cancel", {})[0], 404)
    checks.equal("one's own", world.ask("blue", "POST", f"/api/v1/runs/{world.busy}/cancel", {})[0], 200)


def check_inference(world):
    def ask(color, method, path, body=None):
        return world.ask(color, method, path, body, port="infer")

    wait_until(lambda: ask("blue", "GET", "/v2/models/blue-end/ready")[0] == 200)
    for name in ("blue-end", "blue", "blue/versions/1", "blue-end/versions/1"):
        for verb in ("", "/ready", "/config", "/stats", "/infer", "/trace/setting"):
            method, body = ("POST", TENSOR) if verb == "/infer" else ("GET", None)
            status, answer = ask("red", method, f"/v2/models/{name}{verb}", body)
            checks.equal(f"{name}{verb}", (status, "there is no endpoint or model" in str(answer)), (404, True))
    checks.equal("one's own", ask("blue", "POST", "/v2/models/blue-end/infer", TENSOR)[0], 200)
    checks.equal("of all", ask("all", "POST", "/v2/models/blue-end/infer", TENSOR)[0], 200)
    checks.equal("red's own", ask("red", "POST", "/v2/models/red-end/infer", TENSOR)[0], 200)
    for method, path in (("POST", "/v2/repository/index"), ("GET", "/v2/models/stats")):
        checks.lacks(f"{path} of red", json.dumps(ask("red", method, path)[1]), "blue")
        checks.has(f"{path} of blue", json.dumps(ask("blue", method, path)[1]), "blue-end")
        checks.has(f"{path} of all", json.dumps(ask("all", method, path)[1]), "blue-end", "red-end")
    for verb in ("load", "unload"):
        checks.equal(f"{verb} of another's", ask("red", "POST", f"/v2/repository/models/blue-end/{verb}")[0], 404)
    checks.equal("the log's level", ask("red", "POST", "/v2/logging", {"log_info": True})[0], 403)
    checks.equal("unload", ask("blue", "POST", "/v2/repository/models/blue-end/unload")[0], 200)
    checks.equal("unloaded", [ask(c, "GET", "/v2/models/blue-end/ready")[0] for c in ("blue", "red")], [503, 404])
    checks.lacks("the index is silent", json.dumps(ask("red", "POST", "/v2/repository/index")[1]), "blue")
    checks.equal("load", ask("blue", "POST", "/v2/repository/models/blue-end/load")[0], 200)
    checks.equal("loaded", ask("blue", "POST", "/v2/models/blue-end/infer", TENSOR)[0], 200)


def check_schedules(world):
    """A schedule is bound by its project's quotas when it is made, and each time that it is due."""
    every = {"schedule": "@yearly"}
    world.ask("all", "PUT", "/api/v1/projects/red", {"concurrent_runs": 1})
    busy = world.submit("red", document("red-slow", train={"candidates": {"net": SLOW}}))
    status, answer = world.ask("red", "POST", "/api/v1/runs", document("red3", **every))
    checks.equal("a schedule beyond the quota", status, 429)
    checks.has("says which", answer["error"], "concurrent_runs", "red")
    world.ask("all", "PUT", "/api/v1/projects/red", {"concurrent_runs": 0})
    checks.equal("within it", world.ask("red", "POST", "/api/v1/runs", document("red3", **every))[0], 202)
    world.ask("red", "POST", f"/api/v1/runs/{busy}/cancel", {})
    world.ask("all", "PUT", "/api/v1/projects/red", {"training_seconds_per_day": 1})


def make_due(home):
    """Red has used its time of today, and everybody's schedules are due now."""
    with sqlite3.connect(os.path.join(home, "lathe.db")) as db:
        db.execute("INSERT OR REPLACE INTO usage VALUES(?, 'red', 'red', 0, 0, 999999999)", (int(time.time()) // 86400,))
        db.execute("UPDATE schedules SET next = ?", (int(time.time() * 1e6) - 1000000,))
    db.close()


def check_due(world):
    def schedules(color):
        return world.ask(color, "GET", "/api/v1/schedules")[1]["schedules"]

    checks.that("all were due", wait_until(lambda: all(s.get("last_us") for s in schedules("all"))), schedules("all"))
    checks.equal("red's are skipped", {s["last_run"] for s in schedules("red")}, {""})
    checks.that("blue's is submitted", all(s["last_run"] for s in schedules("blue")), schedules("blue"))
    alerts = [a for a in world.ask("red", "GET", "/api/v1/alerts")[1]["alerts"] if a["kind"] == "schedule_skipped"]
    checks.equal("red is told", [a["model"] for a in alerts], ["red"])
    checks.has("why", alerts[0]["message"], "training_seconds_per_day")


with Lathe() as lathe:
    for name, more in (("data.csv", 0), ("later.csv", 500)):
        with open(os.path.join(lathe.dir, name), "w") as out:
            out.write("a,b,y\n" + "".join(f"{i + more},{i % 7},{2 * i + i % 7}\n" for i in range(200)))
    secrets = {}
    r = lathe.run("tokens", "create", "lost", "--role", "infer", "--project", "red")
    checks.equal("a project that does not exist", r.returncode, 1)
    checks.has("is told so", r.stderr, "no project 'red'", "lathe projects create")
    for project in ("red", "blue"):
        checks.equal("made", lathe.run("projects", "create", project).returncode, 0)
    for name, project in (("all", None), ("red", "red"), ("blue", "blue"), ("blue-spare", "blue")):
        r = lathe.run("tokens", "create", name, "--role", "admin", *(["--project", project] if project else []))
        secrets[name] = r.stdout.strip()
    config = {"data_roots": [lathe.dir], "workers": 1, "runs": {"concurrent": 1, "threads": 1}}
    with Service(lathe, config=config, token=secrets["all"]) as service:
        world = World(lathe, service, secrets)
        status, answer = world.ask("all", "POST", "/api/v1/tokens", {"name": "lost", "role": "infer", "project": "rad"})
        checks.equal("no token for a project that does not exist", status, 404)
        checks.has("the nearest is named", answer["error"], "no project 'rad'", "did you mean 'red'")
        checks.equal("nothing of red waits", world.ask("red", "GET", "/api/v1/queue")[1]["queue"], [])
        check_routes(world)
        check_names(world)
        check_runs(world)
        check_inference(world)
        check_schedules(world)
        checks.equal("stop", service.stop(), 0)
    make_due(lathe.home)
    with Service(lathe, config=config, token=secrets["all"]) as service:
        world.service = service
        check_due(world)
checks.end()
