#!/usr/bin/env python3
"""usdt_cost.py: what idle probe points cost, in instructions; for usdt_cost.sh.

usdt_cost.py objects OFF ON OBJECT...  compares the code of the objects in both folders
usdt_cost.py job PROGRAM DIR ROUNDS    compares DIR/off.N and DIR/on.N, files of callgrind
"""
import json
import os
import re
import subprocess
import sys

PER_SITE = 4      # a nop, and what it takes to keep its arguments at hand until there
MOST_SHARE = 0.01  # of all instructions of a job
NOP = re.compile(r"\s*(data16 |cs )*(nop|xchg\s+%ax,%ax)")


def run(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def sites(path):
    """[(name, address)] of the probes in a program or an object."""
    found, name = [], None
    for line in run("readelf", "-n", path).splitlines():
        line = line.strip()
        if line.startswith("Name: "):
            name = line.split()[1]
        elif line.startswith("Location: "):
            found.append((name, int(line.split()[1].rstrip(","), 16)))
    return found


def instructions(path):
    """Without those that only fill up to an alignment, and so without the probes themselves."""
    n = 0
    for line in run("objdump", "-d", "--no-show-raw-insn", path).splitlines():
        if re.match(r"\s+[0-9a-f]+:\t", line) and not NOP.match(line.split("\t", 1)[1]):
            n += 1
    return n


def check(good, text):
    print("%s %s" % ("ok  " if good else "FAIL", text))
    return 0 if good else 1


def objects(off, on, names):
    bad = count = added = 0
    for name in names:
        n = len(sites(os.path.join(on, name)))
        more = n + instructions(os.path.join(on, name)) - instructions(os.path.join(off, name))
        bad += len(sites(os.path.join(off, name)))
        if n:
            print("     %-28s %d probes, %+d instructions" % (name, n, more))
        elif more:
            bad += check(False, "%s has no probe, but %+d instructions" % (name, more))
        count, added = count + n, added + more
    bad = check(bad == 0, "a build without probes has nothing of them")
    per = added / count if count else 0
    return bad + check(count >= 16 and per <= PER_SITE, "a probe is %.2f instructions in the program "
                       "(%d for %d probes, at most %d each)" % (per, added, count, PER_SITE))


def counted(path, addresses):
    """(instructions, {address: times}) of a file of callgrind; --dump-instr, nothing compressed."""
    total, times, skip, ours = 0, dict.fromkeys(addresses, 0), False, False
    with open(path) as f:
        for line in f:
            if line.startswith("summary:"):
                total = int(line.split()[1])
            elif line.startswith("ob="):
                ours = line.rstrip().endswith("/canp-appliance")
            elif line.startswith("calls="):
                skip = True  # the line behind has the costs of the function that is called
            elif line.startswith("0x"):
                at, _, cost = line.split()
                if ours and not skip and int(at, 16) in times:
                    times[int(at, 16)] += int(cost)
                skip = False
    return total, times


def job(program, folder, rounds):
    probes = sites(program)
    with open(os.path.join(folder, "json")) as f:
        frames = json.load(f)["frames"]
    least = {}
    for which in ("off", "on"):
        all_rounds = [counted(os.path.join(folder, "%s.%d" % (which, i)), [a for _, a in probes])
                      for i in range(1, rounds + 1)]
        print("     probes %-3s  %s instructions" % (which, ", ".join(
            "{:,}".format(t) for t, _ in all_rounds)))
        least[which] = min(all_rounds, key=lambda x: x[0])
    off, (on, times) = least["off"][0], least["on"]
    for name, at in sorted(probes, key=lambda p: -times[p[1]]):
        if times[at]:
            print("     %-16s passed %d times" % (name, times[at]))
    passed = sum(times.values())
    ratio = on / off
    print("     %d frames: %.1f instructions each, %.4f probes each" % (
        frames, on / frames, passed / frames))
    print("     with : without %.5f, %+.2f instructions for each frame, %+.1f for each probe passed" % (
        ratio, (on - off) / frames, (on - off) / max(passed, 1)))
    bad = check(passed > 0 and ratio <= 1 + MOST_SHARE,
                "instructions of a job with idle probes: %+.3f %% (at most %+g %%)" % (
                    100 * (ratio - 1), 100 * MOST_SHARE))
    # Free of what timing adds: the probes passed, times the most that one may add.
    share = passed * PER_SITE / on
    return bad + check(share <= MOST_SHARE, "probes passed, %d instructions each, are %.4f %% of the "
                       "job" % (PER_SITE, 100 * share))


if __name__ == "__main__":
    if len(sys.argv) > 4 and sys.argv[1] == "objects":
        sys.exit(objects(sys.argv[2], sys.argv[3], sys.argv[4:]) != 0)
    if len(sys.argv) == 5 and sys.argv[1] == "job":
        sys.exit(job(sys.argv[2], sys.argv[3], int(sys.argv[4])) != 0)
    sys.exit(__doc__)
