"""Submitted runs: followed live, cancelled, tried again, scheduled; what waits survives kill -9."""

import json
import os
import shutil
import time

from liblathe import DATA, Checks, Lathe, wait_until
from libapi import Service

checks = Checks()


def document(root, name="birds", rounds=5, **more):
    return {
        "lathe": 1, "name": name, "seed": 1,
        "goal": {"task": "classification", "target": "species", "metric": "log_loss"},
        "prepare": {"source": {"csv": {"path": os.path.join(root, "penguins.csv"), "missing": ["NA"]}},
                    "profile": False},
        "train": {"candidates": {"trees": {"gbdt": {"rounds": rounds}}}},
        "deploy": {"endpoint": name, "when": "always"}, **more,
    }


def slow(root, name, **more):
    """Takes minutes, unless it is stopped."""
    d = document(root, name, 5, **more)
    d["train"]["candidates"] = {"net": {"mlp": {"layers": [{"units": 512, "activation": "relu"}] * 3, "epochs": 100000,
                                                "batch": 8}}}
    return d


def submit(service, body):
    status, answer = service.call("POST", "/api/v1/runs", body)
    checks.equal("submitted", (status, answer.get("error")), (202, None))
    return answer.get("run")


def state(service, run):
    status, answer = service.call("GET", f"/api/v1/runs/{run}")
    return answer.get("status") if status == 200 else status


def until(service, run, *states):
    return checks.that(f"{run} becomes {states}", wait_until(lambda: state(service, run) in states, 60),
                       state(service, run))


def check_plugins_are_asked(service, root):
    """Rules across parameters are code of the plugins: a worker runs it, and all faults are told with their places."""
    d = document(root)
    d["train"]["candidates"] = {
        "good": "linear",
        "net": {"mlp": {"layers": [{"units": 4, "activation": "relu"}], "optimizer": {"sgd": {"nesterov": True}}}},
        "vote": {"voting": {"base": ["linear", "tree"], "weights": [1, 2, 3]}}}
    text = json.dumps(d, indent=1)
    for path in ("/api/v1/validate", "/api/v1/runs"):
        status, answer = service.call("POST", path, {"document": text, "file": "net.json"})
        checks.equal(f"{path}: refused", (status, answer["error"]), (422, "the document is not valid"))
        places = [(e["file"], e["pointer"]) for e in answer["errors"]]
        checks.equal(f"{path}: all faults with their places {answer}", places,
                     [("net.json", "/train/candidates/net/mlp/optimizer/sgd/nesterov"),
                      ("net.json", "/train/candidates/vote/voting/weights")])
        checks.equal(f"{path}: lines", [text.splitlines()[e["line"] - 1].split(":")[0].strip() for e in answer["errors"]],
                     ['"nesterov"', '"weights"'])
    d["goal"] = {"task": "regression", "target": "body_mass_g", "metric": "rmse"}
    for check, says in (("refuse", "these seconds do not go with that harm"), ("crash", "villain.so")):
        d["train"]["candidates"] = {"bad": {"villain": {"check": check}}}
        status, answer = service.call("POST", "/api/v1/runs", d)
        checks.equal(f"a plugin's check: {check}", status, 422)
        checks.has(f"a plugin's check: {check}", answer["errors"][0]["message"], says)
    d["train"]["candidates"] = {"harmless": "villain"}
    checks.equal("goes on", service.call("POST", "/api/v1/validate", d)[0], 200)


def check_lineage(lathe, service, root, run):
    status, version = service.call("GET", "/api/v1/models/birds/versions/1")
    lineage = version["lineage"]
    data = lineage["data"][os.path.join(root, "penguins.csv")]["sha256"]
    checks.equal("lineage", (status, lineage["run"], len(lineage["document_sha256"])), (200, run, 64))
    for what, of, through in (("run", run, "run"), ("document", lineage["document_sha256"], "document"),
                              ("data", data, "data"),
                              ("plugin", lineage["plugins"]["lathe.ensemble.gbdt"]["sha256"], "plugin")):
        status, answer = service.call("GET", f"/api/v1/derived?of={of}")
        checks.equal(f"derived from a {what}", [(v["model"], v["version"], v["run"], v["through"])
                                                for v in answer["versions"]], [("birds", 1, run, through)])
    checks.equal("from nothing", service.call("GET", "/api/v1/derived?of=" + "0" * 64)[1], {"versions": []})
    server = ["--server", f"http://127.0.0.1:{service.ports['control']}"]
    for where in (server, []):
        r = lathe.run("models", "derived", os.path.join(root, "penguins.csv"), "--json", *where)
        checks.equal(f"lathe {where} models derived", [(v["model"], v["version"], v["through"])
                                                       for v in json.loads(r.stdout)], [("birds", 1, "data")])
        checks.has("as a table", lathe.run("models", "derived", run, *where).stdout, "birds", "run", run)


