#!/usr/bin/env python3
"""bpf_watch.py PROGRAM OUT.json [-v]: attaches bpftrace to the canp probes of PROGRAM, for process
$PID until it is gone or $SEC seconds are over. Makes $READY when the probes are attached.

-v prints the bpftrace program instead. bpftrace's own --pid would have to find the probes in the
process, which is still the gate then, so the program filters by pid and attaches by file.
"""
import os
import signal
import subprocess
import sys
import time

import sdt

HERE = os.path.dirname(os.path.abspath(__file__))


def table():
    """{probe: (arguments, meaning, what to measure)}"""
    out = {}
    with open(os.path.join(HERE, "probes.tsv")) as f:
        for line in f:
            if line.strip() and line[0] != "#":
                c = line.rstrip("\n").split("\t")
                out[c[0]] = (c[1].split(","), c[2], c[3] if len(c) > 3 else "")
    return out


def program(path, pid, found):
    known = table()
    lines = []
    for name in sorted(found):
        more = known.get(name, ((), "", ""))[2].replace("NAME", name)
        lines.append('usdt:%s:canp:%s /pid == %s/ { @n["%s"] = count(); %s }'
                     % (path, name, pid, name, more))
    return "\n".join(lines)


def files_open(pid):
    """How many events the process has open."""
    n = 0
    try:
        for fd in os.listdir("/proc/%d/fd" % pid):
            try:
                n += "perf_event" in os.readlink("/proc/%d/fd/%s" % (pid, fd))
            except OSError:
                pass
    except OSError:
        pass
    return n


def stop(p):
    """bpftrace prints its maps on SIGINT. One that does not end must not hold up everything."""
    for sig in [signal.SIGINT] * 10 + [signal.SIGTERM] * 2 + [signal.SIGKILL]:
        p.send_signal(sig)
        try:
            p.wait(1.5)
            return
        except subprocess.TimeoutExpired:
            pass
    p.wait()
    sys.exit("bpftrace had to be killed: no result")


def main():
    path, out = os.path.realpath(sys.argv[1]), sys.argv[2]
    pid = os.environ.get("PID", "0")
    found = sdt.probes(path)
    text = program(path, pid, found)
    if "-v" in sys.argv:
        print(text)
        return
    with open(out, "w") as f:
        p = subprocess.Popen(["bpftrace", "-q", "-f", "json", "-e", text], stdout=f)
        places, last, since = sum(found.values()), -1, time.time()
        while p.poll() is None:
            n = files_open(p.pid)
            if n != last:
                last, since = n, time.time()
            if n >= places and time.time() - since > .3:
                break
            time.sleep(.05)
        if p.poll() is not None:
            sys.exit("bpftrace could not attach")
        open(os.environ["READY"], "w").close()
        end = time.time() + float(os.environ["SEC"]) if os.environ.get("SEC") else None
        while p.poll() is None and not (end and time.time() > end):
            try:
                with open("/proc/%s/stat" % pid) as s:
                    if s.read().rsplit(")", 1)[1].split()[0] in "ZX":
                        break
            except OSError:
                break
            time.sleep(.05)
        stop(p)


main()
