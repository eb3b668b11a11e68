"""Served rows held against training: windows, scores, alerts, and what a broken measure does not harm."""

import http.client
import json
import os
import random
import threading
import time

from liblathe import SANITIZED, Checks, Lathe, wait_until
from libsoak import Service, train

checks = Checks()
COLOURS = ["red", "green", "blue"]


def make_rows(n, seed, shift=0.0, colour=None):
    """Rows (x, noise, colour, y) whose class depends on x."""
    rng = random.Random(seed)
    rows = []
    for _ in range(n):
        x = rng.gauss(shift, 1)
        rows.append((x, rng.random(), colour or rng.choice(COLOURS), "yes" if x + rng.gauss(0, 0.3) > 0 else "no"))
    return rows


def document(lathe, name, monitor, rows=None):
    path = lathe.write("train.csv", "x,noise,colour,y\n" + "".join(
        f"{x!r},{noise!r},{colour},{y}\n" for x, noise, colour, y in rows or make_rows(3000, 1)))
    out = {"lathe": 1, "name": name, "seed": 1, "goal": {"task": "classification", "target": "y", "positive": "yes", "metric": "auc"},
           "prepare": {"source": {"csv": {"path": path}}, "split": {"random": {"test": 0.3}}},
           "train": {"candidates": {"c": {"linear": {"loss": "cross_entropy"}}}},
           "deploy": {"endpoint": name + "-live", "when": "always"}}
    if monitor is not None:
        out["monitor"] = monitor
    return out


def body(rows, id=None):
    n = len(rows)
    out = {"inputs": [{"name": "x", "shape": [n], "datatype": "FP64", "data": [r[0] for r in rows]},
                      {"name": "noise", "shape": [n], "datatype": "FP64", "data": [r[1] for r in rows]},
                      {"name": "colour", "shape": [n], "datatype": "BYTES", "data": [r[2] for r in rows]}]}
    if id is not None:
        out["id"] = id
    return out


def ask(service, name, rows, batch=50):
    """All rows, in requests of several and of single ones."""
    for at in range(0, len(rows), batch):
        status, answer = service.infer("POST", f"/models/{name}-live/infer", body(rows[at:at + batch]))
        if status != 200:
            return checks.that("a prediction", False, (status, answer))
    return True


def drift(service, name, version=1):
    return service.api("GET", f"/models/{name}/versions/{version}/drift")[1]


def alerts(service, name, *kinds):
    return [a for a in service.api("GET", f"/alerts?model={name}")[1]["alerts"] if not kinds or a["kind"] in kinds]


def window(service, name, rows):
    """Serves rows and waits until their window has been scored."""
    before = drift(service, name).get("windows", 0)
    ask(service, name, rows)
    checks.that("the window is scored", wait_until(lambda: drift(service, name).get("windows", 0) > before, 20), drift(service, name))
    return drift(service, name)


def scores(shown, part, feature):
    found = next(f for f in shown["last"][part] if f["name"] == feature)
    return {s["metric"]: s for s in found["scores"]}


def follow(service, events):
    """The audit log as a stream."""
    c = http.client.HTTPConnection("127.0.0.1", service.control, timeout=60)
    c.request("GET", "/api/v1/events", headers={"Accept": "text/event-stream"})
    try:
        for line in c.getresponse():
            if line.startswith(b"data: "):
                events.append(json.loads(line[6:]))
    except (OSError, ValueError, http.client.HTTPException):
        pass


