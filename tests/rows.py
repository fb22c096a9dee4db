#!/usr/bin/env python3
"""rows.py ROWS RESULTS [TESTDIR [ID]]: what was promised, which test proves it, and how the test went.

ROWS is tests/rows.tsv. Tests carry the ids of their rows: a cmocka function is named
A16_batch_is_atomic (several ids: A17_A18_..), a line of a script says "ok   A16 text" (several:
"A17 A18 text"). RESULTS is a folder that tests/run-unit.sh and tests/run-e2e.sh left their outputs
in, below unit/ and e2e/; figures are read from RESULTS/bench_runtime.json, bench_pool.json,
bench_kernels.json, bench_job.json and bench_job_{direct,copy}.json, which `make rows-bench` writes.
Cases that several unit tests share stand in a header of TESTDIR/lib and count for each of them.

Prints "row -> test -> result" lines (of row ID only, where it is given) and a count; fails when a test failed, and when a row has
neither a test nor a reason why there is none. A figure that missed its goal is told, not a failure:
it depends on the machine.
"""
import glob
import json
import os
import re
import sys

IDS = r"[A-H][0-9]{2}"
FUNCTION = re.compile(r"cmocka_unit_test\w*\([\s\\]*((?:%s_)+\w+)" % IDS)
CASES = re.compile(r'^#include "tests/(lib/\w+\.h)"', re.M)
MARK = re.compile(r"^\[\s*(OK|FAILED|SKIPPED|ERROR)\s*\]\s+(\w+)")
LINE = re.compile(r"^(ok|FAIL|skip)\s+((?:%s )+)(.*)" % IDS)
# How a script names what it checks: ok, fail, skip, check, eq, has TEXT or canp, job, bench RC TEXT.
SCRIPT = re.compile(r"""^\s*(?:.*\s)?(?:ok|fail|skip|check|eq|has|canp \d+|bench \d+)\s+["']?((?:%s )+)"""
                    % IDS)


def ids_of(text, sep):
    out = []
    for word in text.split(sep):
        if not re.fullmatch(IDS, word):
            break
        out.append(word)
    return out


def read_rows(path):
    rows = {}
    with open(path, encoding="utf-8") as f:
        for n, line in enumerate(f, 1):
            if line.startswith("#") or not line.strip():
                continue
            cols = line.rstrip("\n").split("\t")
            if len(cols) != 5 or not re.fullmatch(IDS, cols[0]) or not re.fullmatch("[TBD]+", cols[1]):
                sys.exit(f"rows.py: {path}:{n}: not id, kind, title, figures, note")
            if cols[4] and not re.match("(cannot|open): .", cols[4]):
                sys.exit(f"rows.py: {path}:{n}: the note is neither 'cannot: why' nor 'open: why'")
            if cols[0] in rows:
                sys.exit(f"rows.py: {path}:{n}: {cols[0]} stands twice")
            rows[cols[0]] = dict(id=cols[0], kind=cols[1], title=cols[2], figures=cols[3].split(),
                                 note=cols[4], tests={})
    return rows


def find_tests(testdir):
    """(row, test) pairs from the sources; a test is "file: name"."""
    found = []
    for path in sorted(glob.glob(os.path.join(testdir, "t_*.c"))):
        with open(path, encoding="utf-8", errors="replace") as f:
            text = f.read()
            for header in CASES.findall(text):
                with open(os.path.join(testdir, header), encoding="utf-8") as h:
                    text += h.read()
            for name in FUNCTION.findall(text):
                found += [(i, f"{os.path.basename(path)[:-2]}: {name}") for i in ids_of(name, "_")]
    for path in sorted(glob.glob(os.path.join(testdir, "e2e_*.sh"))):
        with open(path, encoding="utf-8", errors="replace") as f:
            for line in f:
                m = SCRIPT.match(line)
                if m:
                    found += [(i, os.path.basename(path)[:-3]) for i in m.group(1).split()]
    return found


def worse(a, b):
    """Of two parts of one test: what failed counts, then what passed."""
    order = ["failed", "passed", "skipped", None]
    return a if order.index(a) <= order.index(b) else b


def read_results(folder):
    """Result of each test, and of each row in each script."""
    unit, e2e = {}, {}
    word = {"OK": "passed", "FAILED": "failed", "ERROR": "failed", "SKIPPED": "skipped",
            "ok": "passed", "FAIL": "failed", "skip": "skipped"}
    for path in glob.glob(os.path.join(folder, "unit", "*.log")):
        stem = os.path.basename(path)[:-4]
        with open(path, encoding="utf-8", errors="replace") as f:
            for line in f:
                m = MARK.match(line)
                if m:
                    key = f"{stem}: {m.group(2)}"
                    unit[key] = worse(word[m.group(1)], unit.get(key))
    for path in glob.glob(os.path.join(folder, "e2e", "*.log")):
        stem = os.path.basename(path)[:-4]
        with open(path, encoding="utf-8", errors="replace") as f:
            for line in f:
                m = LINE.match(line)
                for i in m.group(2).split() if m else []:
                    e2e[(stem, i)] = worse(word[m.group(1)], e2e.get((stem, i)))
    return unit, e2e


def load(folder, name):
    try:
        with open(os.path.join(folder, f"bench_{name}.json"), encoding="utf-8") as f:
            return json.load(f)
    except (OSError, ValueError):
        return None


def best_ratio(line):
    return max((r["ratio_to_scalar"] or 0 for r in line["rows"]), default=0)


