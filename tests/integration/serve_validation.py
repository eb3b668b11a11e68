"""Validation at the door and statistics of served rows: rules from the training's profile reject, flag or pass, and are
counted, whichever way a value comes in."""

import csv
import json
import os
import signal
import struct

from liblathe import DATA, Checks, Lathe
from libserve import Service

checks = Checks()
ROW = {"island": "Biscoe", "bill_length_mm": 45.0, "bill_depth_mm": 14.0, "flipper_length_mm": 215,
       "body_mass_g": 5000, "sex": "male", "year": 2008}


def document(name, validation):
    deploy = {"endpoint": name + "-live", "when": "always"}
    if validation is not None:
        deploy["validation"] = validation
    return {
        "lathe": 1, "name": name, "seed": 1,
        "goal": {"task": "classification", "target": "species", "metric": "log_loss"},
        "prepare": {"source": {"csv": {"path": os.path.join(DATA, "penguins.csv"), "missing": ["NA"]}},
                    "split": {"random": {"validation": 0.2}}},
        "train": {"candidates": {"trees": {"gbdt": {"rounds": 3}}}},
        "deploy": deploy,
    }


def body(*rows):
    inputs = []
    for key in ROW:
        values = [row.get(key) for row in rows]
        kind = "BYTES" if any(isinstance(v, str) for v in values) else "FP64"
        inputs.append({"name": key, "shape": [len(rows), 1], "datatype": kind, "data": values})
    return json.dumps({"inputs": inputs})


def row(**changes):
    return dict(ROW, **changes)


def path(name):
    return f"/v2/models/{name}/infer"


def check_flags(service):
    """The usual rules: a wrong type is rejected, the rest is answered and flagged."""
    def ask(*rows):
        return service.infer("POST", path("usual-live"), body(*rows))

    status, answer, headers = ask(ROW)
    checks.equal("clean row", (status, "lathe-flags" in headers), (200, False))
    status, answer, headers = ask(row(bill_length_mm=500), ROW, row(bill_length_mm=-1, island="Mars"))
    checks.equal("flagged", status, 200)
    checks.equal("what is flagged", headers.get("lathe-flags"),
                 'range=2;column="bill_length_mm", domain=1;column="island"')
    checks.equal("no more in the answer than without", sorted(answer["outputs"][0]),
                 ["data", "datatype", "name", "shape"])
    checks.equal("missing, never so in training", ask(row(year=None))[2].get("lathe-flags"), 'nulls=1;column="year"')
    checks.equal("missing as in training", ask(row(sex=None))[2].get("lathe-flags"), None)
    status, answer, _ = ask(ROW, row(year="later"))
    checks.equal("wrong type", status, 400)
    checks.has("its message", answer["error"], "row 2", "year", "later")
    want = {("range", "flag"): 2, ("domain", "flag"): 1, ("nulls", "flag"): 1, ("type", "reject"): 1,
            ("type", "flag"): 0, ("range", "reject"): 0}
    for (rule, action), rows in want.items():
        checks.equal(f"counted {rule} {action}",
                     service.metric("lathe_validation_rows_total", 'model="usual"', f'rule="{rule}"',
                                    f'action="{action}"'), rows)
    checks.equal("flagged rows", service.metric("lathe_inference_flagged_rows_total", 'model="usual"'), 3)
    # the model by its own name has the rules of its document too
    checks.equal("by the model's name", service.infer("POST", path("usual"), body(row(year=1900)))[2]
                 .get("lathe-flags"), 'range=1;column="year"')


