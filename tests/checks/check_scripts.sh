#!/usr/bin/env bash
# Shell scripts parse, and are clean by shellcheck where it is installed; Python files compile; JSON files are JSON.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
mapfile -t shell < <({ echo dev; echo .ci/run; find tests -name '*.sh'; } | sort)
for file in "${shell[@]}"; do
    bash -n "$file"
done
if command -v shellcheck >/dev/null; then
    shellcheck -S warning "${shell[@]}"
fi
find tests -name '*.py' -print0 | xargs -0 -r -n1 python3 -c '
import sys
compile(open(sys.argv[1]).read(), sys.argv[1], "exec")'
python3 - CMakePresets.json pipelines/*.json <<'PY'
import json, os, sys
for path in sys.argv[1:]:
    if os.path.exists(path):
        with open(path) as f:
            json.load(f)
PY
