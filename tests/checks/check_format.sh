#!/usr/bin/env bash
# All C sources are formatted as .clang-format says. --fix formats them. The version of clang-format is Debian 12's (14):
# others break lines differently.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
format=clang-format
command -v clang-format-14 >/dev/null && format=clang-format-14
mapfile -t files < <(find host plugins sdk tests -type f \( -name '*.c' -o -name '*.h' \) 2>/dev/null | sort)
((${#files[@]} > 0)) || { echo "no C sources were found"; exit 1; }
if [[ "${1:-}" == --fix ]]; then
    exec "$format" -i "${files[@]}"
fi
said="$("$format" --dry-run -Werror "${files[@]}" 2>&1)" && exit 0
printf '%s\n' "$said" | sed -n 's/^\([^ :]*\):[0-9]*:[0-9]*: error: code should be clang-formatted.*/\1: not formatted; run .\/dev format/p' | sort | uniq -c
exit 1