def check_rejects(service):
    def ask(*rows):
        return service.infer("POST", path("strict-live"), body(*rows))

    checks.equal("clean row", ask(ROW)[0], 200)
    cases = ((row(bill_length_mm=61), "bill_length_mm", "61", "32.1 to 5", "range"),
             (row(island="Mars"), "island", "Mars", "Biscoe", "domain"),
             (row(body_mass_g=None), None), (row(year=None), "year", "missing", "never", "nulls"))
    for bad, *pieces in cases:
        status, answer, headers = ask(ROW, bad, ROW)
        if pieces == [None]:  # training had it missing
            checks.equal("a null as in training", status, 200)
            continue
        checks.equal(f"rejects {pieces[0]}", status, 400)
        checks.has("its message", answer["error"], "row 2", *pieces)
    status, _, headers = ask(row(flipper_length_mm=1e6))
    checks.equal("a column with an action of its own", (status, headers.get("lathe-flags")),
                 (200, 'range=1;column="flipper_length_mm"'))
    checks.equal("a column's own range", ask(row(body_mass_g=9000))[0], 200)
    checks.equal("beyond it", ask(row(body_mass_g=9001))[0], 400)
    # a value of the wrong type is missing, and flagged
    status, _, headers = ask(row(sex="male", bill_depth_mm="deep"))
    checks.equal("a type that is flagged", (status, headers.get("lathe-flags")), (200, "type=1"))
    checks.equal("rejected rows", service.metric("lathe_inference_rejected_rows_total", 'model="strict"'), 4)


def check_binary_and_large(service):
    """The same over the binary extension, and in a batch that is predicted off the serving thread."""
    n, parts, inputs = 2000, b"", []
    for key in ROW:
        if isinstance(ROW[key], str):
            data = struct.pack("<I", len(ROW[key])) + ROW[key].encode()
            data, kind = data * n, "BYTES"
        else:
            values = [float(ROW[key])] * n
            if key == "year":
                values[1500] = 1066.0
            data, kind = struct.pack(f"<{n}d", *values), "FP64"
        inputs.append({"name": key, "shape": [n, 1], "datatype": kind, "parameters": {"binary_data_size": len(data)}})
        parts += data
    head = json.dumps({"inputs": inputs}).encode()
    for name, want in (("usual-live", 200), ("strict-live", 400)):
        status, answer, headers = service.infer("POST", path(name), head + parts,
                                                headers={"inference-header-content-length": str(len(head))})
        checks.equal(f"large batch, {name}", status, want)
        if want == 200:
            checks.equal("its flags", headers.get("lathe-flags"), 'range=1;column="year"')
        else:
            checks.has("its message", answer["error"], "row 1501", "year", "1066")


def check_statistics(service, data):
    """Rows of the training file itself: what is counted must be what the file holds."""
    def counted():  # rows wait for up to a tenth of a second to be counted
        answer = service.control("GET", "/api/v1/models/usual/versions/1/features")[1]
        return answer["rows"] == service.metric("lathe_inference_rows_total", 'model="usual"')

    checks.that("rows so far are counted", service.until(counted))
    before = service.control("GET", "/api/v1/models/usual/versions/1/features")[1]
    checks.that("served rows", before["rows"] > 2000)
    rows = []
    for line in csv.DictReader(open(data)):
        rows.append({k: None if line[k] == "NA" else line[k] if isinstance(ROW[k], str) else float(line[k])
                     for k in ROW})
    for i in range(0, len(rows), 7):  # in small batches, then all at once off the serving thread
        service.infer("POST", path("usual-live"), body(*rows[i:i + 7]))
    service.infer("POST", path("usual-live"), body(*rows))

    def features(bins="false"):
        answer = service.control("GET", f"/api/v1/models/usual/versions/1/features?bins={bins}")[1]
        return answer["rows"], {f["name"]: f for f in answer["features"]}

    n = 2 * len(rows)
    checks.that("all rows are counted", service.until(counted), features()[0])
    checks.equal("how many", features()[0], before["rows"] + n)
    now, was = features("true")[1], {f["name"]: f for f in before["features"]}
    for name, kind in (("bill_length_mm", "numeric"), ("sex", "category")):
        f = now[name]
        values = [r[name] for r in rows]
        checks.equal(name + " missing", f["missing"] - was[name]["missing"], 2 * sum(v is None for v in values))
        checks.equal(name + " present", f["present"] - was[name]["present"], 2 * sum(v is not None for v in values))
        checks.equal(name + " bins", sum(f["counts"]), f["present"])
        checks.equal(name + " kind", f["type"], kind)
    present = [r["body_mass_g"] for r in rows if r["body_mass_g"] is not None]
    f, w = now["body_mass_g"], was["body_mass_g"]
    mean = (f["mean"] * f["present"] - w["mean"] * w["present"]) / (f["present"] - w["present"])
    checks.that("mean", abs(mean - sum(present) / len(present)) < 1e-6, mean)
    checks.equal("values", now["sex"]["values"], ["female", "male"])
    checks.equal("unknown version", service.control("GET", "/api/v1/models/usual/versions/9/features")[0], 404)


