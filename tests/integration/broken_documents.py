"""Broken pipeline documents: each fault is told with its line, its column and what to do, all of them at once, and
no data is read. A case replaces a piece of a good document; § marks where faults are to be reported."""

import os
import sys

from liblathe import DATA, Checks, Lathe, parse

GOOD = """\
{
  "lathe": 1,
  "name": "penguins",
  "description": "Which penguin is it?",
  "seed": 7,
  "params": {"rounds": 20, "word": "median", "table": {"a": 1}},
  "goal": {
    "task": "classification",
    "target": "species",
    "metric": "accuracy",
    "metrics": ["log_loss"],
    "require": {"accuracy": ">= 0.9"}
  },
  "prepare": {
    "source": {"csv": {"path": "penguins.csv"}},
    "transforms": [{"impute": {"columns": "numeric", "strategy": "${word}"}}],
    "split": {"stratified": {"test": 0.2, "validation": 0.1}},
    "profile": true
  },
  "train": {
    "candidates": {
      "line": {"linear": {"l2": 0.001}},
      "plain": {"linear": {"l1": 0.001}},
      "net": {"mlp": {"layers": [{"units": 8, "activation": "relu"}], "epochs": 2}},
      "boosted": {"gbdt": {"rounds": "${rounds}", "base": {"tree": {"max_leaves": 7}}}},
      "stack": {"stacking": {"base": [{"candidate": "plain"}, {"candidate": "boosted"}], "folds": 3}}
    }
  },
  "deploy": {"endpoint": "penguins", "when": "goal_met"},
  "monitor": {"drift": [{"psi": {"threshold": 0.2}}], "window": 100}
}
"""