def check_windows(service):
    """No alert without drift; one alert for several features that drift, one for its end; no storm."""
    checks.equal("not yet", drift(service, "m"), {"model": "m", "version": 1, "watched": False})
    ask(service, "m", make_rows(120, 2, shift=3))
    checks.that("too few rows", wait_until(lambda: drift(service, "m")["watched"], 20))
    shown = drift(service, "m")
    checks.that("it waits for a whole window", shown["windows"] == 0 and shown["window"] == 400 and
                wait_until(lambda: drift(service, "m")["rows"] == 120, 10), shown)
    ask(service, "m", make_rows(280, 3))
    checks.that("the first window", wait_until(lambda: drift(service, "m")["windows"] == 1, 20))
    shown = window(service, "m", make_rows(400, 10))
    checks.equal("calm: no alert", (alerts(service, "m"), shown["alerting"]), ([], []))
    checks.that("calm: low scores", scores(shown, "features", "x")["psi"]["statistic"] < 0.15 and
                set(scores(shown, "features", "x")) == {"psi", "ks", "wasserstein"} and
                set(scores(shown, "features", "colour")) == {"psi"} and
                set(scores(shown, "outputs", "prediction")) == {"psi"} and
                scores(shown, "outputs", "confidence")["psi"]["statistic"] < 0.15, shown)
    events = []
    threading.Thread(target=follow, args=(service, events), daemon=True).start()
    time.sleep(0.3)
    shown = window(service, "m", make_rows(400, 20, shift=1.5, colour="red"))
    checks.that("one window beyond is no alert", alerts(service, "m") == [] and scores(shown, "features", "x")["psi"]["beyond"], shown)
    for i in range(3):
        shown = window(service, "m", make_rows(400, 21 + i, shift=1.5, colour="red"))
    told = alerts(service, "m")
    checks.equal("two alerts, however long it lasts", sorted(a["kind"] for a in told), ["drift", "prediction_drift"])
    features = next(a for a in told if a["kind"] == "drift")
    checks.that("what it says", features["severity"] == "warning" and features["endpoint"] == "m-live" and features["version"] == 1 and
                '"x"' in features["message"] and '"colour"' in features["message"] and "feature" not in features or
                features.get("feature", "") == "", features)
    checks.equal("the scores that raised it", {(s["feature"], s["metric"]) for s in features["detail"]["scores"]},
                 {("x", "psi"), ("x", "ks"), ("x", "wasserstein"), ("colour", "psi")})
    checks.that("noise is calm", all(a["feature"] != "noise" for a in shown["alerting"]), shown["alerting"])
    checks.that("by the stream", wait_until(lambda: {e["event"] for e in events} == {"alert.raise"}, 10), events)
    audit = [a for a in service.api("GET", "/audit?limit=1000")[1]["audit"] if a["action"] == "alert.raise"]
    checks.that("audit", len(audit) == 2 and {a["subject"] for a in audit} == {"m@1"} and audit[0]["actor"] == "service:watch", audit)
    text = service.ask(service.control, "GET", "/metrics")[2].decode()
    for series in ('lathe_drift_score{model="m",version="1",feature="x",metric="psi"} ',
                   'lathe_prediction_drift_score{model="m",version="1",output="prediction",metric="psi"} ',
                   'lathe_drift_alerting{model="m",version="1"} ', 'lathe_drift_windows_total{model="m",version="1"} '):
        checks.has("metrics", text, "\n" + series)
    return shown


def check_end(service):
    for i in range(2):
        shown = window(service, "m", make_rows(400, 40 + i))
    told = alerts(service, "m")
    checks.equal("their ends are told once", sorted((a["kind"], a["severity"]) for a in told),
                 [("drift", "info"), ("drift", "warning"), ("prediction_drift", "info"), ("prediction_drift", "warning")])
    checks.equal("nothing is raised any more", shown["alerting"], [])


def label_until_killed(service):
    """One label a call, until the service is killed meanwhile: (acknowledged, sent)."""
    acknowledged = sent = 0
    threading.Timer(0.4, service.kill).start()
    try:
        while True:
            rows = make_rows(1, 7000 + sent)
            service.infer("POST", "/models/told-live/infer", body(rows, id=f"last-{sent}"))
            sent += 1
            acknowledged += labels(service, "told-live", [{"id": f"last-{sent - 1}", "label": rows[0][3]}])[1]["matched"]
    except (OSError, ValueError, http.client.HTTPException):
        return acknowledged, sent