def check_settings(service):
    """An endpoint's own rules come before the document's, until they are taken away."""
    odd = row(bill_length_mm=61)

    def put(validation):
        return service.control("PUT", "/api/v1/endpoints/open-live", {"validation": validation})

    def ask():
        return service.infer("POST", path("open-live"), body(odd))[0]

    checks.equal("the document's: all off", ask(), 200)
    checks.equal("set", put({"range": "reject"})[0], 200)
    checks.that("the endpoint's", service.until(lambda: ask() == 400))
    checks.equal("the model by its own name has the document's",
                 service.infer("POST", path("open"), body(odd))[0], 200)
    for bad, *pieces in (({"range": "refuse"}, "range", "refuse"), ({"margn": 1}, "margn", "margin"),
                         ({"columns": {"year": {"min": 3, "max": 2}}}, "min", "max"), ("none", "none", "pass"),
                         (7, "validation"),
                         ({"columns": {"bill_lenght_mm": "pass"}}, "bill_lenght_mm", "bill_length_mm", "/validation")):
        status, answer = put(bad)[:2]
        checks.equal(f"refused {bad}", status, 422)
        checks.has("its message", str(answer), *pieces)
    checks.equal("as it was", ask(), 400)
    checks.equal("one action for all rules", put("pass")[0], 200)
    checks.that("passes", service.until(lambda: ask() == 200))
    put({"range": "reject"})
    checks.that("and rejects", service.until(lambda: ask() == 400))
    checks.equal("taken away", put(None)[0], 200)
    checks.that("the document's again", service.until(lambda: ask() == 200))


