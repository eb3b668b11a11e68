"""The command line through a service: by --server with a token, and, where a service holds the home, over its socket."""

import json
import os
import shutil
import signal
import stat
import time

from liblathe import DATA, SLOWER, Checks, Lathe, parse, wait_until
from libapi import Service

checks = Checks()


def document(path, name="birds", **more):
    return {
        "lathe": 1, "name": name, "seed": 1, "params": {"rounds": 5},
        "goal": {"task": "classification", "target": "species", "metric": "log_loss"},
        "prepare": {"source": {"csv": {"path": path, "missing": ["NA"]}}},
        "train": {"candidates": {"trees": {"gbdt": {"rounds": "${rounds}"}}}},
        "deploy": {"endpoint": name, "when": "always"}, **more,
    }


with Lathe() as lathe:
    # without a service: what needs one says so
    r = lathe.run("runs", "cancel", "latest")
    checks.that("cancel without a service", r.returncode == 2, r.stderr)
    r = lathe.run("audit")
    checks.equal("audit without a service", r.returncode, 2)
    checks.has("says what to do", r.stderr, "lathe serve", "--server")

    root = lathe.path("data")
    os.makedirs(root)
    shutil.copy(os.path.join(DATA, "penguins.csv"), root)
    local = lathe.run("run", lathe.write("local.json", document(os.path.join(root, "penguins.csv"))), "--json")
    checks.equal("run without a service", local.returncode, 0)
    secret = lathe.run("tokens", "create", "root", "--role", "admin").stdout.strip()
    reader = lathe.run("tokens", "create", "reader", "--role", "read").stdout.strip()
    backups = lathe.path("backups")
    service = Service(lathe, {"data_roots": [root], "backups": backups})
    with service:
        url = f"http://127.0.0.1:{service.ports['control']}"
        env = {"LATHE_SERVER": url, "LATHE_TOKEN": secret, "LATHE_HOME": lathe.path("elsewhere")}

        def remote(*args, code=0, **more):
            r = lathe.run(*args, env={**env, **more})
            checks.equal(f"{args} through the service ({r.stderr.strip()})", r.returncode, code)
            return r

        # the socket: for its owner alone; no token is asked for
        socket = os.path.join(lathe.home, "control.sock")
        checks.equal("the socket's mode", stat.S_IMODE(os.stat(socket).st_mode), 0o600)
        r = lathe.run("tokens", "create", "more", "--role", "infer", "--json")
        checks.equal("a token over the socket", (r.returncode, (parse(r.stdout) or {}).get("name")), (0, "more"))
        r = lathe.run("run", lathe.write("data/beside.json", document("penguins.csv", "beside")), "--json")
        result = parse(r.stdout) or {}
        checks.equal("run over the socket, reading what lies beside the document", (r.returncode, result.get("status")),
                     (0, "succeeded"))
        checks.has("progress is drawn", r.stderr, "train")
        checks.equal("run and its model", result.get("model", {}).get("name"), "beside")
        checks.equal("reading verbs still read", lathe.run("models", "list").returncode, 0)

        # by --server
        r = lathe.run("--server", url, "models", "list")
        checks.equal("an option before the command is none", r.returncode, 2)
        r = lathe.run("models", "list", "--server", url)
        checks.equal("without a token", r.returncode, 1)
        checks.has("says why", r.stderr, "401")
        r = lathe.run("models", "list", "--json", "--server", url, "--token", reader)
        checks.equal("with one", sorted(m["name"] for m in parse(r.stdout) or []), ["beside", "birds"])
        r = lathe.run("usage", "--server", url, "--token", secret)
        checks.equal("who asks for usage, by the secret", r.returncode, 0)
        checks.equal("whose use, by the name", lathe.run("usage", "--server", url, "--token", "more",
                                                         env={"LATHE_TOKEN": secret}).returncode, 0)
        r = lathe.run("drift", "birds", "--server", url, "--token", secret)
        checks.equal(f"drift of the newest version {r.stderr}", r.returncode, 0)
        r = lathe.run("projects", "set", "nosuch", "--rows-per-day", "3")
        checks.that("a project that is not there", r.returncode == 1 and "lathe projects create" in r.stderr, r.stderr)
        for verb in ("audit", "alerts", "drift", "health", "api"):
            r = lathe.run(verb, "--help", env={"LATHE_HOME": lathe.path("elsewhere")})
            checks.that(f"help without a service: {verb}", r.returncode == 0 and "usage:" in r.stdout, (r.returncode, r.stderr))
        r = lathe.run("models", "promote", "birds@1", "--server", url, f"--token={reader}")
        checks.equal("a role that may not", r.returncode, 1)
        r = lathe.run("models", "list", "--server", "ftp://x")
        checks.equal("no URL", r.returncode, 2)
        r = lathe.run("models", "list", "--server", "http://127.0.0.1:1")
        checks.equal("nobody there", r.returncode, 1)

        path = lathe.write("p.json", document("penguins.csv"))
        r = remote("run", path, "--json", "--set", "rounds=7")
        result = parse(r.stdout) or {}
        checks.equal("run", (result.get("status"), result.get("model", {}).get("version")), ("succeeded", 2))
        run = result["run"]
        checks.that("nothing was made elsewhere", not os.path.exists(lathe.path("elsewhere", "lathe.db")))
        unreached = document("penguins.csv", "unreached")
        unreached["goal"]["require"] = {"accuracy": ">= 2"}
        remote("run", lathe.write("u.json", unreached), code=3)
        broken = document("penguins.csv", "broken")
        broken["goal"]["target"] = "nosuch"
        r = remote("run", lathe.write("b.json", broken), code=1)
        checks.has("why it failed", r.stderr, "nosuch")
        bad = lathe.write("bad.json", "{\"lathe\": 1,\n\"nam\": 1}")
        r = remote("run", bad, code=2)
        checks.has("its faults with their places", r.stderr, "bad.json:2:1")
        remote("validate", bad, code=2)
        checks.has("valid", remote("validate", path).stdout, "valid: 1 candidates")
        slow = document("penguins.csv", "slow")
        slow["train"]["candidates"] = {"net": {"mlp": {"layers": [{"units": 512}] * 3, "epochs": 100000, "batch": 8}}}
        p = lathe.start("run", lathe.write("slow.json", slow), env=env)
        checks.that("it runs", wait_until(lambda: "running" in lathe.run("runs", "queue").stdout, 20))
        time.sleep(0.3)
        p.send_signal(signal.SIGINT)
        checks.equal("Ctrl-C cancels it", (p.wait(timeout=30 * SLOWER), p.communicate()[1].count("cancelling")), (130, 1))

        # the registry
        remote("models", "show", "birds@2", "--json")
        checks.has("versions", remote("models", "list", "birds").stdout, "version", "live")
        checks.has("intact", remote("models", "verify", "birds@2").stdout, "birds@2: intact")
        file = lathe.path("birds.model")
        remote("models", "export", "birds@2", "-o", file)
        remote("models", "export", "birds@2", "-o", file, code=2)
        again = parse(remote("models", "import", file, "--name", "copy", "--alias", "live").stdout)
        checks.equal("imported", (again.get("model"), again.get("version")), ("copy", 1))
        with open(file, "r+b") as f:
            f.seek(-40, 2)
            f.write(b"\xff" * 8)
        remote("models", "import", file, "--name", "damaged", code=1)
        checks.has("rollback", remote("models", "rollback", "birds").stdout, "birds@live is now version 1")
        checks.has("promote", remote("models", "promote", "birds@2").stdout, "birds@live is now version 2")
        rows = os.path.join(DATA, "penguins.csv")
        here = lathe.run("predict", "birds@2", rows).stdout
        checks.that("the same predictions", here and here == remote("predict", "birds@2", rows).stdout)
        checks.has("endpoints", remote("endpoints", "list").stdout, "beside", "birds")
        checks.has("an endpoint is set", remote("endpoints", "set", "birds", "birds@1").stdout, "birds@1")
        checks.equal("and shown", parse(remote("endpoints", "show", "birds", "--json").stdout)["version"], 1)
        checks.has("and goes back", remote("endpoints", "rollback", "birds").stdout, "birds")
        remote("endpoints", "show", "nosuch", code=1)

        # runs
        checks.has("list", remote("runs", "list", "--status", "failed").stdout, "broken")
        checks.equal("show", parse(remote("runs", "show", run, "--json").stdout)["run"], run)
        remote("runs", "show", "20200101-000000-000000", code=1)
        events = remote("runs", "events", run).stdout.splitlines()
        checks.equal("events", events, lathe.run("runs", "events", run).stdout.splitlines())
        remote("runs", "compare", run, "latest")
        report = lathe.path("r.html")
        remote("runs", "watch", run)
        remote("run", path, "--report", report)
        checks.that("the report", open(report).read(15).lower().startswith("<!doctype html"))

        # the rest
        remote("run", lathe.write("s.json", document("penguins.csv", "nightly", schedule="0 3 * * *")))
        checks.has("schedules", remote("schedules", "list").stdout, "nightly", "0 3 * * *")
        remote("schedules", "remove", "nightly")
        checks.equal("plugins", json.loads(remote("plugins", "list", "learner", "--json").stdout)["plugins"][0]["kind"],
                     "learner")
        checks.has("info", remote("plugins", "info", "gbdt").stdout, "learning_rate")
        remote("plugins", "info", "nosuch", code=1)
        remote("plugins", "rescan")
        checks.has("schema", remote("schema").stdout, "2020-12")
        checks.equal("describe", json.loads(remote("data", "describe", "penguins.csv", "--json").stdout)["rows"], 344)
        remote("data", "describe", "/etc/passwd", code=1)
        remote("data", "describe", "../home/lathe.db", code=1)
        remote("verify")
        remote("gc", "--dry-run")
        remote("gc")
        remote("backup", "monday")
        checks.that("the backup is there", os.path.exists(os.path.join(backups, "monday", "SHA256SUMS")))
        remote("backup", "../x", code=1)
        checks.has("tokens", remote("tokens", "list").stdout, "root", "reader", "admin")
        remote("tokens", "revoke", "reader")
        checks.has("audit", remote("audit").stdout, "token.revoke", "token:root")
        checks.equal("api", json.loads(remote("api", "GET", "/api/v1/health", "--json").stdout)["ready"], True)
        remote("restore", "/nonexistent", code=1)
        checks.equal("exit code", service.stop(), 0)
        checks.that("the socket is gone", not os.path.exists(socket))
checks.end()