# name, what is replaced, by what, what is said; a pair gives the number of faults too (a reference to a
# faulty candidate is one more); None: at least those at §
CASES = [
    # syntax
    ("trailing comma in an object", '"when": "goal_met"}', '"when": "goal_met"§,}', ["comma"]),
    ("trailing comma in a list", '["log_loss"]', '["log_loss"§,]', ["comma"]),
    ("comment", '"seed": 7,', '§// a comment\n  "seed": 7,', ["comments"]),
    ("hash comment", '"seed": 7,', '"seed": 7, §# lucky', ["comments"]),
    ("missing comma", '"seed": 7,', '"seed": 7', ['expected \',\' or \'}\'']),
    ("missing colon", '"seed": 7', '"seed" §7', ["expected ':'"]),
    ("missing value", '"seed": 7', '"seed": §', ["where a value is needed"]),
    ("key without quotes", '"seed": 7', '§seed: 7', ["double quotes"]),
    ("single quotes", '"name": "penguins"', '"name": §\'penguins\'', ["double quotes"]),
    ("NaN", '"seed": 7', '"seed": §NaN', ["NaN"]),
    ("Infinity", '"l2": 0.001', '"l2": §-Infinity', ["not a number"]),
    ("True", '"profile": true', '"profile": §True', ["True"]),
    ("leading zero", '"seed": 7', '"seed": §07', ["not a number"]),
    ("leading plus", '"l2": 0.001', '"l2": §+1', ["+1"]),
    ("hexadecimal", '"seed": 7', '"seed": §0x7', ["not a number"]),
    ("open text", '"name": "penguins"', '"name": §"penguins', ["no closing quote"]),
    ("bad escape", '"name": "penguins"', '"name": "pen§\\guins"', ["backslash"]),
    ("a NUL in a text", '"species"', '"spe§\\u0000cies"', ["NUL"]),
    ("text after the end", '"window": 100}\n}\n', '"window": 100}\n}\n§{}', ["after the end"]),
    ("open object", '"window": 100}\n}\n', '"window": 100}\n§', ["end of the document"]),
    # the document itself
    ("a list", GOOD, "§[1, 2]", ["the document is a list; expected an object"]),
    ("a number", GOOD, "§42", ["the document is a number"]),
    ("null", GOOD, "§null", ["the document is null"]),
    ("unknown key at the top", '"seed": 7', '§"sead": 7', ['no key "sead"; did you mean "seed"?']),
    ("unknown key, nothing near", '"seed": 7', '§"zzz": 7', ['no key "zzz"; it takes: $schema']),
    ("repeated key", '"seed": 7,', '"seed": 7,\n  §"seed": 8,', ["seed"]),
    ("repeated candidate", '"net": {', '§"line": {', ["given twice", "line 22"]),
    ("no version", '"lathe": 1,', '', ['lacks "lathe"']),
    ("another version", '"lathe": 1', '"lathe": §2', ['"lathe" is 2', "version 1"]),
    ("version as text", '"lathe": 1', '"lathe": §"1"', ['"lathe" is "1"']),
    ("no name", '"name": "penguins",', '', ['lacks "name"']),
    ("empty name", '"name": "penguins"', '"name": §""', ["not empty"]),
    ("name with a slash", '"name": "penguins"', '"name": §"../penguins"', ["not a usable name"]),
    ("name of a wrong type", '"name": "penguins"', '"name": §5', ["expected a text"]),
    ("name too long", '"name": "penguins"', '"name": §"' + "p" * 65 + '"', ["1 to 64"]),
    ("negative seed", '"seed": 7', '"seed": §-1', ["an integer from 0"]),
    ("seed with a fraction", '"seed": 7', '"seed": §7.5', ["an integer from 0"]),
    ("seed past 2^63", '"seed": 7', '"seed": §9223372036854775808', ["integer"]),
    ("seed beyond all numbers", '"seed": 7', '"seed": §1e400', ["1e400"]),
    # params
    ("params is a list", '{"rounds": 20, "word": "median", "table": {"a": 1}}', '§[1]', None),
    ("unknown parameter", '"${rounds}"', '§"${round}"', (2, ['no parameter "round"', 'did you mean "rounds"'])),
    ("unknown parameter, nothing near", '"${rounds}"', '§"${zzzzzz}"', (2, ["declare it"])),
    ("open reference", '"${rounds}"', '§"${rounds"', (2, ['closing "}"'])),
    ("an object inside a text", '"Which penguin is it?"', '§"Which ${table}?"', ["cannot stand inside a text"]),
    ("parameter of a wrong type", '"${rounds}"', '§"${word}"', (2, ['"rounds" is "median"; expected an integer'])),
    # goal
    ("no goal", '"goal": {', '§"gaol": {', None),
    ("goal is null", '"goal": {', '"goal": §null, "zgoal": {', None),
    ("no task", '"task": "classification",', '', ['"goal" lacks "task"']),
    ("unknown task", '"classification"', '§"clasification"', ['did you mean "classification"?']),
    ("no target", '"target": "species",', '', ['"goal" lacks "target"']),
    ("empty target", '"target": "species"', '"target": §""', ["not empty"]),
    ("unknown key in goal", '"metric": "accuracy"', '§"metrik": "accuracy"', ['did you mean "metric"?']),
    ("unknown metric", '"metric": "accuracy"', '"metric": §"acuracy"', ['"acuracy"', 'did you mean "accuracy"?']),
    ("a learner as metric", '"metric": "accuracy"', '"metric": §"mlp"', ["mlp"]),
    ("metrics is a text", '"metrics": ["log_loss"]', '"metrics": §"log_loss"', ["expected a list of metrics"]),
    ("a metric twice, in two ways", '["log_loss"]', '["recall", §{"recall": {"average": "macro"}}]', ["recall"]),
    ("requirement without a sign", '">= 0.9"', '§"0.9"', ["expected a text such as"]),
    ("requirement without a number", '">= 0.9"', '§">= high"', ["expected a text such as"]),
    ("requirement with two numbers", '">= 0.9"', '§">= 0.9 0.8"', ["expected a text such as"]),
    ("requirement turned around", '">= 0.9"', '§"=> 0.9"', ["expected a text such as"]),
    ("requirement of NaN", '">= 0.9"', '§">= nan"', ["expected a text such as"]),
    ("requirement as a number", '">= 0.9"', '§0.9', ["expected a text such as"]),
    ("requirement on nothing known", '{"accuracy": ">= 0.9"}', '{§"latency_p98_ms": "<= 1"}', ["latency_p99_ms"]),
    ("require is a list", '{"accuracy": ">= 0.9"}', '§[">= 0.9"]', ["expected an object such as"]),
    ("class weight by a text", '"metric": "accuracy"', '"class_weight": §"equal", "metric": "accuracy"',
     ["balanced"]),
    ("negative class weight", '"metric": "accuracy"', '"class_weight": {"Adelie": §-1}, "metric": "accuracy"',
     ['weight of class "Adelie"']),
    ("positive in a regression", '"task": "classification"', '"task": "regression", "positive": §"Adelie"', None),
    # prepare
    ("no prepare", '"prepare": {', '§"prepared": {', None),
    ("no source", '"source": {"csv": {"path": "penguins.csv"}},', '', ['"prepare" lacks "source"']),
    ("unknown source", '{"csv": {', '{§"cvs": {', ['did you mean "csv"?']),
    ("source without a path", '{"path": "penguins.csv"}', '§{}', ['"csv" needs "path"']),
    ("path that is not there", '"path": "penguins.csv"', '"path": §"pinguins.csv"',
     ["no readable file", "pinguins.csv"]),
    ("path of a wrong type", '"path": "penguins.csv"', '"path": §["penguins.csv"]', ["path"]),
    ("unknown option of the source", '"path": "penguins.csv"', '"path": "penguins.csv", §"delimeter": ";"',
     ['did you mean "delimiter"?']),
    ("unknown column type", '"path": "penguins.csv"', '"path": "penguins.csv", "types": {"year": §"flaot"}',
     ["types"]),
    ("transforms is an object", '[{"impute": {"columns": "numeric", "strategy": "${word}"}}]',
     '§{"impute": {}}', ["expected a list of transforms"]),
    ("unknown transform", '[{"impute"', '[{§"inpute"', ['did you mean "impute"?']),
    ("two transforms in one object", '[{"impute": {"columns": "numeric", "strategy": "${word}"}}]',
     '[§{"impute": {}, "one_hot": {}}]', ["one key"]),
    ("an empty transform", '[{"impute": {"columns": "numeric", "strategy": "${word}"}}]', '[§{}]', ["one key"]),
    ("unknown choice", '"${word}"', '§"medain"', ['did you mean "median"?']),
    ("a learner as split", '{"stratified": {', '{§"tree": {', ["tree"]),
    ("share above 1", '"test": 0.2', '"test": §1.2', ['"test" is 1.2']),
    ("negative share", '"test": 0.2', '"test": §-0.1', ['"test" is -0.1']),
    ("shares above 1 together", '{"test": 0.2, "validation": 0.1}', '{"test": §0.7, "validation": 0.6}',
     ["take all rows"]),
    ("profile is a text", '"profile": true', '"profile": §"yes"', ["true or false"]),
    # train
    ("no candidates", '"candidates": {', '§"candidate": {', None),
    ("candidates is a list", '"train": {\n    "candidates": {', '"train": {\n    "candidates": §[], "x": {', None),
    ("unknown learner", '"line": {"linear": {', '"line": {§"linaer": {', ['did you mean "linear"?']),
    ("unknown full id", '"line": {"linear": {', '"line": {§"org.example.linear": {', ["org.example.linear"]),
    ("a transform as learner", '{"linear": {"l2": 0.001}}', '§"impute"', ["impute"]),
    ("parameters as a list", '{"l2": 0.001}', '§[0.001]', ["expected an object"]),
    ("a number as learner", '{"linear": {"l2": 0.001}}', '§5', ["5 is no plugin"]),
    ("unknown parameter of a learner", '"l2": 0.001', '§"l2_": 0.001', ['did you mean "l2"?']),
    ("a text for a number", '"l2": 0.001', '"l2": §"0.001"', ['"l2" is "0.001"']),
    ("out of range", '"l2": 0.001', '"l2": §-1', ['"l2" is -1']),
    ("null where none may be", '"epochs": 2', '"epochs": §null', ['"epochs" is null']),
    ("zero epochs", '"epochs": 2', '"epochs": §0', ["epochs"]),
    ("fraction of a unit", '"units": 8', '"units": §8.5', ['"units" is 8.5']),
    ("units beyond int64", '"units": 8', '"units": §1e19', ['"units"']),
    ("no units", '"units": 8, ', '', ['needs "units"']),
    ("unknown activation", '"relu"', '§"rellu"', ['did you mean "relu"?']),
    ("a loss as activation", '"relu"', '§"mse"', ["mse"]),
    ("unknown key two levels down", '"max_leaves": 7', '§"max_leafs": 7', (2, ['did you mean "max_leaves"?'])),
    ("unknown candidate", '{"candidate": "plain"}', '{"candidate": §"plian"}', ['did you mean "plain"?']),
    ("a candidate that is no text", '{"candidate": "plain"}', '{"candidate": §1}', ["name of another candidate"]),
    ("a candidate of itself", '{"candidate": "plain"}', '{"candidate": §"stack"}', ["made of itself"]),
    ("candidates in a circle", '{"linear": {"l1": 0.001}}', '{"bagging": {"base": {"candidate": §"stack"}}}',
     (2, ["break the circle"])),
    ("a candidate's name with blanks", '"net": {"mlp"', '"my net": §{"mlp"', ["not a usable name"]),
    ("stacking of nothing", '[{"candidate": "plain"}, {"candidate": "boosted"}]', '§[]', ["0 elements"]),
    # deploy and monitor
    ("unknown word for when", '"goal_met"', '§"goalmet"', ['did you mean "goal_met"?']),
    ("endpoint with a slash", '"endpoint": "penguins"', '"endpoint": §"a/b"', ["not a usable name"]),
    ("deploy is a text", '{"endpoint": "penguins", "when": "goal_met"}', '§"penguins"', ["expected an object"]),
    ("unknown key in deploy", '"when": "goal_met"', '§"then": "goal_met"', ['did you mean "when"?']),
    ("drift is an object", '[{"psi": {"threshold": 0.2}}]', '§{"psi": {}}', ["expected a list of drift"]),
    ("unknown drift measure", '{"psi": {', '{§"pse": {', ['did you mean "psi"?']),
    ("window of nothing", '"window": 100', '"window": §0', ["an integer from 1"]),
    ("unknown key in monitor", '"window": 100', '§"windows": 100', ['did you mean "window"?']),
    # several at once
    ("five at once", ['"seed": 7', '"target": "species"', '"test": 0.2', '"units": 8', '"window": 100'],
     ['"seed": §"7"', '§"tagret": "species"', '"test": §2', '"units": §0', '"window": §-1'], None),
]

