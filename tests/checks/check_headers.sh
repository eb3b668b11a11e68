#!/usr/bin/env bash
# Every header compiles alone: those of the SDK as C11, C17 and C2x and as C++11 to C++20 by gcc and clang, without
# one warning; those of the host as C.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
failed=0

# try LABEL COMMAND...: shows what the compiler says only where it fails
try() {
    local label="$1" said
    shift
    if ! said="$("$@" 2>&1)"; then
        printf '%s:\n%s\n' "$label" "$said"
        failed=1
    fi
}

for compiler in gcc g++ clang clang++; do
    command -v "$compiler" >/dev/null || { echo "$compiler is missing; run ./dev setup"; exit 1; }
done
strict=(-Wall -Wextra -pedantic -Werror -fsyntax-only -Isdk/include)
sdk=0
for header in sdk/include/lathe/*.h; do
    name="lathe/$(basename "$header")"
    # twice: the guard works
    printf '#include <%s>\n#include <%s>\nint lathe_header_probe(void) { return 0; }\n' \
        "$name" "$name" >"$work/probe.c"
    cp "$work/probe.c" "$work/probe.cc"
    for std in c11 c17 c2x; do
        try "$header as $std by gcc" gcc -std=$std "${strict[@]}" "$work/probe.c"
        try "$header as $std by clang" clang -std=$std "${strict[@]}" "$work/probe.c"
    done
    for std in c++11 c++14 c++17 c++20; do
        try "$header as $std by g++" g++ -std=$std "${strict[@]}" "$work/probe.cc"
        try "$header as $std by clang++" clang++ -std=$std "${strict[@]}" "$work/probe.cc"
    done
    sdk=$((sdk + 1))
done

mapfile -t flags < <(pkg-config --cflags libuv libcjson sqlite3 zlib openblas libcrypto | xargs -n1)
host=0
while read -r header; do
    printf '#include "%s"\n#include "%s"\nint lathe_header_probe;\n' \
        "${header#host/}" "${header#host/}" >"$work/probe.c"
    try "$header" gcc -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -Werror -fsyntax-only -Ihost \
        -Isdk/include "${flags[@]}" "$work/probe.c"
    host=$((host + 1))
done < <(find host -name '*.h' | sort)

((sdk > 0 && host > 0)) || { echo "no headers were found"; exit 1; }
echo "$sdk SDK headers, $host host headers"
exit "$failed"