def check_kept(service, before, least, most):
    """Labels that were acknowledged, the metric and its alarm are there after kill -9; answers without a label are forgotten."""
    def quality(name):
        return drift(service, name).get("quality", {})

    checks.that("the metric again", wait_until(lambda: "value" in quality("told"), 20), drift(service, "told"))
    shown, was = dict(quality("told")), dict(before["quality"])
    checks.that("about the same value", abs(shown.pop("value") - was.pop("value")) < 0.1, (quality("told"), before))
    checks.equal("the same window", shown, was)
    checks.equal("not raised again", len(alerts(service, "told", "quality")), before["alerts"])
    checks.that("of the version that was labelled last", wait_until(lambda: "labelled" in quality("other"), 20))
    kept = quality("other")["labelled"]
    checks.that("all that was acknowledged", least <= kept <= most, (least, kept, most))
    checks.equal("an answer of before", labels(service, "told-live", [{"id": "last-0", "label": "yes"}])[1]["unmatched"], 1)
    rows = make_rows(30, 9000)
    service.infer("POST", "/models/told-live/infer", body(rows, id="anew"))
    told = [{"id": "anew", "row": i, "label": r[3]} for i, r in enumerate(rows)]
    checks.that("it goes on", labels(service, "told-live", told)[1]["matched"] == 30 and quality("other")["labelled"] == kept + 30,
                (kept, quality("other")))


def check_restart(lathe, service):
    """What was raised before a restart is not raised again."""
    for i in range(2):
        window(service, "m", make_rows(400, 60 + i, shift=1.5))
    checks.equal("raised", len(alerts(service, "m")), 6)
    before = {"quality": drift(service, "told")["quality"], "alerts": len(alerts(service, "told", "quality"))}
    labelled = drift(service, "other")["quality"]["labelled"]
    acknowledged, sent = label_until_killed(service)
    checks.that("some labels before it was killed", acknowledged > 3, acknowledged)
    service.kill()
    with Service(lathe, workers=2) as again:
        check_kept(again, before, labelled + acknowledged, labelled + sent)
        for i in range(2):
            shown = window(again, "m", make_rows(400, 70 + i, shift=1.5))
        checks.that("still raised", len(alerts(again, "m")) == 6 and shown["alerting"], (alerts(again, "m"), shown["alerting"]))
        for i in range(2):
            window(again, "m", make_rows(400, 80 + i))
        checks.equal("ended", len(alerts(again, "m")), 8)
        rows = make_rows(4, 9100)
        again.infer("POST", "/models/told-live/infer", body(rows, id="over the stop"))
        told = [{"id": "over the stop", "row": i, "label": r[3]} for i, r in enumerate(rows)]
        checks.equal("one has its label", labels(again, "told-live", told[:1])[1]["matched"], 1)
        checks.equal("stop", again.stop(), 0)
    with Service(lathe, workers=1) as third:
        checks.has("answers wait", third.text(), "answers wait for labels")
        last = []
        checks.that("the profile is read", wait_until(lambda: last.append(labels(third, "told-live", told)) or last[-1][0] == 200, 10))
        checks.equal("the others get theirs", last[-1][1], {"matched": 3, "repeated": 1, "unmatched": 0, "invalid": 0})
        checks.that("the file is gone", not os.path.exists(lathe.path("home/answers.bin")))
        # a version of before: its labels are nobody's, and hold up no others
        third.infer("POST", "/models/told-live/infer", body(rows, id="old"))
        checks.equal("another is served", third.api("PUT", "/endpoints/told-live", {"model": "liar", "version": 1})[0], 200)
        for name in ("other", "other-live"):
            checks.equal("unloaded", third.ask(third.inference, "POST", f"/v2/repository/models/{name}/unload", {})[0], 200)
        checks.that("it is not watched any more", wait_until(lambda: "quality" not in drift(third, "other"), 10))
        answer = labels(third, "told-live", [{"id": "old", "row": 0, "label": "yes"}])
        checks.equal("unmatched", answer, (200, {"matched": 0, "repeated": 0, "unmatched": 1, "invalid": 0}))
        checks.equal("stop", third.stop(), 0)


def check_quiet(service):
    """A document without a monitor; a window that is closed by time; few values that chance explains."""
    ask(service, "quiet", make_rows(500, 2, shift=3))
    shown = window(service, "slow", make_rows(60, 90, shift=3))
    checks.that("by time", shown["last"]["rows"] < 100000 and shown["last"]["rows"] >= 20, shown["last"])
    checks.equal("not watched", drift(service, "quiet")["watched"], False)
    for i in range(3):
        shown = window(service, "small", make_rows(40, 100 + i))
    x = scores(shown, "features", "x")["psi"]
    checks.that("chance alone alerts nothing", alerts(service, "small") == [] and x["threshold"] == 0.05 and
                (x.get("by_chance") or not x["beyond"]), x)