# texts that are no piece of the good document: name, bytes, what is said, line
TEXTS = [
    ("empty file", b"", "empty", 1),
    ("blanks alone", b" \n\n ", "empty", 3),
    ("invalid UTF-8", GOOD.encode().replace(b"Which", b"Wh\xffch"), "UTF-8", 4),
    ("UTF-16", GOOD.encode("utf-16"), "", 1),
    ("a NUL byte", GOOD.encode().replace(b'"seed": 7', b'"seed": 7\0'), "0x00", 5),
    ("too deep", b"[" * 100000, "deep", 1),
    ("too deep in the middle", GOOD.encode().replace(b"0.001", b"[" * 80 + b"]" * 80), "deep", 22),
    ("too many levels of plugins",
     GOOD.encode().replace(b'{"linear": {"l2": 0.001}}',
                           b'{"bagging": {"base": ' * 20 + b'"tree"' + b"}}" * 20), "nested", 22),
    ("binary rubbish", bytes(range(128, 256)) * 10, "", 1),
    ("XML", b"<pipeline/>", "where a value is needed", 1),
    ("YAML", b"lathe: 1\nname: penguins\n", "", 1),
]


def make(old, new):
    """The document with pieces replaced, and the places of the marks in it."""
    text = GOOD
    olds, news = ([old], [new]) if isinstance(old, str) else (old, new)
    for a, b in zip(olds, news):
        assert text.count(a) == 1 or a == GOOD, f"{a!r} occurs {text.count(a)} times"
        text = text.replace(a, b)
    places = []
    for number, line in enumerate(text.split("\n"), 1):
        while "§" in line:
            places.append((number, line.index("§") + 1))
            line = line.replace("§", "", 1)
    return text.replace("§", ""), places