with Lathe(plugins=["villain"]) as lathe:
    root = lathe.path("data")
    os.makedirs(root)
    shutil.copy(os.path.join(DATA, "penguins.csv"), root)
    config = {"data_roots": [root], "runs": {"concurrent": 1, "queue": 3, "threads": 1}}
    service = Service(lathe, config)
    with service:
        # followed live, to its end; what it deployed is served
        run = submit(service, document(root))
        events = list(service.stream(f"/api/v1/runs/{run}/events"))
        checks.equal("the stream's end", events[-1][1:], ("end", {"run": run, "status": "succeeded", "reason": ""}))
        ids = [e[0] for e in events if e[0] is not None]
        checks.equal("ids without gaps", ids, list(range(1, len(ids) + 1)))
        kinds = {e[2].get("event") for e in events}
        checks.that("steps and the result are told", {"step", "result"} <= kinds, kinds)
        rest = list(service.stream(f"/api/v1/runs/{run}/events", {"Last-Event-ID": str(ids[-2])}))
        checks.equal("resumed after the last but one", [e[0] for e in rest], [ids[-1], None])
        checks.equal("a stream of nothing", next(service.stream("/api/v1/runs/20200101-000000-000000/events"))[0], 404)
        checks.equal("a broken resume", next(service.stream(f"/api/v1/runs/{run}/events", {"Last-Event-ID": "x"}))[0],
                     400)
        status, page = service.call("GET", f"/api/v1/runs/{run}/events?limit=2")
        checks.equal("a page of events", (status, [e["seq"] for e in page["events"]], page["next"]), (200, [1, 2], "2"))
        status, page = service.call("GET", f"/api/v1/runs/{run}/events?limit=1000&cursor=2")
        checks.equal("the next page", [e["seq"] for e in page["events"]], ids[2:])
        checks.that("the model is served", wait_until(
            lambda: service.call("GET", "/v2/models/birds/ready", port="infer")[0] == 200))

        # documents with faults, with their places
        status, answer = service.call("POST", "/api/v1/runs", "{\"lathe\": 1,\n \"nam\": 2}")
        checks.equal("a document with faults", status, 422)
        checks.that("their places", any(e["line"] == 2 and "nam" in e["message"] for e in answer["errors"]), answer)
        status, answer = service.call("POST", "/api/v1/validate", {"document": json.dumps(document(root)), "file": "x.json"})
        checks.equal("validate", (status, answer.get("valid"), answer.get("candidates")), (200, True, 1))
        for what, body in {
                "outside of the roots": document("/etc"),
                "base_dir over the network": {"document": document(root), "base_dir": root},
                "unknown member": {"document": document(root), "retries": 3},
                "set": {"document": document(root), "set": ["x"]},
                "retry": document(root, retry={"limit": -1}),
                "retry's members": document(root, retry={"limit": 1, "backof_s": 1}),
                "schedule": document(root, schedule="0 0 30 2 *"),
                "schedule's zone": document(root, schedule={"cron": "@daily", "timezone": "Mars/Olympus"}),
                "schedule's members": document(root, schedule={"cron": "@daily", "overlap": "never"}),
                "no JSON": "{", "no object": "[]", "nothing": "",
        }.items():
            status, answer = service.call("POST", "/api/v1/runs", body)
            checks.equal(f"refused: {what}", status, 400 if body in ("{", "[]", "") else 422)
            checks.that(f"says why: {what}", answer.get("errors"), answer)

        check_plugins_are_asked(service, root)
        check_lineage(lathe, service, root, run)

        # the queue: one runs, the others wait, the queue has an end; cancelled in both states
        first = submit(service, slow(root, "first"))
        until(service, first, "running")
        waiting = [submit(service, slow(root, f"w{i}")) for i in range(3)]
        checks.equal("it waits", state(service, waiting[0]), "waiting")
        status, answer = service.call("POST", "/api/v1/runs", document(root))
        checks.equal("the queue is full", (status, service.headers.get("retry-after")), (429, "10"))
        follow = service.stream(f"/api/v1/runs/{waiting[0]}/events")
        checks.equal("cancel what waits", service.call("POST", f"/api/v1/runs/{waiting[0]}/cancel",
                                                       {"reason": "not needed"})[0], 200)
        checks.equal("its stream ends", list(follow)[-1][1:], ("end", {"run": waiting[0], "status": "cancelled",
                                                                       "reason": "not needed"}))
        checks.equal("cancelled twice", service.call("POST", f"/api/v1/runs/{waiting[0]}/cancel")[0], 404)
        checks.equal("cancel what runs", service.call("POST", f"/api/v1/runs/{first}/cancel")[0], 200)
        until(service, first, "cancelled")
        until(service, waiting[1], "running")

        # killed: what waited still waits, what ran was interrupted; without "retry" it is not tried again
        with_retry = submit(service, slow(root, "again", retry={"limit": 1, "backoff_s": 0}))
        service.kill()
        service.start()
        checks.equal("after kill -9: ran", state(service, waiting[1]), "interrupted")
        until(service, waiting[2], "running")
        checks.equal("after kill -9: waits", state(service, with_retry), "waiting")
        service.call("POST", f"/api/v1/runs/{waiting[2]}/cancel")
        until(service, with_retry, "running")
        service.kill()
        service.start()
        checks.equal("interrupted", state(service, with_retry), "interrupted")
        events = list(service.stream(f"/api/v1/runs/{with_retry}/events"))
        retry = next((e[2] for e in events if e[2].get("event") == "retry"), {})
        checks.equal("its further attempt", retry.get("attempt"), 2)
        until(service, retry.get("run"), "running")

        # an orderly stop: the same attempt goes on at the next start
        checks.equal("exit code", service.stop(), 0)
        service.start()
        checks.equal("stopped", state(service, retry["run"]), "interrupted")
        queue = service.call("GET", "/api/v1/queue")[1]["queue"]
        checks.equal("it is tried again as the same attempt", [q["attempt"] for q in queue], [2])
        until(service, queue[0]["run"], "running")
        service.call("POST", f"/api/v1/runs/{queue[0]['run']}/cancel")
        until(service, queue[0]["run"], "cancelled")
        checks.equal("the queue is empty", service.call("GET", "/api/v1/queue")[1]["queue"], [])

        # a run that fails is tried again, with a growing wait, and then no more
        broken = document(root, "broken", retry={"limit": 2, "backoff_s": 0.1, "factor": 2})
        broken["goal"]["target"] = "nosuchcolumn"
        run, chain = submit(service, broken), []
        while run:
            chain.append(run)
            events = list(service.stream(f"/api/v1/runs/{run}/events"))
            checks.equal("failed", events[-1][2]["status"], "failed")
            run = next((e[2]["run"] for e in events if e[2].get("event") == "retry"), None)
        checks.equal("three attempts", len(chain), 3)

        # schedules
        far = document(root, "yearly", schedule={"cron": "0 3 1 1 *", "timezone": "Europe/Berlin"})
        status, answer = service.call("POST", "/api/v1/runs", far)
        checks.equal("scheduled", (status, answer.get("schedule")), (202, "yearly"))
        listed = service.call("GET", "/api/v1/schedules")[1]["schedules"]
        checks.equal("listed", [(s["name"], s["cron"], s["timezone"], s["overlap"], s["missed"]) for s in listed],
                     [("yearly", "0 3 1 1 *", "Europe/Berlin", "skip", "once")])
        checks.equal("due at 02:00 UTC", listed[0]["next_us"] // 1000000 % 86400, 2 * 3600)
        checks.equal("removed", service.call("DELETE", "/api/v1/schedules/yearly")[0], 200)
        checks.equal("removed twice", service.call("DELETE", "/api/v1/schedules/yearly")[0], 404)

        # missed while no service ran: made up for once, or skipped
        for name, missed in (("catches", "once"), ("skips", "skip")):
            service.call("POST", "/api/v1/runs", document(root, name, schedule={"cron": "0 3 1 1 *", "missed": missed}))
        checks.equal("exit code", service.stop(), 0)
        import sqlite3
        db = sqlite3.connect(os.path.join(lathe.home, "lathe.db"))
        db.execute("UPDATE schedules SET next = 1600000000000000")
        db.commit()
        db.close()
        service.start()

        def due():
            return {s["name"]: s["last_run"] for s in service.call("GET", "/api/v1/schedules")[1]["schedules"]
                    if s["next_us"] > time.time() * 1e6}

        checks.that("both look ahead again", wait_until(lambda: len(due()) == 2, 20), due())
        checks.equal("skipped", due().get("skips"), "")
        made_up = due().get("catches")
        until(service, made_up, "succeeded")
        rows = service.call("GET", "/api/v1/audit")[1]["audit"] if service.call("GET", "/api/v1/audit")[0] == 200 else []
        checks.that("submitted by its schedule", any(
            r["action"] == "run.submit" and r["subject"] == made_up and r["actor"] == "schedule:catches" for r in rows), rows)
        checks.equal("exit code", service.stop(), 0)
checks.end()
