"""sanitized.py COMMAND [ARGUMENT ...]: runs a test of a sanitized build; any report makes it fail.

A report of a child process would otherwise be lost where the test expects that child to fail, or where its stderr is
kept from it. So every process writes its reports into a folder, which is read at the end. Reports whose stacks pass
through tests/fixtures/plugins are the purpose of those plugins, and so is the fault of the process that scans a plugin
whose parameter table is at a wild address.
"""

import os
import re
import subprocess
import sys
import tempfile

REPORT = re.compile(r"(ERROR|WARNING|FATAL): (Address|Leak|Thread)Sanitizer: "
                    r"|: runtime error: |Sanitizer:DEADLYSIGNAL|Sanitizer CHECK failed")
MEANT = re.compile(r"/tests/fixtures/plugins/\w+\.(c|h|so)"
                   r"|Sanitizer: SEGV (.*\n){1,6} *#[012] (0x\w+ in )?copy_params .*/host/plugin/check\.c:")
LIMIT = 20_000  # characters shown of one report


def main():
    with tempfile.TemporaryDirectory(prefix="lathe-reports-") as folder:
        env = dict(os.environ)
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
            env[name] = f"{env.get(name, '')}:log_path={folder}/report"
        code = subprocess.run(sys.argv[1:], env=env).returncode
        for name in sorted(os.listdir(folder)):
            with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
                text = file.read()
            if REPORT.search(text) and not MEANT.search(text):
                print(f"FAILED: a sanitizer's report:\n{text[:LIMIT]}", flush=True)
                code = code or 1
    sys.exit(code if code >= 0 else 128 - code)


main()