def check_case(checks, lathe, name, old, new, says):
    text, places = make(old, new)
    path = lathe.write("case.json", text)
    r = lathe.run("validate", "--json", path)
    answer = parse(r.stdout)
    checks.equal(f"{name}: exit code", r.returncode, 2)
    if not checks.that(f"{name}: JSON", isinstance(answer, dict), r.stdout + r.stderr):
        return
    errors = answer["errors"]
    shown = "; ".join(f"{e['line']}:{e['column']} {e['message']}" for e in errors)
    if "-v" in sys.argv:
        print(f"{name}\n    {shown}")
    checks.equal(f"{name}: valid", answer["valid"], False)
    found = [(e["line"], e["column"]) for e in errors]
    for place in places:
        checks.that(f"{name}: place {place}", place in found, shown)
    if says is not None:
        count, pieces = (1, says) if isinstance(says, list) else says
        checks.equal(f"{name}: faults", len(errors), count)
        checks.has(name, " ".join(e["message"] for e in errors), *pieces)
    else:
        checks.that(f"{name}: faults", len(errors) >= len(places), shown)
    for e in errors:
        checks.that(f"{name}: a sentence", len(e["message"]) > 20 and e["file"] == path, shown)


def check_texts(checks, lathe):
    for name, content, says, line in TEXTS:
        path = lathe.write("case.json", content)
        r = lathe.run("validate", "--json", path)
        answer = parse(r.stdout)
        checks.equal(f"{name}: exit code", r.returncode, 2)
        if checks.that(f"{name}: JSON", isinstance(answer, dict) and answer["errors"], r.stdout + r.stderr):
            checks.has(name, answer["errors"][0]["message"], says)
            checks.equal(f"{name}: line", answer["errors"][0]["line"], line)


