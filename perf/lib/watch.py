#!/usr/bin/env python3
"""watch.py FILE: samples /proc of process $PID ten times a second until it is gone (or $SEC is over)
and writes what it last and at most had: bytes, CPU time, memory, threads. Makes $READY first."""
import json
import os
import sys
import time


def table(path):
    out = {}
    try:
        with open(path) as f:
            for line in f:
                k, _, v = line.partition(":")
                out[k] = v.split()[0] if v.split() else ""
    except OSError:
        return {}
    return out


def main():
    pid, end = os.environ["PID"], os.environ.get("SEC")
    end = time.time() + float(end) if end else None
    base, last = {}, {}
    open(os.environ["READY"], "w").close()
    while os.path.exists("/proc/%s/io" % pid) and not (end and time.time() > end):
        io, st = table("/proc/%s/io" % pid), table("/proc/%s/status" % pid)
        # A process that ended and was not waited for has no memory any more.
        if io and st.get("VmHWM"):
            now = {k: int(io[k]) for k in ("rchar", "wchar", "read_bytes", "write_bytes", "syscr",
                                           "syscw")}
            base = base or dict(now)
            last = {k: now[k] - base[k] for k in now}
            last["peak_rss_kib"] = int(st["VmHWM"])
            last["threads"] = max(int(st["Threads"]), last.get("threads", 0))
            last["voluntary_switches"] = int(st.get("voluntary_ctxt_switches", 0))
        elif st.get("State") == "Z":
            break
        time.sleep(.1 if not last else .05)
    with open(sys.argv[1], "w") as f:
        json.dump(last, f)


main()
