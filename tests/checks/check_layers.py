#!/usr/bin/env python3
"""Includes go one way: host/<layer> only what is below it, plugins/ and sdk/ nothing of host/.

With --self-test, proves on made-up trees that each kind of violation is found."""
import pathlib
import re
import sys
import tempfile

LAYERS = ["base", "data", "plugin", "model", "monitor", "store", "web", "pipeline", "serve", "cli"]
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')
# C11's library, the compilers' own vector headers; sources read files, so they may use POSIX too.
C11 = """assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign stdarg
stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar wchar wctype
emmintrin immintrin arm_neon""".split()
SOURCES = ["zlib", "fcntl", "unistd", "sys/mman", "sys/stat", "sys/types"]
# Code for plugins, not ABI: these may use the library functions that are plain machine code.
CODE_HEADERS = ["math.h", "mathf.h"]
FOR_CODE = ["string", "math", "float"]


def includes(path):
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        m = INCLUDE.match(line)
        if m:
            yield number, m.group(1), m.group(2)


def check_host(root, path, problems):
    layer = path.relative_to(root / "host").parts[0]
    if layer not in LAYERS:
        problems.append(f"{path}: host/{layer} is no layer; the layers are {', '.join(LAYERS)}")
        return
    for number, quote, name in includes(path):
        if quote == "<":
            continue
        target = name.split("/")[0]
        if "/" not in name or target not in LAYERS + ["generated"]:
            problems.append(f'{path}:{number}: "{name}" does not begin with a layer of host/')
        elif target != "generated" and LAYERS.index(target) > LAYERS.index(layer):
            problems.append(f'{path}:{number}: upward include: {layer} includes "{name}"')


def check_plugin(root, path, problems):
    is_source = path.relative_to(root / "plugins").parts[0] == "sources"
    for number, quote, name in includes(path):
        if name.startswith("lathe/"):
            continue
        if quote == '"':
            own = (path.parent / name).resolve()
            if not own.is_file() or (root / "plugins").resolve() not in own.parents:
                problems.append(f'{path}:{number}: a plugin includes "{name}"; only <lathe/...>, '
                                "libc and headers of plugins/ are allowed")
        elif name.removesuffix(".h") not in C11 + (SOURCES if is_source else []):
            problems.append(f"{path}:{number}: a plugin includes <{name}>")


def check_sdk(path, problems):
    for number, quote, name in includes(path):
        if quote == '"' and (path.parent / name).is_file():
            continue
        allowed = ["stdint", "stddef"] + (FOR_CODE if path.name in CODE_HEADERS else [])
        if name.removesuffix(".h") not in allowed:
            problems.append(f"{path}:{number}: an SDK header includes {name}; only <stdint.h>, "
                            "<stddef.h> and each other are allowed")


def check_tree(root):
    problems = []
    for path in sorted((root / "host").rglob("*.[ch]")):
        check_host(root, path, problems)
    for path in sorted((root / "plugins").rglob("*.[ch]")):
        check_plugin(root, path, problems)
    for path in sorted((root / "sdk" / "include").rglob("*.h")):
        check_sdk(path, problems)
    return problems


def self_test():
    cases = [("host/base/a.c", '#include "data/table.h"\n', 1),
             ("host/data/a.c", '#include "base/error.h"\n#include "data/b.h"\n', 0),
             ("host/store/a.h", '# include "cli/x.h"\n', 1),
             ("host/odd/a.c", "", 1),
             ("host/base/b.c", '#include "error.h"\n', 1),
             ("plugins/losses/mse.c", '#include <lathe/loss.h>\n#include <math.h>\n', 0),
             ("plugins/losses/bad.c", '#include "base/error.h"\n', 1),
             ("plugins/losses/bad2.c", '#include "../../host/base/error.h"\n', 1),
             ("plugins/losses/bad3.c", "#include <cjson/cJSON.h>\n", 1),
             ("sdk/include/lathe/abi.h", "#include <stdio.h>\n", 1)]
    for name, text, expected in cases:
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for part in ("host/base/error.h", name):
                (root / part).parent.mkdir(parents=True, exist_ok=True)
                (root / part).write_text(text if part == name else "")
            found = len(check_tree(root))
            if found != expected:
                sys.exit(f"self-test: {name}: found {found} problems, expected {expected}")


def main():
    self_test()
    problems = check_tree(pathlib.Path(__file__).resolve().parents[2])
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)


main()
