"""Projects with quotas and usage metering: counted by token over all workers, kept through a killed worker, written to the
store, and bounded by day; rates of tokens hold over all workers."""

import json
import os
import signal
import time

from liblathe import DATA, Checks, Lathe
from libserve import Service

checks = Checks()
BODY = json.dumps({"inputs": [{"name": "x", "shape": [3, 2], "datatype": "FP64", "data": [1, 2, 3, 4, 5, 6]}]})
PATH = "/v2/models/numbers/infer"
SMALL, WIDE = "/v2/models/small-numbers", "/v2/models/wide-numbers/infer"


def document(data, name="numbers"):
    return {"lathe": 1, "name": name, "seed": 1,
            "goal": {"task": "regression", "target": "y", "metric": "rmse"},
            "prepare": {"source": {"csv": {"path": data}}, "profile": False},
            "train": {"candidates": {"line": "linear"}},
            "deploy": {"endpoint": name, "when": "always"}}


def token(lathe, name, *more):
    r = lathe.run("tokens", "create", name, *more)
    checks.equal(f"token {name}", r.returncode, 0)
    return r.stdout.strip()


def usage_of(service, admin, name, **more):
    """Sum of a token's usage, once it is written."""
    query = "&".join(f"{k}={v}" for k, v in dict(more, token=name).items())
    rows = service.control("GET", "/api/v1/usage?" + query, token=admin)[1]["usage"]
    return tuple(sum(row[k] for row in rows) for k in ("requests", "rows", "training_seconds"))


def give(service, admin, operate, project):
    """The model once more, as the project's own."""
    path = "/api/v1/models/numbers/versions/1/file"
    content = service.call(service.ports["control"], "GET", path, token=admin, raw=True)[1]
    status = service.control("POST", f"/api/v1/models/{project}-numbers/import", content, token=operate)[0]
    checks.equal(f"a model of {project}", status, 201)


def check_quota_of_requests(service, secret):
    seen, answers = [], 0
    for _ in range(25):
        status, answer, headers = service.infer("POST", SMALL + "/infer", BODY, token=secret)
        seen.append(status)
        if status == 429:
            answers += 1
            checks.has("names the quota", answer["error"], "requests_per_day", "20", "small")
            checks.that("says when", 0 < int(headers["retry-after"]) <= 86400, headers.get("retry-after"))
    checks.equal("as many as the quota, over all workers", (seen.count(200), answers), (20, 5))
    checks.equal("other paths go on", service.infer("GET", SMALL, token=secret)[0], 200)


