"""A disk that takes no more: the service refuses changes with a clear error, goes on serving and reading, and keeps what
it has acknowledged; when there is room again it goes on as if nothing had been.

The disk is "full" by a limit on the size of files of the running supervisor (RLIMIT_FSIZE, soft), so each of its writes
that makes a file longer fails in the kernel."""

import json
import os
import resource

from libserve import Service
from liblathe import DATA, Checks, Lathe

checks = Checks()
ROW = {"island": "Biscoe", "bill_length_mm": 45.0, "bill_depth_mm": 14.0, "flipper_length_mm": 215,
       "body_mass_g": 5000, "sex": "male", "year": 2008}
BODY = json.dumps({"inputs": [{"name": k, "shape": [1, 1], "datatype": "BYTES" if isinstance(v, str) else "FP64",
                               "data": [v]} for k, v in ROW.items()]})


def document(seed, rounds):
    return {
        "lathe": 1, "name": "birds", "seed": seed,
        "goal": {"task": "classification", "target": "species", "metric": "log_loss"},
        "prepare": {"source": {"csv": {"path": os.path.join(DATA, "penguins.csv"), "missing": ["NA"]}}},
        "train": {"candidates": {"trees": {"gbdt": {"rounds": rounds}}}},
        "deploy": {"endpoint": "species", "when": "always"},
    }


def limit_files(pid, size):
    hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))


def version(service):
    status, answer, _ = service.infer("POST", "/v2/models/species/infer", BODY)
    return answer["model_version"] if status == 200 else status


def is_refused(what, answer):
    status, body, _ = answer
    checks.that(f"{what}: refused", status >= 500, f"{status} {body}")
    text = body.get("error", "") if isinstance(body, dict) else str(body)
    checks.that(f"{what}: the error says why", any(word in text for word in ("full", "large", "write", "disk", "I/O")),
                text)


with Lathe() as lathe:
    for number, d in enumerate([document(1, 5), document(2, 7)]):
        checks.equal(f"run {number}", lathe.run("run", lathe.write("birds.json", d)).returncode, 0)
    with Service(lathe, "--workers", "1") as service:
        checks.equal("served before", version(service), "2")
        limit_files(service.process.pid, 1)
        is_refused("rollback", service.control("POST", "/api/v1/endpoints/species/rollback", {}))
        is_refused("alias", service.control("POST", "/api/v1/models/birds/promote", {"version": 1, "alias": "old"}))
        is_refused("token", service.control("POST", "/api/v1/tokens", {"name": "a", "role": "read"}))
        checks.equal("inference goes on", [version(service) for _ in range(20)], ["2"] * 20)
        checks.equal("reads go on", service.control("GET", "/api/v1/models")[0], 200)
        status, endpoint, _ = service.control("GET", "/api/v1/endpoints/species")
        checks.equal("the endpoint as it was", (status, endpoint.get("version")), (200, 2))
        checks.equal("metrics go on", service.control("GET", "/metrics")[0], 200)
        limit_files(service.process.pid, resource.RLIM_INFINITY)
        checks.equal("with room again", service.control("POST", "/api/v1/endpoints/species/rollback", {})[0], 200)
        checks.equal("served after", version(service), "1")
        checks.equal("stop", service.stop(), 0)
    checks.equal("nothing is torn", lathe.run("verify").returncode, 0)

checks.end()
