"""compare_power.py BIN: `canp-bench compare` tried on real runs of real jobs.

A job runs in seven series by turns: A1 to A6 are the same, S is slower by CANP_POWER_SLOW per cent.
Then compare has to find nothing between A1 and A2, A2 and A3, .. A5 and A6, and has to say that S is
slower than A1. All series of a round run one after the other, so that the machine's drift meets all of
them; the order of a round is turned by one each time. Two jobs:

read             a file past the page cache, at 400 MB/s by `rate`; S has a lower rate
memory_to_pages  logs in memory, decoded to pages on one CPU; S has a plugin that spins for the share
                 (tests/plugin_slow.c; the A series load it with 0). On a machine whose speed varies by
                 more than the share from run to run it needs many rounds; what compare says of the
                 noise is printed, and S counts as missed only where compare says that it ruled it out.

CANP_POWER_SLOW (5), CANP_POWER_JOBS (read,memory_to_pages), CANP_POWER_ROUNDS (40; 6 of read),
CANP_POWER_FILES (10), CANP_POWER_LOOPS (1), CANP_POWER_CPU (1), CANP_POWER_DIR (where logs are made;
default the one of canp-bench).
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile

SLOW = os.environ.get('CANP_POWER_SLOW', '5')
JOBS = os.environ.get('CANP_POWER_JOBS', 'read,memory_to_pages').split(',')
ROUNDS = int(os.environ.get('CANP_POWER_ROUNDS', '40'))
FILES = os.environ.get('CANP_POWER_FILES', '10')
LOOPS = os.environ.get('CANP_POWER_LOOPS', '1')
CPU = os.environ.get('CANP_POWER_CPU', '1')
DIR = os.environ.get('CANP_POWER_DIR')
SERIES = ['A1', 'A2', 'A3', 'A4', 'A5', 'A6', 'S']
RATE = 400000000
TEXT = {
    'memory_to_pages': """[memory_to_pages]
cores=1
cpus_allowed=%(cpu)s
nrfiles=%(files)s
loops=%(loops)s
stages=inflate,crc,decode,signals,encode
""",
    'read': """[read]
rw=read
direct=1
bs=1m
iodepth=4
iomem=thp
filename=%(blob)s
size=256m
loops=2
""",
}
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def build(folder):
    out = os.path.join(folder, 'slow.so')
    p = subprocess.run([os.environ.get('CC', 'gcc'), '-O2', '-D_GNU_SOURCE', '-fPIC', '-shared', '-I',
                        ROOT, '-o', out, os.path.join(ROOT, 'tests/plugin_slow.c')],
                       capture_output=True, text=True)
    if p.returncode:
        sys.exit('plugin_slow.c: %s' % p.stderr[-400:])
    return out


def series_args(name, series, plugin):
    slow = series == 'S'
    if name == 'read':
        return ['--rate=%d' % (RATE * (1 - float(SLOW) / 100) if slow else RATE)]
    args = ['--plugin=%s:%s' % (plugin, SLOW if slow else '0')]
    return args + ['--bench-dir=' + DIR] if DIR else args


def measure(exe, name, folder, plugin, rounds):
    job = os.path.join(folder, name + '.job')
    blob = os.path.join(folder, 'blob')
    if name == 'read':
        with open(blob, 'wb') as f:
            for _ in range(256):
                f.write(os.urandom(1 << 20))
    with open(job, 'w') as f:
        f.write(TEXT[name] % {'cpu': CPU, 'files': FILES, 'loops': LOOPS, 'blob': blob})
    for n in range(rounds):
        at = n % len(SERIES)
        for s in SERIES[at:] + SERIES[:at]:
            cmd = [exe, job, *series_args(name, s, plugin), '--output-format=json',
                   '--output=' + os.path.join(folder, '%s.%s.%d.json' % (name, s, n))]
            p = subprocess.run(cmd, capture_output=True, text=True, timeout=600)
            if p.returncode:
                sys.exit('%s: exit %d: %s' % (' '.join(cmd), p.returncode, p.stderr[-300:]))


def compare(exe, name, folder, rounds, a, b):
    """Exit status, and by how much b may still be worse for all that compare knows."""
    def files(s):
        return [os.path.join(folder, '%s.%s.%d.json' % (name, s, n)) for n in range(rounds)]
    p = subprocess.run([exe, 'compare', '--json', *files(a), ':', *files(b)], capture_output=True,
                       text=True)
    rows = [r for r in json.loads(p.stdout)['figures']
            if r['verdict'] != 'not judged'] if p.stdout else []
    print('%s, %s : %s  %s' % (name, a, b, '; '.join(
        '%s %+.1f %% (p %.3g, %s)' % (r['figure'], r['delta_percent'], r['p'], r['verdict'])
        for r in rows) or p.stderr.strip()), flush=True)
    return p.returncode, max([r['not_ruled_out_percent'] for r in rows], default=0)


def try_job(exe, name, folder, plugin):
    rounds = min(ROUNDS, 6) if name == 'read' else ROUNDS
    bad, told = [], 0
    measure(exe, name, folder, plugin, rounds)
    for a, b in zip(SERIES[:5], SERIES[1:6]):
        rc, _ = compare(exe, name, folder, rounds, a, b)
        if rc != 0:
            bad.append('%s, %s : %s: exit %d where nothing changed' % (name, a, b, rc))
    rc, left = compare(exe, name, folder, rounds, 'A1', 'S')
    if rc != 3 and left >= float(SLOW):
        print('SKIP %s, A1 : S: the runs vary too much, %.1f %% is not ruled out' % (name, left))
        told = 1
    elif rc != 3:
        bad.append('%s, A1 : S: exit %d, but S is %s %% slower' % (name, rc, SLOW))
    return bad, told


def main():
    exe = os.path.join(sys.argv[1], 'canp-bench')
    folder = tempfile.mkdtemp(prefix='canp-power-', dir='/var/tmp')
    bad, skipped = [], 0
    try:
        plugin = build(folder)
        for name in JOBS:
            more, told = try_job(exe, name, folder, plugin)
            bad, skipped = bad + more, skipped + told
    finally:
        shutil.rmtree(folder)
    for line in bad:
        print('FAIL ' + line)
    print('%d passed, %d failed, %d skipped' % (6 * len(JOBS) - len(bad) - skipped, len(bad), skipped))
    return 1 if bad else 0


sys.exit(main())
