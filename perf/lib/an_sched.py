#!/usr/bin/env python3
"""an_sched.py DIR: how long runnable threads of the process waited for a CPU, and migrations."""
import collections
import sys

import charts
import records
import report


class Thread:
    def __init__(self, comm):
        self.comm, self.ready, self.waits = comm, None, []
        self.preempted = self.migrated = self.run = 0
        self.on = None


def collect(data, pid):
    """{tid: Thread} of the process; who belongs to it is known from its first switch."""
    all_, mine = {}, set()

    def get(tid, comm):
        t = all_.setdefault(tid, Thread(comm))
        t.comm = comm or t.comm
        return t

    for s in records.records(data):
        if s.pid == pid:
            mine.add(s.tid)
        if s.name == "sched_switch":
            sw = records.switch(s)
            if not sw:
                continue
            prev, state, nxt, pcomm, ncomm = sw
            p, n = get(prev, pcomm), get(nxt, ncomm)
            if p.on is not None:
                p.run += s.at - p.on
                p.on = None
            if state == "R":
                p.ready = s.at
                p.preempted += 1
            if n.ready is not None:
                n.waits.append(s.at - n.ready)
                n.ready = None
            n.on = s.at
        else:
            m = records.TASK.search(s.rest)
            if not m:
                continue
            t = get(int(m["pid"]), m["comm"])
            if s.name == "sched_migrate_task":
                t.migrated += 1
            elif t.on is None:
                t.ready = s.at
    return {tid: all_[tid] for tid in mine if tid in all_}


def main():
    r = report.Report(sys.argv[1])
    threads = collect(r.path("sched.data"), r.head["pid"])
    waits = [w for t in threads.values() for w in t.waits]
    by_name = collections.defaultdict(lambda: [0, 0, 0, 0, 0])
    for t in threads.values():
        row = by_name[t.comm]
        for i, v in enumerate((t.run, sum(t.waits), len(t.waits), t.preempted, t.migrated)):
            row[i] += v
    reactors = {k: v for k, v in by_name.items() if k.startswith("canp-") and k[5:].isdigit()}
    moved = sum(v[4] for v in reactors.values())
    r.result = {
        "run_queue_wait_ns": report.percentiles(waits), "run_queue_wait_seconds": sum(waits) / 1e9,
        "reactor_migrations": moved,
        "threads": {k: {"run_seconds": v[0] / 1e9, "wait_seconds": v[1] / 1e9, "waits": v[2],
                        "preempted": v[3], "migrations": v[4]} for k, v in by_name.items()},
    }
    r.percent_line("wait for a CPU", report.percentiles(waits))
    r.line()
    rows = sorted(by_name.items(), key=lambda i: -i[1][0])[:20]
    r.table([(k, v[0] / 1e9, v[1] / 1e9, v[2], v[3], v[4]) for k, v in rows],
            ("thread", "%s"), ("runs s", "%.3f"), ("waits for a CPU s", "%.3f"), ("times", "%d"),
            ("preempted", "%d"), ("migrated", "%d"))
    # A reactor moves once, onto its CPU, when it pins itself.
    if moved > len(reactors):
        r.hint("%d migrations of %d reactors: they should be pinned (--pin)"
               % (moved, len(reactors)))
    if r.seconds and sum(waits) / 1e9 > .1 * r.seconds:
        r.hint("the CPUs are shared with other work: %.2f s of waiting in %.2f s"
               % (sum(waits) / 1e9, r.seconds))
    charts.save(r.path("sched.svg"), charts.bars(
        "How long threads that could run waited for a CPU (times)",
        charts.log2_rows(waits, report.duration)))
    r.picture("sched.svg")
    r.write()


main()
