#!/usr/bin/env python3
"""report.py - what all reports share: report.txt for people, report.json for programs.

A report has a head of facts (tool, question, capability used, what it is a substitute for, command,
process, duration, exit status, machine), a `result` whose members belong to the tool, and `hints`.
As a program: report.py meta FILE KEY=VALUE... -- COMMAND... notes the facts that only the calling
script knows, for Report below.
"""
import json
import os
import platform
import sys


def read(path, default=""):
    try:
        with open(path) as f:
            return f.read().strip()
    except OSError:
        return default


def machine():
    model = ""
    for line in read("/proc/cpuinfo").splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return {"kernel": platform.release(), "cpus": os.cpu_count(), "cpu": model}


def percentiles(values):
    """min, median, 90, 99, max, mean of a list of numbers; {} for none."""
    if not values:
        return {}
    v = sorted(values)

    def at(p):
        return v[min(len(v) - 1, int(p * len(v)))]

    return {"n": len(v), "min": v[0], "p50": at(.5), "p90": at(.9), "p99": at(.99), "max": v[-1],
            "mean": sum(v) / len(v)}


def duration(ns):
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if ns >= size:
            return "%.3g %s" % (ns / size, unit)
    return "%.0f ns" % ns


def size(n):
    for unit, s in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if n >= s:
            return "%.3g %s" % (n / s, unit)
    return "%d B" % n


class Report:
    def __init__(self, folder):
        self.dir = folder
        with open(os.path.join(folder, "meta.json")) as f:
            self.head = json.load(f)
        self.seconds = self.head["seconds"]
        self.result = {}
        self.hints = []
        self.lines = []
        self.pictures = []

    def path(self, name):
        return os.path.join(self.dir, name)

    def line(self, text="", *args):
        self.lines.append(text % args if args else text)

    def hint(self, text):
        self.hints.append(text)

    def picture(self, name):
        self.pictures.append(name)

    def percent_line(self, name, p, show=duration):
        """One line with the percentiles p, if there are any."""
        if p:
            self.line("  %-18s n %-7d p50 %-9s p90 %-9s p99 %-9s max %s", name, p["n"],
                      *(show(p[k]) for k in ("p50", "p90", "p99", "max")))

    def table(self, rows, *columns):
        """columns: (title, format); the first, and a last one without title, are flush left."""
        cells = [[c[0] for c in columns]]
        cells += [[c[1] % v for c, v in zip(columns, r)] for r in rows]
        wide = [max(len(r[i]) for r in cells) for i in range(len(columns))]
        for r in cells:
            r = [r[0].ljust(wide[0])] + [x.rjust(w) for x, w in zip(r[1:-1], wide[1:])] + r[-1:]
            if columns[-1][0]:
                r[-1] = r[-1].rjust(wide[-1])
            self.line("  %s", "  ".join(r).rstrip())

    def write(self):
        h = self.head
        doc = dict(h)
        doc["machine"] = machine()
        doc["result"] = self.result
        doc["hints"] = self.hints
        doc["pictures"] = self.pictures
        with open(self.path("report.json"), "w") as f:
            json.dump(doc, f, indent=1)
            f.write("\n")
        text = ["%s: %s" % (h["tool"], h["question"])]
        if h["command"]:
            text.append("command: " + " ".join(h["command"]))
        text.append("process %d, %.2f s, measured with %s%s" % (
            h["pid"], h["seconds"], h["capability"],
            " (instead of %s)" % h["degraded_from"] if h["degraded_from"] else ""))
        text.append("")
        text += self.lines
        if self.pictures:
            text += ["", "pictures: " + " ".join(self.pictures)]
        text += ["hint: " + x for x in self.hints]
        with open(self.path("report.txt"), "w") as f:
            f.write("\n".join(text) + "\n")


def meta(path, words):
    command = []
    if "--" in words:
        at = words.index("--")
        words, command = words[:at], words[at + 1:]
    v = dict(w.split("=", 1) for w in words)
    with open(path, "w") as f:
        json.dump({"tool": v["tool"], "question": v["question"], "capability": v["capability"],
                   "degraded_from": v["degraded_from"] or None, "command": command,
                   "pid": int(v["pid"]), "seconds": int(v["seconds"]) / 1e9,
                   "hz": float(v["hz"]), "exit_status": int(v["status"])}, f)


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] != "meta":
        sys.exit(__doc__)
    meta(sys.argv[2], sys.argv[3:])