def check_broken(service):
    """A measure that crashes: its worker is named, predictions go on, one alert."""
    for name, what in (("crash", "org.test.stormy crashed in compare"), ("fail", "org.test.stormy")):
        for i in range(4):
            before = service.metric("lathe_drift_failures_total")
            ask(service, name, make_rows(60, i))
            checks.that("no scores", wait_until(lambda: service.metric("lathe_drift_failures_total") > before, 20))
        told = alerts(service, name)
        checks.that(f"{name}: one alert", len(told) == 1 and told[0]["kind"] == "monitor" and what in told[0]["message"], told)
    checks.equal("no worker was harmed", service.metric("lathe_worker_restarts_total"), 0)


def check_documents(lathe):
    for key, value in (("min_rows", 0), ("alert_after", "x"), ("window_seconds", 0), ("windows", 3)):
        path = lathe.write("bad.json", document(lathe, "bad", {"drift": ["psi"], key: value}))
        r = lathe.run("validate", path)
        checks.that(f"refused: {key}", r.returncode == 2 and f"/monitor/{key}" in r.stderr, (r.returncode, r.stderr))


def canary(service, name, model, guards, rows, **more):
    """A canary under guards, and its end after it has served rows: (state, reason, verdict, alert)."""
    endpoint = name + "-live"
    status, answer = service.api("POST", f"/endpoints/{endpoint}/canary", dict({
        "model": model, "steps": [50, 100], "bake_seconds": 0, "min_requests": 200, "guards": guards}, **more))
    checks.equal("canary", status, 200)
    begun = time.monotonic()
    state = {}

    def ended():
        ask(service, name, rows(), batch=5)
        state.update(service.api("GET", f"/endpoints/{endpoint}/rollouts")[1]["rollouts"][0])
        return state["state"] != "running"

    checks.that(f"{model} under {guards} ends", wait_until(ended, 40), (state, time.monotonic() - begun))
    return state, alerts(service, model, "rollout")[:1]


def check_canaries(service):
    """Rows that are not those of training, and predictions that are not: rolled back by name; else promoted."""
    seed = iter(range(1000, 100000))
    calm = lambda: make_rows(150, next(seed))  # noqa: E731
    far = lambda: make_rows(150, next(seed), shift=2)  # noqa: E731
    state, told = canary(service, "quiet", "other", {"feature_drift": 0.3, "output_drift": 0.3}, far)
    checks.that("the guard and the feature", state["state"] == "rolled_back" and state["verdict"]["condition"] == "feature_drift" and
                state["verdict"]["subject"] == "x" and state["verdict"]["measured"] > 0.3 and
                'feature_drift of "x" is' in state["reason"], state)
    checks.that("its alert", told and told[0]["severity"] == "critical" and 'feature_drift of "x"' in told[0]["message"], told)
    state, told = canary(service, "quiet", "other", {"output_drift": 0.3}, far)
    checks.that("its predictions", state["state"] == "rolled_back" and state["verdict"]["condition"] == "output_drift" and
                state["verdict"]["subject"] in ("prediction", "confidence"), state)
    state, told = canary(service, "quiet", "other", {"feature_drift": 0.3, "output_drift": 0.3, "error_ratio": 0.01}, calm)
    checks.equal("a calm one is promoted", state["state"], "promoted")
    red = lambda: make_rows(150, next(seed), colour="red")  # noqa: E731
    quick = {"steps": [100], "min_requests": 50}
    measures = {"feature_drift": {"ks": 0.15, "chi2": 0.15}, "output_drift": {"js": 0.1, "wasserstein": 0.8}}
    for rows, subject, measure in ((far, "x", "ks"), (red, "colour", "chi2")):
        state, told = canary(service, "quiet", "quiet", measures, rows, **quick)
        checks.that(f"by {measure}", state["state"] == "rolled_back" and state["verdict"]["condition"] == "feature_drift" and
                    (state["verdict"]["subject"], state["verdict"]["measure"]) == (subject, measure) and
                    state["verdict"]["measured"] > state["verdict"]["limit"] and f"({measure})" in state["reason"], state)
    state, told = canary(service, "quiet", "quiet", {"output_drift": {"js": 0.1}}, far, **quick)
    checks.that("by js", state["state"] == "rolled_back" and state["verdict"]["measure"] == "js", state)
    state, told = canary(service, "quiet", "quiet", {"feature_drift": {"wasserstein": 0.8}}, far, **quick)
    checks.that("by wasserstein", state["state"] == "rolled_back" and state["verdict"]["condition"] == "feature_drift" and
                (state["verdict"]["subject"], state["verdict"]["measure"], state["verdict"]["limit"]) == ("x", "wasserstein", 0.8) and
                state["verdict"]["measured"] > 0.8 and "(wasserstein)" in state["reason"], state)
    state, told = canary(service, "quiet", "quiet", measures, calm, **quick)
    checks.equal("a calm one under all measures", state["state"], "promoted")
    status, answer = service.api("POST", "/endpoints/quiet-live/canary", {"model": "other", "guards": {"feature_drift": {"kss": 0.1}}})
    checks.that("an unknown measure", status == 422 and 'did you mean "ks"' in answer["error"], (status, answer))
    status, answer = service.api("POST", "/endpoints/quiet-live/canary", {"model": "uncounted", "guards": {"feature_drift": 1}})
    checks.that("rows that nobody counts", status == 422 and "validation/statistics" in answer["error"], (status, answer))


