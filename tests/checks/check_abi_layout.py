#!/usr/bin/env python3
"""The ABI's layout as the compiler sees it equals sdk/abi/lathe-1.layout: size and alignment of every public
struct, offset and size of every member, value of every constant. Run it with --write after a change of the
headers that is meant (./dev abi); a change of a line that is there already breaks plugins that are out in the
world, and a new line does not."""
import difflib
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
INCLUDE = ROOT / "sdk" / "include"
LAYOUT = ROOT / "sdk" / "abi" / "lathe-1.layout"
# These say which release it is; they are not layout.
NOT_LAYOUT = {"LATHE_SDK_VERSION", "LATHE_ABI_MINOR", "LATHE_TARGET_MINOR"}
CC = os.environ.get("LATHE_CC", "cc")


def compiler(*arguments, text=None):
    done = subprocess.run([CC, "-std=c11", f"-I{INCLUDE}", *arguments], input=text,
                          capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{CC} failed:\n{done.stderr}")
    return done.stdout


def own_text():
    """All SDK headers, preprocessed, without what they include from the system."""
    headers = sorted(p.name for p in (INCLUDE / "lathe").glob("*.h"))
    source = "".join(f"#include <lathe/{h}>\n" for h in headers)
    kept, keep = [], False
    for line in compiler("-E", "-x", "c", "-", text=source).splitlines():
        marker = re.match(r'# \d+ "([^"]*)"', line)
        if marker:
            keep = str(INCLUDE) in marker.group(1)
        elif keep:
            kept.append(line)
    return "\n".join(kept), headers


def body_at(text, start):
    """The text between the brace at `start` and its partner."""
    depth = 0
    for i in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return text[start + 1:i]
    sys.exit("a brace is not closed")


def split_outside(text, separator):
    parts, depth, last = [], 0, 0
    for i, c in enumerate(text):
        depth += {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1}.get(c, 0)
        if c == separator and depth == 0:
            parts.append(text[last:i])
            last = i + 1
    return [p.strip() for p in parts + [text[last:]] if p.strip()]


def member_names(struct, body):
    for declaration in split_outside(body, ";"):
        if "{" in declaration or ":" in declaration:
            sys.exit(f"struct {struct}: nested types and bit fields have no place in the ABI: "
                     f"{declaration}")
        for declarator in split_outside(declaration, ","):
            pointer = re.search(r"\(\s*\*\s*(?:const\s+)?(\w+)\s*(?:\[[^]]*\]\s*)?\)\s*\(", declarator)
            plain = re.search(r"(\w+)\s*(?:\[[^]]*\]\s*)*$", declarator)
            if pointer is None and plain is None:
                sys.exit(f"struct {struct}: this member was not understood: {declarator}")
            yield (pointer or plain).group(1)


def structs(text):
    for m in re.finditer(r"\bstruct\s+(\w+)\s*\{", text):
        yield m.group(1), list(member_names(m.group(1), body_at(text, m.end() - 1)))


def enumerators(text):
    for m in re.finditer(r"\benum\b\s*\w*\s*\{", text):
        for item in split_outside(body_at(text, m.end() - 1), ","):
            yield re.match(r"\w+", item).group(0)


def literal_macros():
    for header in sorted((INCLUDE / "lathe").glob("*.h")):
        for m in re.finditer(r'^[ \t]*#[ \t]*define[ \t]+(LATHE_\w+)[ \t]+("[^"\n]*"|\(?-?(?:0x[0-9A-Fa-f]+|\d+)[uUlL]*\)?)'
                             r'[ \t]*(?:/\*.*)?$', header.read_text(), re.M):
            if m.group(1) not in NOT_LAYOUT:
                yield m.group(1), m.group(2).startswith('"')


def probe_program():
    text, headers = own_text()
    lines = [f"#include <lathe/{h}>" for h in headers]
    lines += ["#include <stdio.h>", "#define STR(m) printf(\"constant %s %s\\n\", #m, m)",
              "#define NUM(m) printf(\"constant %s %lld\\n\", #m, (long long)(m))",
              "#define TYPE(t) printf(\"struct %s size %zu align %zu\\n\", #t, sizeof(struct t), "
              "_Alignof(struct t))",
              "#define MEMBER(t, m) printf(\"member %s.%s offset %zu size %zu\\n\", #t, #m, "
              "offsetof(struct t, m), sizeof(((struct t *)0)->m))", "int main(void) {"]
    count = 0
    for name, members in sorted(structs(text)):
        lines.append(f"TYPE({name});")
        lines += [f"MEMBER({name}, {member});" for member in members]
        count += 1
    if count < 10:
        sys.exit(f"only {count} public structs were found: the reader of headers is broken")
    lines += [f"NUM({name});" for name in sorted(set(enumerators(text)))]
    lines += [("STR" if is_text else "NUM") + f"({name});" for name, is_text in sorted(set(literal_macros()))]
    return "\n".join(lines + ["return 0; }"]) + "\n"


def current_layout():
    with tempfile.TemporaryDirectory() as folder:
        binary = os.path.join(folder, "probe")
        compiler("-x", "c", "-", "-o", binary, text=probe_program())
        return subprocess.run([binary], check=True, capture_output=True, text=True).stdout


def main():
    layout = current_layout()
    if "--write" in sys.argv[1:]:
        LAYOUT.parent.mkdir(parents=True, exist_ok=True)
        LAYOUT.write_text(layout)
        print(f"{LAYOUT.relative_to(ROOT)}: {layout.count(chr(10))} lines")
        return
    if not LAYOUT.exists():
        sys.exit(f"{LAYOUT.relative_to(ROOT)} is missing; make it with ./dev abi")
    recorded = LAYOUT.read_text()
    if recorded == layout:
        return
    old, new = recorded.splitlines(), layout.splitlines()
    print("\n".join(line for line in difflib.unified_diff(old, new, "recorded", "headers", lineterm="", n=0)
                    if not line.startswith("@@")))
    sys.exit("the ABI changed: existing plugins would break; once it is frozen this must not be"
             if breaks(old, new) else "the ABI grew; record it with ./dev abi")


def breaks(old, new):
    """Is a recorded line gone? A struct that carries its struct_size may grow at its end."""
    lines = set(new)
    for line in old:
        grown = re.match(r"struct (\w+) size (\d+) align (\d+)$", line)
        if line in lines:
            continue
        if grown is None or f"member {grown[1]}.struct_size offset 0 size 4" not in lines:
            return True
        now = re.search(rf"^struct {grown[1]} size (\d+) align {grown[3]}$", "\n".join(new), re.M)
        if now is None or int(now[1]) < int(grown[2]):
            return True
    return False


main()
