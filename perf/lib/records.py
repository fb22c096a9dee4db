"""records.py - tracepoint records of perf.data as Python values."""
import re

import fold

FIELDS = "comm,pid,tid,cpu,time,period,event,trace"
STACKS = FIELDS + ",ip,sym,dso"
SWITCH = re.compile(r"prev_comm=(?P<pcomm>.*?) prev_pid=(?P<ppid>\d+) prev_prio=\d+ "
                    r"prev_state=(?P<state>\S+) ==> next_comm=(?P<ncomm>.*?) next_pid=(?P<npid>\d+)")
TASK = re.compile(r"comm=(?P<comm>.*?) pid=(?P<pid>\d+) ")


def records(data, stacks=False):
    """Samples with .at in ns and .name without the group."""
    for s in fold.samples(data, STACKS if stacks else FIELDS):
        s.at = fold.ns(s.time)
        s.name = s.event.split(":")[-1]
        s.rest = s.rest or ""
        yield s


def switch(s):
    """(prev tid, its state letter, next tid, their names) or None; R: it could have gone on."""
    m = SWITCH.search(s.rest)
    if not m:
        return None
    return int(m["ppid"]), m["state"][0], int(m["npid"]), m["pcomm"], m["ncomm"]


def pair(s, key):
    """The value behind `key ` or `key=` or `key: ` in the text of a record, or None."""
    m = re.search(r"\b%s[=: ]\s*([^\s,]+)" % re.escape(key), s.rest)
    return m[1] if m else None