def labels(service, endpoint, items):
    return service.api("POST", f"/endpoints/{endpoint}/labels", {"labels": items})


def check_labels(service):
    """Joined by id and row, once; the metric of the goal; what it costs a canary to be wrong."""
    rows = make_rows(400, 500)
    for i in range(0, 400, 20):
        service.infer("POST", "/models/told-live/infer", body(rows[i:i + 20], id=f"batch-{i}"))
    told = [{"id": f"batch-{i - i % 20}", "row": i % 20, "label": r[3]} for i, r in enumerate(rows)]
    checks.that("the profile is read", wait_until(lambda: labels(service, "told-live", told[:1])[0] == 200, 10))
    checks.equal("labels", labels(service, "told-live", told), (200, {"matched": 399, "repeated": 1, "unmatched": 0, "invalid": 0}))
    checks.equal("again", labels(service, "told-live", told)[1]["repeated"], 400)
    service.infer("POST", "/models/told-live/infer", body(rows[:1], id="odd one"))
    for label, counted in (("maybe", "invalid"), ("yes", "matched")):
        checks.equal(f"the label {label}", labels(service, "told-live", [{"id": "odd one", "label": label}])[1][counted], 1)
    for item, counted in (({"id": "never", "label": "yes"}, "unmatched"), ({"id": "batch-0", "row": 20, "label": "yes"}, "unmatched")):
        checks.equal(f"{item}", labels(service, "told-live", [item])[1][counted], 1)
    for bad in ({}, {"labels": 3}, {"labels": []}, {"labels": [{"id": "x"}]}, {"labels": [{"id": 3, "label": 1}]},
                {"labels": [{"id": "x", "label": None}]}, {"labels": [{"id": "x", "label": 1, "row": -1}]}, {"labels": [{"id": "x", "label": 1, "n": 1}]}):
        checks.that(f"refused: {bad}", service.api("POST", "/endpoints/told-live/labels", bad)[0] in (400, 422), bad)
    checks.equal("no such endpoint", labels(service, "nothing", told[:1])[0], 404)

    def scored():
        return drift(service, "told").get("quality", {}).get("value") is not None

    checks.that("the metric", wait_until(scored, 20) and drift(service, "told")["quality"]["metric"] == "auc" and
                drift(service, "told")["quality"]["value"] > 0.95 and drift(service, "told")["quality"]["training"] > 0.95 and
                not drift(service, "told")["quality"]["alerted"], drift(service, "told"))
    text = service.ask(service.control, "GET", "/metrics")[2].decode()
    checks.has("metrics", text, '\nlathe_quality_score{model="told",version="1",metric="auc"} 0.9', '\nlathe_labels_total{result="matched"} 401')
    # the world has changed: the truth is the opposite
    flip = {"yes": "no", "no": "yes"}
    rows = make_rows(300, 501)
    service.infer("POST", "/models/told-live/infer", body(rows[:150], id="flipped-0"))
    service.infer("POST", "/models/told-live/infer", body(rows[150:], id="flipped-1"))
    labels(service, "told-live", [{"id": f"flipped-{i // 150}", "row": i % 150, "label": flip[r[3]]} for i, r in enumerate(rows)])
    checks.that("an alert of quality", wait_until(lambda: alerts(service, "told", "quality"), 20) and
                "auc of the last 701 labelled answers" in alerts(service, "told", "quality")[0]["message"] and
                drift(service, "told")["quality"]["alerted"], alerts(service, "told"))
    number = iter(range(10 ** 6))

    def serve_labelled():
        """Single requests and their labels."""
        told = []
        rows = make_rows(60, 600 + next(number))
        for r in rows:
            name = f"r{next(number)}"
            service.infer("POST", "/models/told-live/infer", body([r], id=name))
            told.append({"id": name, "label": r[3]})
        labels(service, "told-live", told)

    # one that is as good is worse by chance half of the time: not enough for a limit of 0
    for model, end, limit in (("liar", "rolled_back", 0.1), ("other", "promoted", {"limit": 0, "confidence": 0.999})):
        checks.equal("canary", service.api("POST", "/endpoints/told-live/canary", {
            "model": model, "steps": [50], "bake_seconds": 0, "min_requests": 60, "guards": {"quality_drop": limit}})[0], 200)
        state = {}

        def ended():
            serve_labelled()
            state.update(service.api("GET", "/endpoints/told-live/rollouts")[1]["rollouts"][0])
            return state["state"] != "running"

        checks.that(f"{model} ends", wait_until(ended, 40), state)
        checks.equal(f"{model}: how", state["state"], end)
        if end == "rolled_back":
            checks.that("by its quality", state["verdict"]["condition"] == "quality_drop" and state["verdict"]["measured"] > 0.5 and
                        "quality_drop is" in state["reason"] and "(confidence 0.95)" in state["reason"], state)
    service.infer("POST", "/models/told/infer", body(rows[:1], id="late-0"))
    checks.equal("by the model's own name there is another key", labels(service, "told-live", [{"id": "late-0", "label": "yes"}])[1]["unmatched"], 1)


