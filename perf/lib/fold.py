#!/usr/bin/env python3
"""fold.py - stacks of perf.data as folded text: one line a stack, root first, with its weight.

    fold.py PERF.DATA [--user] [--per-core] [--no-stages] [--event NAME] [--weight samples|ns]

Frames of the kernel end in _[k]. Unless --no-stages, a frame like [inflate] is put in front of the
first function of each stage on the way from root to leaf (stages.tsv), so that pictures and sums
speak of inflate, decode, extract and encode whatever the functions are called today.
"""
import argparse
import collections
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


class Stages:
    """Maps function names to stages; remembers what it was asked."""

    def __init__(self, path=os.path.join(HERE, "stages.tsv")):
        self.rules = []
        self.known = {}
        with open(path) as f:
            for line in f:
                if line.strip() and not line.startswith("#"):
                    stage, pattern = line.rstrip("\n").split("\t")
                    self.rules.append((stage, re.compile(pattern)))
        self.names = [s for s, _ in self.rules] + ["kernel", "other"]

    def of(self, frame):
        if frame not in self.known:
            name = frame.split(".")[0].split("@")[0]
            self.known[frame] = "kernel" if frame.endswith("_[k]") else next(
                (s for s, p in self.rules if p.fullmatch(name)), None)
        return self.known[frame]

    def mark(self, frames):
        """frames with stage frames put in; frames is root first."""
        out, now = [], None
        for f in frames:
            s = self.of(f)
            if s and s != now:
                out.append("[%s]" % s)
                now = s
            out.append(f)
        return out

    @staticmethod
    def last(frames):
        """The stage of marked frames; the kernel works for the one that called it."""
        for f in reversed(frames):
            if f[0] == "[" and f[-1] == "]" and f != "[kernel]":
                return f[1:-1]
        return "other"


HEAD = re.compile(r"^(?P<comm>.*?)\s+(?P<pid>-?\d+)/(?P<tid>-?\d+)\s+\[(?P<cpu>\d+)\]\s+"
                  r"(?P<time>\d+\.\d+):\s+(?P<period>\d+)\s+(?P<event>\S+):(?:\s+(?P<rest>.*))?$")
FRAME = re.compile(r"^\s+[0-9a-f]+\s+(?P<sym>.*?)\s+\((?P<dso>[^()]*(\([^()]*\))?)\)$")


class Sample:
    __slots__ = ("comm", "pid", "tid", "cpu", "time", "period", "event", "rest", "frames",
                 "at", "name")


def frame_name(sym, dso):
    kernel = dso.startswith("[k") or dso.startswith("[guest.k") or dso.endswith(".ko")
    if sym == "[unknown]":
        sym = "%s:?" % (os.path.basename(dso.strip("[]")) or "unknown")
    return sym.replace(";", ":") + ("_[k]" if kernel else "")


def samples(data, fields="comm,pid,tid,cpu,time,period,event,ip,sym,dso", args=()):
    """The samples of a perf.data file, frames leaf first. Code without a name becomes FILE:?."""
    cmd = ["perf", "script", "-i", data, "--no-inline", "--ns", "-F", fields] + list(args)
    err = subprocess.PIPE
    p = subprocess.Popen(cmd, stdout=subprocess.PIPE, stderr=err, text=True, errors="replace")
    s = None
    for line in p.stdout:
        line = line.rstrip("\n")
        if not line:
            if s:
                yield s
            s = None
            continue
        m = HEAD.match(line) if line[0] != "\t" else None
        if m:
            if s:
                yield s
            s = Sample()
            s.comm, s.event = m["comm"].strip(), m["event"]
            s.pid, s.tid, s.cpu = int(m["pid"]), int(m["tid"]), int(m["cpu"])
            s.time, s.period, s.rest, s.frames = m["time"], int(m["period"]), m["rest"], []
            continue
        m = FRAME.match(line)
        if m and s:
            s.frames.append(frame_name(m["sym"], m["dso"]))
    if s:
        yield s
    text = p.stderr.read()
    if p.wait():
        sys.exit("perf script: " + text.strip())


def ns(text):
    """Nanoseconds of a time as perf prints it."""
    s, frac = text.split(".")
    return int(s) * 1000000000 + int(frac.ljust(9, "0")[:9])


def thread_name(comm):
    """Threads that do the same work share a root: reactors, and io_uring's workers."""
    return re.sub(r"^(canp|iou-wrk|iou-sqp)-\d+$", r"\1-N", comm)


def fold(data, user=False, per_core=False, stages=None, event=None):
    """(Counter of folded stacks in samples, total of periods)"""
    out, total = collections.Counter(), 0
    for s in samples(data):
        if event and event not in s.event:
            continue
        frames = s.frames[::-1]
        if user:
            frames = [f for f in frames if not f.endswith("_[k]")]
        frames = stages.mark(frames) if stages else frames
        root = ["cpu %d" % s.cpu] if per_core else []
        out[";".join(root + [thread_name(s.comm)] + frames)] += 1
        total += s.period
    return out, total


def write(folded, path):
    with open(path, "w") as f:
        for k in sorted(folded):
            f.write("%s %d\n" % (k, folded[k]))


def load(path):
    out = collections.Counter()
    with open(path) as f:
        for line in f:
            stack, n = line.rstrip("\n").rsplit(" ", 1)
            out[stack] += int(n)
    return out


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("data")
    ap.add_argument("--user", action="store_true")
    ap.add_argument("--per-core", action="store_true")
    ap.add_argument("--no-stages", action="store_true")
    ap.add_argument("--event")
    a = ap.parse_args()
    folded, _ = fold(a.data, a.user, a.per_core, None if a.no_stages else Stages(), a.event)
    for k in sorted(folded):
        print(k, folded[k])


if __name__ == "__main__":
    main()