def check_files(checks, lathe):
    huge = lathe.path("huge.json")
    with open(huge, "wb") as file:
        file.truncate(65 << 20)
    cases = [("a file that is not there", lathe.path("none.json"), "none.json"),
             ("a folder", lathe.dir, "directory"),
             ("a folder as a part of the path", lathe.path("good.json", "x.json"), "x.json"),
             ("a file of 65 MB", huge, "bytes"),
             ("a device", "/dev/null", "/dev/null")]
    for name, path, says in cases:
        r = lathe.run("validate", path)
        checks.equal(f"{name}: exit code", r.returncode, 2)
        checks.equal(f"{name}: stdout", r.stdout, "")
        checks.has(name, r.stderr, path, says)


def check_sets(checks, lathe):
    good = lathe.path("good.json")
    cases = [("no value", "rounds", "not of the form name=value"),
             ("no name", "=3", "not of the form name=value"),
             ("unknown", "round=3", 'did you mean "rounds"?'),
             ("unknown, nothing near", "qqqqqqq=3", 'no parameter "qqqqqqq"'),
             ("wrong type", "rounds=many", '"rounds" is "many"; expected an integer'),
             ("wrong type, JSON", "rounds=[3]", "expected an integer"),
             ("out of range", "rounds=0", "expected an integer from 1"),
             ("fraction", "rounds=2.5", "expected an integer"),
             ("not a choice", "word=medain", 'did you mean "median"?')]
    for name, value, says in cases:
        r = lathe.run("validate", good, "--set", value)
        checks.equal(f"--set {name}: exit code", r.returncode, 2)
        checks.has(f"--set {name}", r.stderr, says)
    for value in ["rounds=3", "word=mean", 'word="mode"', "table={}", "rounds=1e3"]:
        r = lathe.run("validate", good, "--set", value)
        checks.equal(f"--set {value}", (r.returncode, r.stderr), (0, ""))


