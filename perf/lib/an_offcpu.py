#!/usr/bin/env python3
"""an_offcpu.py DIR: waiting time of the threads by stack, from sched_switch records with stacks."""
import collections
import sys

import flamegraph
import fold
import records
import report

STATE = {"R": "no CPU", "D": "disk", "S": "sleep", "I": "sleep", "T": "stopped", "t": "stopped"}


def waits(data, pid):
    """(thread, state, frames root first, ns) of each wait of the process."""
    out = {}
    for s in records.records(data, stacks=True):
        sw = records.switch(s)
        if not sw:
            continue
        prev, state, nxt, name, _ = sw
        if nxt in out:
            comm, what, frames, since = out.pop(nxt)
            yield comm, what, frames, s.at - since
        if s.pid == pid and prev and state not in "XZ":
            out[prev] = (fold.thread_name(name), STATE.get(state, state), s.frames[::-1], s.at)


def main():
    r = report.Report(sys.argv[1])
    stages = fold.Stages()
    folded = collections.Counter()
    by_state, by_thread, by_stage = (collections.Counter() for _ in range(3))
    kinds = collections.defaultdict(list)
    for comm, what, frames, ns in waits(r.path("offcpu.data"), r.head["pid"]):
        marked = stages.mark(frames)
        folded[";".join([comm, "(%s)" % what] + marked)] += max(1, round(ns / 1000))
        by_state[what] += ns
        by_thread[comm] += ns
        by_stage[stages.last(marked)] += ns
        kinds[what].append(ns)
    fold.write(folded, r.path("folded.txt"))
    total = sum(by_state.values())
    r.result = {
        "waits": sum(map(len, kinds.values())), "wait_seconds": total / 1e9,
        "states": {k: {"seconds": v / 1e9, "wait_ns": report.percentiles(kinds[k])}
                   for k, v in by_state.most_common()},
        "threads": {k: v / 1e9 for k, v in by_thread.most_common()},
        "stages": {k: v / 1e9 for k, v in by_stage.most_common()},
    }
    r.line("%d waits, %.3f s of all threads together, in %.2f s", r.result["waits"], total / 1e9,
           r.seconds)
    r.line()
    for k, _ in by_state.most_common():
        r.percent_line(k, report.percentiles(kinds[k]))
    r.line()
    r.table([(k, v / 1e9) for k, v in by_thread.most_common(12)], ("thread", "%s"),
            ("waits s", "%.3f"))
    cpu = by_state["no CPU"]
    if r.seconds and cpu / 1e9 > .1 * r.seconds:
        r.hint("threads waited %.2f s for a CPU: other work shares the machine, see perf/sched"
               % (cpu / 1e9))
    with open(r.path("offcpu.svg"), "w") as f:
        f.write(flamegraph.svg(folded, "What the threads wait for",
                               "%.3f s of waiting in %.2f s" % (total / 1e9, r.seconds), "us"))
    r.picture("offcpu.svg")
    r.write()


main()