def check_lost_column(lathe, service):
    """A version without a column that an endpoint's rules name is not served by it, whichever way it would be, unless forced."""
    def models(verb, **body):
        return service.control("POST", f"/api/v1/models/usual/{verb}", body)

    def served():
        return service.control("GET", "/api/v1/endpoints/usual-live")[1]["version"]

    def refused(what, status, answer, label="usual@2"):
        checks.equal(f"{what}: refused", status, 409)
        checks.has(f"{what}: why", answer["error"], "'usual-live'", "'year'", label, "does not take", "PUT /api/v1/endpoints/")

    checks.equal("rules for a column", service.control("PUT", "/api/v1/endpoints/usual-live",
                                                       {"validation": {"columns": {"year": "reject", "sex": "pass"}}})[0], 200)
    with open(os.path.join(DATA, "penguins.csv")) as file:
        rows = list(csv.reader(file))
    path = lathe.write("no_year.csv", "".join(",".join(r[:rows[0].index("year")]) + "\n" for r in rows))
    less = document("usual", None)
    less["prepare"]["source"]["csv"]["path"] = path
    less["deploy"]["model"] = "usual"
    r = lathe.run("run", "--server", f"http://127.0.0.1:{service.ports['control']}", lathe.write("less.json", less), "--json")
    checks.equal("the run itself is fine", r.returncode, 0)
    run = json.loads(r.stdout)
    checks.equal("registered", run["model"]["version"], 2)
    checks.that("but not served", served() == 1 and "endpoint" not in run["model"], run["model"])
    events = service.control("GET", f"/api/v1/runs/{run['run']}/events?limit=1000")[1]["events"]
    checks.that("it says so", any(e["event"]["event"] == "log" and "'year'" in e["event"]["message"] for e in events), events[-5:])
    status, answer, _ = models("promote", version=2)
    refused("alias", status, answer)
    checks.equal("alias: which", answer["checks"], [{"endpoint": "usual-live", "column": "year"}])
    refused("promotion", *service.control("POST", "/api/v1/endpoints/usual-live/promote", {"version": 2})[:2])
    refused("target", *service.control("PUT", "/api/v1/endpoints/usual-live", {"model": "usual", "version": 2})[:2])
    share = {"traffic": [{"model": "usual", "version": 2, "percent": 5}]}
    refused("share", *service.control("PUT", "/api/v1/endpoints/usual-live", share)[:2])
    status, answer, _ = service.control("PUT", "/api/v1/endpoints/usual-live",
                                        dict(share, validation={"columns": {"year": "pass"}}))
    checks.that("a share and rules that it lacks a column of", status == 422 and "year" in answer["error"], (status, answer))
    checks.equal("no share came of it", service.control("GET", "/api/v1/endpoints/usual-live")[1]["settings"].get("traffic"), None)
    refused("canary", *service.control("POST", "/api/v1/endpoints/usual-live/canary", {"version": 2})[:2])
    exported = lathe.path("usual.model")
    checks.equal("export", lathe.run("models", "export", "usual@2", "-o", exported).returncode, 0)
    with open(exported, "rb") as file:
        content = file.read()
    refused("import", *service.control("POST", "/api/v1/models/usual/import?alias=live", content)[:2], label="the imported file")
    r = lathe.run("models", "promote", "usual@2")
    checks.equal("command line", r.returncode, 3)
    checks.has("its message", r.stderr, "'year'", "--force")
    checks.equal("an alias that it does not follow", models("promote", version=2, alias="other")[0], 200)
    checks.equal("all this moved nothing", served(), 1)
    checks.equal("a forced share", service.control("PUT", "/api/v1/endpoints/usual-live", dict(share, force=True, reason="a try"))[0], 200)
    checks.equal("it has it", service.control("GET", "/api/v1/endpoints/usual-live")[1]["settings"]["traffic"], share["traffic"])
    checks.equal("and loses it", service.control("PUT", "/api/v1/endpoints/usual-live", {"traffic": None})[0], 200)
    checks.equal("forced", models("promote", version=2, force=True, reason="urgent")[0], 200)
    checks.equal("served", served(), 2)
    audit = [a for a in service.control("GET", "/api/v1/audit?limit=1000")[1]["audit"] if a["action"] == "validation.overridden"]
    checks.that("audited", len(audit) == 2 and {a["detail"]["reason"] for a in audit} == {"a try", "urgent"}, audit)
    audit = [a for a in audit if a["detail"]["reason"] == "urgent"]
    checks.that("how", len(audit) == 1 and audit[0]["subject"] == "usual@2" and
                audit[0]["detail"] == {"reason": "urgent", "columns": [{"endpoint": "usual-live", "column": "year"}]}, audit)
    no_year = json.dumps({"inputs": [i for i in json.loads(body(ROW))["inputs"] if i["name"] != "year"]})
    checks.equal("it answers", service.infer("POST", "/v2/models/usual-live/infer", no_year)[0], 200)
    checks.equal("back", models("rollback")[0], 200)
    checks.equal("other rules", service.control("PUT", "/api/v1/endpoints/usual-live", {
        "model": "usual", "version": 2, "validation": {"columns": {"sex": "pass"}}})[0], 200)
    checks.equal("with them it is taken", served(), 2)