with Lathe(plugins=("stormy",)) as lathe:
    check_documents(lathe)
    measures = ["psi", {"ks": {"threshold": 0.15}}, {"wasserstein": {"threshold": 0.8}}]
    train(lathe, document(lathe, "m", {"drift": measures, "window": 400}))
    train(lathe, document(lathe, "quiet", None))
    train(lathe, document(lathe, "other", None))
    train(lathe, document(lathe, "told", {"quality_drop": 0.05, "min_rows": 100, "alert_after": 1}))
    train(lathe, document(lathe, "liar", None, [r[:3] + ({"yes": "no", "no": "yes"}[r[3]],) for r in make_rows(3000, 5)]))
    uncounted = document(lathe, "uncounted", None)
    uncounted["deploy"]["validation"] = {"statistics": False}
    train(lathe, uncounted)
    train(lathe, document(lathe, "slow", {"drift": ["psi"], "window": 100000, "window_seconds": 1, "min_rows": 20}))
    train(lathe, document(lathe, "small", {"drift": [{"psi": {"threshold": 0.05}}], "window": 40, "min_rows": 20, "alert_after": 1}))
    for harm in ("crash", "fail"):
        train(lathe, document(lathe, harm, {"drift": [{"stormy": {"harm": harm}}], "window": 50, "min_rows": 10}))
    with Service(lathe, workers=2) as service:
        check_windows(service)
        check_end(service)
        check_quiet(service)
        check_broken(service)
        check_canaries(service)
        check_labels(service)
        r = lathe.run("drift", "m@1")
        checks.that("the command line", r.returncode == 0 and json.loads(lathe.run("drift", "m@1", "--json").stdout)["watched"], r.stderr)
        check_restart(lathe, service)
checks.end()