class Figures:
    def __init__(self, folder):
        self.kernels = load(folder, "kernels")
        self.job = load(folder, "job")
        self.direct, self.copy = load(folder, "job_direct"), load(folder, "job_copy")
        runtime, pool = load(folder, "runtime"), load(folder, "pool")
        self.runtime = {f["figure"]: f for f in runtime["figures"]} if runtime else {}
        self.pool = {"pool." + f["figure"]: f for f in pool["figures"]} if pool else {}

    def zerocopy(self):
        """Reading into place beside copying out of the page cache: files a second of CPU time."""
        key = "files_per_cpu_s"
        if not self.direct or not self.copy or not self.copy.get(key):
            return None
        return self.direct[key] / self.copy[key]

    @staticmethod
    def pool_result(f):
        """A figure of canp-bench pool, whose floor is its goal; without one it only tells."""
        value, floor = f["median"], f["floor"]
        text = f"{value:.3g} {f['unit']}"
        if not floor:
            return "passed", text
        less = f["aim"] < floor
        return ("passed" if (value <= floor if less else value >= floor) else "missed"), (
            f"{text}, {'at most' if less else 'at least'} {floor:.3g}")

    def result(self, spec):
        """passed, missed or None (not measured), and a text."""
        name, _, goal = spec.partition(">=")
        part, _, key = name.partition(".")
        if part == "kernels" and self.kernels:
            lines = [k for k in self.kernels["kernels"] if k["kernel"] == key]
            value = max(map(best_ratio, lines)) if lines else None
        elif part == "job" and self.job:
            value = self.job
            for k in key.split("."):
                value = value.get(k) if isinstance(value, dict) else None
        elif name == "zerocopy.files_ratio":
            value = self.zerocopy()
        elif name in self.pool:
            return self.pool_result(self.pool[name])
        elif name in self.runtime:
            f = self.runtime[name]
            if f["result"] is None:
                return None, f["verdict"]
            value = f["forms"][0]["median"] if f["judged"] == "value" else f["result"]
            text = f"{value:.3g}{' ' + f['unit'] if f['judged'] == 'value' else ' x'} ({f['verdict']})"
            return ("missed" if f["verdict"] == "missed" else "passed"), text
        else:
            value = None
        if value is None:
            return None, "not measured"
        return ("passed" if value >= float(goal or 0) else "missed"), f"{value:.3g} of {goal or 0}"


def judge(row, figures, out):
    """The row's own result: failed, passed, missed, not run, cannot, open, none."""
    results = []
    for test, result in sorted(row["tests"].items()):
        out(f"{row['id']} -> {test} -> {result or 'not run'}")
        results.append(result or "not run")
    for spec in row["figures"]:
        result, text = figures.result(spec)
        out(f"{row['id']} -> canp-bench {spec.partition('>=')[0]} -> {text}")
        results.append(result or "not measured")
    needs_test = set(row["kind"]) & {"T", "D"} and not row["tests"]
    needs_figure = row["kind"] == "B" and not row["figures"]
    if "failed" in results:
        return "failed"
    if needs_test or needs_figure:
        kind, _, why = row["note"].partition(": ")
        if kind:
            out(f"{row['id']} -> none -> {kind}: {why}")
        else:
            out(f"{row['id']} -> {'no test' if needs_test else 'no figure'}: {row['title']}")
        return kind or "none"
    for state in ("missed", "not run", "not measured"):
        if state in results:
            return state
    return "skipped" if results and all(r == "skipped" for r in results) else "passed"


def main():
    if len(sys.argv) < 3:
        sys.exit("usage: rows.py ROWS RESULTS [TESTDIR [ID]]")
    rows = read_rows(sys.argv[1])
    folder = sys.argv[2]
    unit, e2e = read_results(folder)
    strangers = set()
    for i, test in find_tests(sys.argv[3] if len(sys.argv) > 3 else os.path.dirname(sys.argv[1])):
        if i not in rows:
            strangers.add(f"{test}: there is no row {i}")
            continue
        rows[i]["tests"][test] = unit.get(test) if ": " in test else e2e.get((test, i))
    # Names that a script makes up while it runs are known by its output only.
    for (script, i), result in e2e.items():
        if i in rows:
            rows[i]["tests"][script] = result
    figures = Figures(folder)
    count = {}
    only = sys.argv[4] if len(sys.argv) > 4 else ""
    for row in rows.values():
        state = judge(row, figures, print if only in ("", row["id"]) else lambda text: None)
        count.setdefault(state, []).append(row["id"])
    for text in sorted(strangers):
        print(f"rows.py: {text}")
    for state in ("failed", "none", "missed", "not run", "not measured", "skipped", "open"):
        if count.get(state):
            print(f"{'without test' if state == 'none' else state}: {' '.join(count[state])}")
    n = {k: len(v) for k, v in count.items()}
    more = [f"{n[s]} {t}" for s, t in (("missed", "passed but missed a figure's goal"),
                                       ("not run", "not run"), ("not measured", "not measured"),
                                       ("skipped", "skipped here"), ("open", "open")) if n.get(s)]
    print(f"rows: {n.get('passed', 0)} passed, {n.get('failed', 0)} failed, "
          f"{n.get('none', 0)} without test, {n.get('cannot', 0)} cannot run here"
          + "".join(", " + m for m in more))
    sys.exit(1 if n.get("failed") or n.get("none") or strangers else 0)


main()
