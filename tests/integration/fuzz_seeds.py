"""Every fuzzing harness over its seeds and what was found once, without libFuzzer: each as it is, cut short, with bits turned.
What ./dev fuzz found stays fixed; tests/fuzz/regressions holds it as HARNESS-WHAT."""

import glob
import os
import subprocess
import sys

from liblathe import BIN, SLOWER, SOURCE, Checks, Lathe

checks = Checks()
HARNESSES = os.path.join(os.path.dirname(os.path.dirname(BIN)), "tests", "fuzz")

with Lathe() as lathe:
    seeds = lathe.path("seeds")
    r = subprocess.run([sys.executable, os.path.join(SOURCE, "tests", "fuzz", "seeds.py"), seeds], env=lathe.env,
                       capture_output=True, text=True)
    checks.equal(f"seeds {r.stderr[-300:]}", r.returncode, 0)
    names = [os.path.basename(f)[5:-2] for f in glob.glob(os.path.join(SOURCE, "tests", "fuzz", "fuzz_*.c"))]
    checks.that("there are harnesses", len(names) >= 10, names)
    for name in sorted(names):
        env = dict(lathe.env, LATHE_FUZZ_MODEL=os.path.join(seeds, "fuzz.model"))
        folder = os.path.join(seeds, name)
        if not checks.that(f"{name} has seeds", os.path.isdir(folder) and os.listdir(folder), folder):
            continue
        r = subprocess.run([os.path.join(HARNESSES, "fuzz_" + name), folder], env=env, capture_output=True, text=True,
                           errors="replace", timeout=120 * SLOWER)
        checks.that(f"{name}: no finding", r.returncode == 0 and r.stdout.endswith(" inputs\n"),
                    (r.returncode, r.stdout[-300:], r.stderr[-2000:]))
checks.end()
