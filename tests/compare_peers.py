"""compare_peers.py BIN: how fast a job is beside others, on the same generated logs.

Per container (CANP, BLF): what `canp-bench job` says, which alternates `isal_inflate` alone with a
whole job on one core, because the speed of a shared machine drifts; the median of each is printed,
and the ratio (above 1: the whole job is faster than merely inflating its input). For BLF also the CPU seconds of python-can
and tshark for one of the files. Nothing here fails but what cannot run: these are measurements.

CANP_PEERS_FILES (20), CANP_PEERS_SIZE (15M), CANP_PEERS_ROUNDS (3), CANP_PEERS_WORKLOAD (dense),
CANP_PEERS_ARGS (more arguments of the benchmark), CANP_PEERS_DIR (default: a temporary folder) change it.
"""
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile

FILES = os.environ.get('CANP_PEERS_FILES', '20')
SIZE = os.environ.get('CANP_PEERS_SIZE', '15M')
ROUNDS = int(os.environ.get('CANP_PEERS_ROUNDS', '3'))
WORKLOAD = os.environ.get('CANP_PEERS_WORKLOAD', 'dense')
ARGS = os.environ.get('CANP_PEERS_ARGS', '').split()
PYCAN = '''import can, sys
n = 0
for m in can.BLFReader(sys.argv[1]):
    n += 1
print(n)'''


def run(cmd, limit=600):
    """Output of a command and the CPU seconds it took, those of its children included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    p = subprocess.run(cmd, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if p.returncode:
        sys.exit('%s: exit %d: %s' % (cmd[0], p.returncode, p.stderr.decode()[-300:]))
    return p.stdout.decode(), (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def say(name, seconds, files, bytes_in, frames, note=''):
    print('  %-28s %9.2f files/s %9.1f MB/s in %9.3f M frames/s %8.1f ns/frame%s' %
          (name, files / seconds, bytes_in / seconds / 1e6, frames / seconds / 1e6,
           seconds * 1e9 / frames, note))


def bench(exe, folder, container, *more):
    """What `canp-bench job` says about this kind of log; it makes the logs once."""
    text, _ = run([exe, 'job', '--json', '--container', container, '--files', FILES, '--size', SIZE,
                   '--workload', WORKLOAD, '--seed', '7', '--bench-dir', folder, '--rounds',
                   str(ROUNDS), '--no-breakdown', '--no-scaling', '--no-calls', *more, *ARGS])
    return json.loads(text)


def compare(exe, folder, container):
    r = bench(exe, folder, container)
    data, job, isal = r['dataset'], r['job'], r['isal']
    print('%s: %d files, %.1f MB, %.1f MB inflated, %d frames, %s, median of %d rounds' %
          (container, data['files'], data['bytes'] / 1e6, data['bytes_inflated'] / 1e6,
           data['frames'], WORKLOAD, ROUNDS))
    n = (data['files'], data['bytes'], data['frames'])
    say('isal_inflate alone, 1 core', isal['cpu_s'], *n)
    say('whole job, 1 core', job['wall_s'], *n, '  simd %s, ring %s, pages %s' % (
        r['environment']['simd'], r['run']['ring'], r['run']['hugepages']))
    say('whole job, CPU time', job['cpu_s'], *n)
    print('  ratio job : isal_inflate      %9.2f by elapsed time, %.2f by CPU time' %
          (r['ratio_to_isal_inflate_wall'], r['ratio_to_isal_inflate']))
    if container != 'blf':
        return
    # What the others do is what a job does up to the frames.
    reading = bench(exe, folder, container, '--stages=read,inflate,crc,decode', '--against=none')
    say('reading only, CPU time', reading['job']['cpu_s'], *n)
    paths = sorted(f for f in os.listdir(data['folder']) if f.endswith('.blf'))
    peers(os.path.join(data['folder'], paths[0]), data['frames'] / len(paths),
          r['ns_per_frame'] / 1e9, reading['ns_per_frame'] / 1e9)


def peers(path, about, whole, reading):
    """One file through python-can and tshark, CPU seconds."""
    cases = [('python-can', ['/usr/bin/python3', '-c', PYCAN, path])]
    if shutil.which('tshark'):
        cases.append(('tshark -T fields', ['tshark', '-n', '-r', path, '-T', 'fields', '-e',
                                           'frame.time_epoch', '-e', 'can.id', '-e', 'data.data']))
    else:
        print('  SKIP tshark: not installed (make deps-test)')
    for name, cmd in cases:
        try:
            text, cpu = run(cmd)
        except (subprocess.TimeoutExpired, SystemExit) as e:
            print('  SKIP %s: %s' % (name, str(e)[:200]))
            continue
        lines = text.split('\n')
        frames = int(lines[0]) if name == 'python-can' else len(lines) - 1
        say(name + ', reading only', cpu, 1, os.path.getsize(path), frames,
            '  %.0f times the CPU a frame of the whole job, %.0f times that of reading (goal 50)' %
            (cpu / frames / whole, cpu / frames / reading))
        if abs(frames - about) > about * 0.1:
            print('  note: %d frames, %d expected' % (frames, about))


def main():
    if len(sys.argv) != 2:
        sys.exit('usage: compare_peers.py BIN')
    exe = os.path.join(sys.argv[1], 'canp-bench')
    folder = os.environ.get('CANP_PEERS_DIR')
    keep = bool(folder)
    folder = folder or tempfile.mkdtemp(prefix='canp-peers-', dir='/var/tmp')
    os.makedirs(folder, exist_ok=True)
    try:
        for container in ('canp', 'blf'):
            compare(exe, folder, container)
    finally:
        if not keep:
            shutil.rmtree(folder, True)


if __name__ == '__main__':
    main()
