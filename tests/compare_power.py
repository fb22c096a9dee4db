"""compare_power.py BIN: `canp-bench compare` tried on real runs of a real job.

One job (logs in memory, decoded to pages, on one CPU) runs in seven series by turns: A1 to A6 are
the same, S has a plugin that spins for CANP_POWER_SLOW per cent of the time (tests/plugin_slow.c; the
A series load it with 0). Then compare has to find nothing between A1 and A2, A2 and A3, .. A5 and A6,
and has to say that S is slower than A1. All series of a round run one after the other, so that the
machine's drift meets all of them; the order of a round is turned by one each time.

CANP_POWER_SLOW (5), CANP_POWER_ROUNDS (40), CANP_POWER_FILES (10), CANP_POWER_LOOPS (1),
CANP_POWER_CPU (1), CANP_POWER_DIR (where logs are made; default the one of canp-bench).
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile

SLOW = os.environ.get('CANP_POWER_SLOW', '5')
ROUNDS = int(os.environ.get('CANP_POWER_ROUNDS', '40'))
FILES = os.environ.get('CANP_POWER_FILES', '10')
LOOPS = os.environ.get('CANP_POWER_LOOPS', '1')
CPU = os.environ.get('CANP_POWER_CPU', '1')
DIR = os.environ.get('CANP_POWER_DIR')
SERIES = ['A1', 'A2', 'A3', 'A4', 'A5', 'A6', 'S']
JOB = '''[memory_to_pages]
cores=1
cpus_allowed=%s
nrfiles=%s
loops=%s
stages=inflate,crc,decode,signals,encode
'''
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def build(folder):
    out = os.path.join(folder, 'slow.so')
    p = subprocess.run([os.environ.get('CC', 'gcc'), '-O2', '-D_GNU_SOURCE', '-fPIC', '-shared', '-I',
                        ROOT, '-o', out, os.path.join(ROOT, 'tests/plugin_slow.c')],
                       capture_output=True, text=True)
    if p.returncode:
        sys.exit('plugin_slow.c: %s' % p.stderr[-400:])
    return out


def measure(exe, folder, plugin):
    job = os.path.join(folder, 'power.job')
    with open(job, 'w') as f:
        f.write(JOB % (CPU, FILES, LOOPS))
    for n in range(ROUNDS):
        at = n % len(SERIES)
        for s in SERIES[at:] + SERIES[:at]:
            cmd = [exe, job, '--plugin=%s:%s' % (plugin, SLOW if s == 'S' else '0'),
                   '--output-format=json', '--output=' + os.path.join(folder, '%s.%d.json' % (s, n))]
            if DIR:
                cmd.append('--bench-dir=' + DIR)
            p = subprocess.run(cmd, capture_output=True, text=True, timeout=600)
            if p.returncode:
                sys.exit('%s: exit %d: %s' % (' '.join(cmd), p.returncode, p.stderr[-300:]))


def compare(exe, folder, a, b):
    files = lambda s: [os.path.join(folder, '%s.%d.json' % (s, n)) for n in range(ROUNDS)]
    p = subprocess.run([exe, 'compare', '--json', *files(a), ':', *files(b)], capture_output=True,
                       text=True)
    rows = [r for r in json.loads(p.stdout)['figures'] if r['verdict'] != 'shown'] if p.stdout else []
    print('%s : %s  %s' % (a, b, '; '.join(
        '%s %+.1f %% (p %.3g, %s)' % (r['figure'], r['delta_percent'], r['p'], r['verdict'])
        for r in rows) or p.stderr.strip()), flush=True)
    return p.returncode


def main():
    exe = os.path.join(sys.argv[1], 'canp-bench')
    folder = tempfile.mkdtemp(prefix='canp-power-')
    bad = []
    try:
        measure(exe, folder, build(folder))
        for a, b in zip(SERIES[:5], SERIES[1:6]):
            rc = compare(exe, folder, a, b)
            if rc != 0:
                bad.append('%s : %s: exit %d where nothing changed' % (a, b, rc))
        rc = compare(exe, folder, 'A1', 'S')
        if rc != 3:
            bad.append('A1 : S: exit %d, but S is %s %% slower' % (rc, SLOW))
    finally:
        shutil.rmtree(folder)
    for line in bad:
        print('FAIL ' + line)
    print('%d passed, %d failed' % (6 - len(bad), len(bad)))
    return 1 if bad else 0


sys.exit(main())