with Lathe() as lathe:
    data = os.path.join(lathe.dir, "data.csv")
    with open(data, "w") as out:
        out.write("a,b,y\n" + "".join(f"{i},{i % 7},{2 * i + i % 7}\n" for i in range(200)))
    checks.equal("training run", lathe.run("run", lathe.write("d.json", document(data))).returncode, 0)
    checks.equal("project", lathe.run("projects", "create", "small", "--requests-per-day", "20").returncode, 0)
    for project in ("wide", "train"):
        checks.equal("another", lathe.run("projects", "create", project).returncode, 0)
    checks.equal("twice", lathe.run("projects", "create", "small").returncode, 1)
    checks.equal("no number", lathe.run("projects", "set", "small", "--rows-per-day", "many").returncode, 2)
    r = lathe.run("projects", "list", "--json")
    checks.equal("list", [p for p in json.loads(r.stdout) if p["name"] == "small"],
                 [{"name": "small", "quota": {"requests_per_day": 20}}])
    admin = token(lathe, "root", "--role", "admin")
    small = token(lathe, "tiny", "--role", "infer", "--project", "small")
    rows = token(lathe, "rows", "--role", "infer", "--project", "wide")
    owners = {p: token(lathe, p + "-ops", "--role", "operate", "--project", p) for p in ("small", "wide")}
    operate = token(lathe, "ops", "--role", "operate", "--project", "train")
    slow = token(lathe, "slow", "--role", "infer", "--rate", "5")
    config = {"data_roots": [lathe.dir], "workers": 2}
    with Service(lathe, config=config) as service:
        for project, owner in owners.items():
            give(service, admin, owner, project)
        check_quota_of_requests(service, small)

        # rows: the request that crosses the bound is answered, the next is not
        status, answer, _ = service.control("PUT", "/api/v1/projects/wide", {"rows_per_day": 10}, token=admin)
        checks.equal("quota by the API", (status, answer.get("quota")), (200, {"rows_per_day": 10}))
        checks.equal("rows", [service.infer("POST", WIDE, BODY, token=rows)[0] for _ in range(6)],
                     [200, 200, 200, 200, 429, 429])
        checks.has("its message", service.infer("POST", WIDE, BODY, token=rows)[1]["error"], "rows_per_day", "wide")
        status = service.control("PUT", "/api/v1/projects/wide", {"rows_per_day": 0}, token=admin)[0]
        checks.equal("no quota any more", (status, service.infer("POST", WIDE, BODY, token=rows)[0]), (200, 200))
        checks.equal("not by any token", service.control("PUT", "/api/v1/projects/wide", {"rows_per_day": 9},
                                                         token=operate)[0], 403)
        checks.equal("unknown project", service.control("PUT", "/api/v1/projects/widee", {"rows_per_day": 9},
                                                        token=admin)[0], 404)
        checks.that("wrong member", service.control("PUT", "/api/v1/projects/wide", {"rows": 9}, token=admin)[0] in
                    (400, 422))

        # a rate holds over all workers: 5 at once, then 5 a second
        begin = time.monotonic()
        granted = sum(service.infer("POST", PATH, BODY, token=slow)[0] == 200 for _ in range(30))
        most = 5 + 5 * (time.monotonic() - begin) + 1
        checks.that("rate over all workers", 5 <= granted <= most, f"{granted} of at most {most}")

        # runs: concurrent ones, and their time
        status, answer, _ = service.control("POST", "/api/v1/projects", {"name": "train2", "concurrent_runs": 1},
                                            token=admin)
        checks.equal("a project by the API", status, 201)
        service.control("PUT", "/api/v1/projects/train", {"training_seconds_per_day": 1, "concurrent_runs": 1},
                        token=admin)
        first = service.control("POST", "/api/v1/runs", document("data.csv", "again"), token=operate)
        checks.equal("a run", first[0], 202)
        second = service.control("POST", "/api/v1/runs", document("data.csv", "again"), token=operate)
        if second[0] != 202:  # the first had not ended
            checks.equal("one at a time", second[0], 429)
            checks.has("its message", second[1]["error"], "concurrent_runs", "train")
            checks.that("retry", "retry-after" in second[2])

        # a worker that is killed takes no count with it
        os.kill(service.workers()[0], signal.SIGKILL)
        service.until(lambda: service.metric_of(admin) >= 1)
        service.until(lambda: service.infer("POST", WIDE, BODY, token=rows)[0] == 200)
        checks.that("written while it runs", service.until(lambda: usage_of(service, admin, "tiny") == (20, 60, 0), 30),
                    usage_of(service, admin, "tiny"))
        checks.that("training time", service.until(lambda: usage_of(service, admin, "ops")[2] > 0),
                    usage_of(service, admin, "ops"))
        mine = service.control("GET", "/api/v1/usage", token=operate)[1]["usage"]
        checks.equal("a project's token sees its own", {u["project"] for u in mine} - {"train"}, set())
        checks.that("a bad day", service.control("GET", "/api/v1/usage?from=2026-02-31", token=admin)[0] in (400, 422))
        done = usage_of(service, admin, "rows")
        service.infer("POST", WIDE, BODY, token=rows)
        checks.equal("orderly stop", service.stop(), 0)

    out = json.loads(lathe.run("usage", "--token", "rows", "--json").stdout)
    checks.that("written at the end", sum(u["requests"] for u in out) > done[0], (out, done))
    checks.has("as a table", lathe.run("usage", "--project", "small").stdout, "tiny", "20", "60")
    # what was used today still counts after a start
    with Service(lathe, config=config) as service:
        checks.equal("the quota is still used", service.infer("POST", SMALL + "/infer", BODY, token=small)[0], 429)
        service.control("PUT", "/api/v1/projects/train", {"training_seconds_per_day": 1}, token=admin)
        checks.equal("raised", service.control("PUT", "/api/v1/projects/small", {"requests_per_day": 21},
                                               token=admin)[0], 200)
        checks.equal("one more", [service.infer("POST", SMALL + "/infer", BODY, token=small)[0] for _ in range(2)], [200, 429])
checks.end()
