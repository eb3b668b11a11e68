#!/usr/bin/env python3
"""Speed of Lathe against other programs, on the same files, with the same settings and threads; see README.md.

    ./dev bench --setup               make the environment of the other programs (build/bench-venv)
    ./dev bench                       everything
    ./dev bench gbdt logistic-higgs   benchmarks by group or name; --list shows them
    ./dev bench gbdt --rows 1000000   another size of the generated set
    ./dev bench --quick               a few rounds and one thread each: shows that everything works, no more

Writes build/bench/results.json, and results.svg where matplotlib is installed. Exit code: 0; 1 when a result of ours
is worse than its fastest peer's by more than the tolerance, so that their times do not compare; 2 when one failed.
"""
import argparse
import importlib.util
import json
import os
import pathlib
import platform
import signal
import sys
import tempfile

from programs import Failure, Fitter, Lathe, RowScorer, Scorer, available, run_peer, variants
from report import plot, show, summarise

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "bench"


# ---- one case ----

def begun(case, goal, rows, labels):
    return {"case": case.name, "kind": case.kind, "metric": goal["metric"], "note": case.note, "rows": rows,
            "lathe": [], "peers": {label: [] for label in labels}, "failed": {}}


def repeats_of(case, args):
    """A long case's own number; of one that needs many at least so many."""
    return case.repeats if case.long and case.repeats else max(case.repeats or 0, args.repeats)


def measure(case, args, lathe, keep):
    """{"case", "rows", "lathe": […], "peers": {label: […]}, "failed": {label: why}} of every repetition's figures, by
    turns; keep(it) after each. A peer that fails is not asked again; the others go on."""
    import sets
    rows = args.rows or case.rows
    path = sets.prepare(case.data, rows)
    if path is None:
        print(f"{case.name}: left out, its data is not installed", file=sys.stderr)
        return None
    goal = sets.goal_of(case.data)
    if case.kind in ("batch", "row"):
        if not available("lightgbm"):
            print(f"{case.name}: left out, LightGBM is not installed", file=sys.stderr)
            return None
        scorer = RowScorer(lathe, case, path, goal, args.threads, args.repeats)
        return begun(case, goal, rows, ()) | {"lathe": scorer.runs("lathe"),
                                              "peers": {"lightgbm C API": scorer.runs("lightgbm")}}
    ours = (Scorer(lathe, case, path) if case.kind == "score" else
            Fitter(lathe, case, goal, path, args.threads) if case.kind == "memory" else
            lambda: lathe.fit(case, path))
    peers = variants(case, args.threads, args.quick)
    result = begun(case, goal, rows if case.data in sets.GENERATED else None, [v[0] for v in peers])
    for turn in range(1 if args.quick else repeats_of(case, args)):
        lathe.seed = turn + 1
        tell(case, turn, "lathe", result["lathe"], ours)
        keep(result)
        for variant in peers:
            label, function, settings, _ = variant
            if label in result["failed"]:
                continue
            once = ((lambda: ours(settings["threads"])) if function == "lathe" else
                    (lambda: run_peer(case, goal, path, variant, lathe.work, lathe.seed)))
            try:
                tell(case, turn, label, result["peers"][label], once)
            except Failure as failure:
                print(f"{case.name}: {label}: {failure}", file=sys.stderr)
                result["failed"][label] = str(failure)
            keep(result)
    return result


def tell(case, turn, label, runs, once):
    """Adds a run to `runs`, and says so before and after: some take minutes."""
    print(f"{case.name} {turn + 1}: {label} …", end="", file=sys.stderr, flush=True)
    try:
        runs.append(once())
    except BaseException:
        print(" ended early", file=sys.stderr)
        raise
    print(f" {runs[-1]['seconds']:.3f} s", file=sys.stderr, flush=True)


def machine():
    model = "unknown"
    try:
        with open("/proc/cpuinfo") as f:
            model = next(line.split(":")[1].strip() for line in f if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {"cpu": model, "cores": os.cpu_count(), "system": platform.platform(),
            "load": os.getloadavg()[0]}


def parse(cases):
    parser = argparse.ArgumentParser(description="speed against other programs", prog="./dev bench")
    parser.add_argument("names", nargs="*", metavar="NAME", help="groups or benchmarks; default: all")
    parser.add_argument("--rows", type=int, help="training rows of the generated set")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="default: the cores")
    parser.add_argument("--quick", action="store_true",
                        help="a trial: 20000 rows, few rounds, one repetition, one thread")
    parser.add_argument("--list", action="store_true", help="show the benchmarks and end")
    parser.add_argument("--lathe", default=os.environ.get("LATHE_BIN", ROOT / "build/bin/lathe"))
    args = parser.parse_args()
    if args.rows is not None and args.rows < 5000:
        parser.error("--rows must be at least 5000")
    if args.repeats < 1 or args.threads < 1:
        parser.error("--repeats and --threads must be at least 1")
    try:
        args.cases = cases.select(args.names)
    except ValueError as error:
        parser.error(str(error))
    if args.quick:
        args.rows, args.repeats, args.threads = args.rows or 20000, 1, 1
        args.cases = [cases.shorten(case) for case in args.cases]
    return args


class Results:
    """The file of figures, written anew whenever there is one more."""

    def __init__(self, args):
        self.path = FOLDER / "results.json"
        self.about = {"machine": machine(), "quick": args.quick, "threads": args.threads, "repeats": args.repeats,
                      "failed": []}
        self.done = []

    def keep(self, under_way=None):
        """Also of the case that is under way: it may be stopped."""
        more = [under_way | {"unfinished": True}] if under_way else []
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(self.about | {"results": self.done + more}, indent=1))
        new.replace(self.path)


def run_case(case, args, results):
    import cases
    with tempfile.TemporaryDirectory(prefix="work-", dir=FOLDER) as work:
        try:
            result = measure(case, args, Lathe(args.lathe, args.threads, pathlib.Path(work)), results.keep)
        except Failure as failure:
            print(f"{case.name}: {failure}", file=sys.stderr)
            results.about["failed"].append(case.name)
            results.keep()
            return
    if result is None:
        return
    results.about["failed"] += [f"{case.name}: {label}" for label in result["failed"]]
    results.done.append(summarise(result, case.tolerance or cases.TOLERANCE[result["metric"]]))
    results.keep()
    show(result)


def main():
    import cases
    args = parse(cases)
    if args.list:
        for case in args.cases:
            print(f"{case.name:16} {case.group:9} {case.kind:8} {', '.join(case.peers)}")
        return 0
    if not available("sklearn") or importlib.util.find_spec("numpy") is None:
        print("the other programs are not installed: run `./dev bench --setup` first", file=sys.stderr)
        return 2
    FOLDER.mkdir(parents=True, exist_ok=True)
    results = Results(args)
    if (load := results.about["machine"]["load"]) > 0.5:
        print(f"the machine is busy (load {load:.1f}): the times will not mean much", file=sys.stderr)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        for case in args.cases:
            run_case(case, args, results)
    except (KeyboardInterrupt, SystemExit):
        print(f"\nstopped; what was measured: {results.path}", file=sys.stderr)
        raise
    print(f"\nfigures: {results.path}")
    if plot(results.done, FOLDER / "results.svg"):
        print(f"plot:    {FOLDER / 'results.svg'}")
    worse = [r["case"] for r in results.done if "fastest" in r["summary"]
             and r["summary"]["peers"][r["summary"]["fastest"]]["verdict"] == "worse"]
    if worse:
        print(f"worse than the fastest peer, so not comparable: {', '.join(worse)}", file=sys.stderr)
    return 2 if results.about["failed"] else 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