def check_command_line(lathe, where, *more):
    """An endpoint's own rules by the command line, through a service or on the home itself."""
    def rules(text, code=0):
        r = lathe.run("endpoints", "set", "open-live", "--validation", text, *more)
        checks.equal(f"{where}: {text}", r.returncode, code)
        return r.stderr

    def own():
        return json.loads(lathe.run("endpoints", "show", "open-live", "--json", *more).stdout)["settings"].get("validation")

    rules('{"range": "reject", "columns": {"year": {"max": 2100}}}')
    checks.equal(f"{where}: kept", own(), {"range": "reject", "columns": {"year": {"max": 2100}}})
    rules("flag")
    checks.equal(f"{where}: one for all", own(), "flag")
    for text, code, words in (("refuse", (1, 2), ("refuse", "reject")), ('{"range": "reject"', (2,), ("--validation:1:19",)),
                              ('{"range": "no"}', (1, 2), ('"range" is "no"',)), ("", (1, 2), ("validation",)),
                              ('{"columns": {"yaer": "flag"}}', (1, 2), ("yaer", "year"))):
        r = lathe.run("endpoints", "set", "open-live", "--validation", text, *more)
        checks.that(f"{where}: {text} is refused", r.returncode in code, (r.returncode, r.stderr))
        checks.has(f"{where}: why", r.stderr, *words)
    checks.equal(f"{where}: unchanged", own(), "flag")
    rules("null")
    checks.equal(f"{where}: the document's again", own(), None)


with Lathe() as lathe:
    strict = {"range": "reject", "domain": "reject", "nulls": "reject", "type": "flag",
              "columns": {"flipper_length_mm": "flag", "body_mass_g": {"max": 9000}}}
    for name, validation in (("usual", None), ("strict", strict), ("open", "pass")):
        r = lathe.run("run", lathe.write(name + ".json", document(name, validation)), "--json")
        checks.equal("training run", r.returncode, 0)
    # what the document gets wrong is told with its place
    bad = document("bad", {"range": "refuse", "margn": 1, "columns": {"year": {"min": 3, "max": 2}, "sex": "none"}})
    r = lathe.run("validate", lathe.write("bad.json", bad))
    checks.equal("bad settings", r.returncode, 2)
    checks.has("all faults", r.stderr, "/deploy/validation/range", "margn", "margin", "/deploy/validation/columns/year",
               "/deploy/validation/columns/sex")
    bad = document("bad", {"columns": {"bill_lenght_mm": "pass"}})
    r = lathe.run("run", lathe.write("bad.json", bad))
    checks.that("a column that is not there", r.returncode != 0)
    checks.has("its message", r.stderr, "bill_lenght_mm", "bill_length_mm", "/deploy/validation/columns")

    with Service(lathe, "--workers", "1", config={"data_roots": [lathe.dir]}) as service:
        check_flags(service)
        check_rejects(service)
        check_binary_and_large(service)
        status, _, headers = service.infer("POST", path("open-live"),
                                           body(row(year=None, island="Mars", body_mass_g=-1, bill_depth_mm="deep")))
        checks.equal("all rules off", (status, "lathe-flags" in headers), (200, False))
        checks.equal("counted nothing", service.metric("lathe_validation_rows_total", 'model="open"'), 0)
        check_settings(service)
        check_statistics(service, os.path.join(DATA, "penguins.csv"))
        before = service.metric("lathe_validation_rows_total", 'model="usual"')
        os.kill(service.workers()[0], signal.SIGKILL)
        service.until(lambda: service.metric("lathe_worker_restarts_total") == 1 and service.ready())
        checks.equal("counts outlive a worker", service.metric("lathe_validation_rows_total", 'model="usual"'), before)
        checks.that("statistics outlive it", service.control(
            "GET", "/api/v1/models/usual/versions/1/features")[1]["rows"] > 600)
        check_lost_column(lathe, service)
        lathe.run("endpoints", "set", "open-live", "--validation", '{"range": "reject"}')
        checks.equal("the new rules hold", service.infer("POST", path("open-live"), body(row(body_mass_g=-1)))[0], 400)
        check_command_line(lathe, "socket")
        check_command_line(lathe, "server", "--server", f"http://127.0.0.1:{service.ports['control']}")
        checks.equal("the document's hold again", service.infer("POST", path("open-live"), body(row(body_mass_g=-1)))[0], 200)
        checks.equal("orderly stop", service.stop(), 0)
    check_command_line(lathe, "home")
checks.end()