def check_text(checks, lathe):
    """The form for people: all faults, in the order of the document, each a line."""
    text, places = make(*next((old, new) for name, old, new, _ in CASES if name == "five at once"))
    path = lathe.write("case.json", text)
    r = lathe.run("validate", path)
    lines = r.stderr.splitlines()
    checks.equal("text: stdout", r.stdout, "")
    checks.equal("text: faults", len(lines), len(places) + 1)
    for line in lines:
        checks.that("text: place", line.startswith(path + ":") and "(at /" in line, line)
    for row, column in places:
        checks.has("text: place", r.stderr, f"{path}:{row}:{column}: ")
    numbers = [int(line[len(path) + 1:].split(":")[0]) for line in lines]
    checks.equal("text: order", numbers, sorted(numbers))
    # 300 faults: the first 200 are told, the rest counted
    many = ",".join(f'"z{i}": 1' for i in range(300))
    path = lathe.write("case.json", GOOD.replace('"seed": 7', many))
    r = lathe.run("validate", path)
    checks.equal("many: lines", len(r.stderr.splitlines()), 201)
    checks.has("many", r.stderr, "… and 100 more")


def check_run(checks, lathe):
    """`run` refuses as `validate` does, before it reads data or stores a run."""
    for name in ["trailing comma in a list", "unknown learner", "shares above 1 together", "five at once",
                 "path that is not there", "candidates in a circle"]:
        old, new = next((old, new) for case, old, new, _ in CASES if case == name)
        path = lathe.write("case.json", make(old, new)[0])
        same = lathe.run("validate", path)
        for args in (["run", path], ["run", "--dry-run", path]):
            r = lathe.run(*args)
            checks.equal(f"run, {name}: exit code", r.returncode, 2)
            checks.equal(f"run, {name}: stdout", r.stdout, "")
            checks.equal(f"run, {name}: stderr", r.stderr, same.stderr)
        r = lathe.run("run", "--json", path)
        checks.equal(f"run --json, {name}", parse(r.stdout), parse(lathe.run("validate", "--json", path).stdout))
    r = lathe.run("runs", "list", "--json")
    checks.that("no run is stored", parse(r.stdout) in (None, []), r.stdout)
    checks.that("no database", not os.path.exists(os.path.join(lathe.home, "lathe.db")), "there is one")
    r = lathe.run("run")
    checks.equal("run without a pipeline", r.returncode, 2)
    r = lathe.run("run", lathe.path("good.json"), "--thread", "2")
    checks.equal("run with an unknown option", r.returncode, 2)
    for threads in ("0", "-1", "two", "1.5", "1000000"):
        r = lathe.run("run", lathe.path("good.json"), "--threads", threads)
        checks.equal(f"--threads {threads}", r.returncode, 2)


def main():
    checks = Checks()
    with Lathe() as lathe:
        with open(os.path.join(DATA, "penguins.csv"), "rb") as file:
            lathe.write("penguins.csv", file.read())
        good = lathe.write("good.json", GOOD)
        r = lathe.run("validate", good)
        checks.equal("the good document", (r.returncode, r.stderr), (0, ""))
        for case in CASES:
            check_case(checks, lathe, *case)
        check_texts(checks, lathe)
        check_files(checks, lathe)
        check_sets(checks, lathe)
        check_text(checks, lathe)
        check_run(checks, lathe)
    checks.end()


main()
