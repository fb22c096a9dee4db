"""compare_peers.py BIN ISAL_ONLY: how fast a job is beside others, on the same generated logs.

Per container (CANP, BLF): rounds that alternate `isal_inflate` alone with a whole job on one core,
because the speed of a shared machine drifts; the median of each is printed, and the ratio (above 1:
the whole job is faster than merely inflating its input). For BLF also the CPU seconds of python-can
and tshark for one of the files. Nothing here fails but what cannot run: these are measurements.

CANP_PEERS_FILES (20), CANP_PEERS_SIZE (15M), CANP_PEERS_ROUNDS (3), CANP_PEERS_WORKLOAD (dense),
CANP_PEERS_ARGS (more arguments of the job), CANP_PEERS_DIR (default: a temporary folder) change it.
"""
import json
import os
import resource
import shutil
import statistics
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


def whole_job(exe, dbc, out, paths):
    shutil.rmtree(out, True)
    text, cpu = run([exe, 'run', '--json', '--cores', '1', '-d', dbc, '-o', out, *ARGS, *paths])
    return json.loads(text), cpu


def compare(exe, isal, folder, container):
    logs, dbc = os.path.join(folder, container), os.path.join(folder, container + '.dbc')
    if not os.path.exists(dbc):
        run([os.path.join(os.path.dirname(exe), 'canp-gen'), '--container', container, '--files',
             FILES, '--size', SIZE, '--workload', WORKLOAD, '--seed', '7', '--dbc', dbc, logs])
    paths = sorted(os.path.join(logs, f) for f in os.listdir(logs))
    out = os.path.join(folder, 'out')
    whole_job(exe, dbc, out, paths[:1])  # warm caches, pages
    floor, wall, cpu, ratio = [], [], [], []
    for _ in range(ROUNDS):
        f = json.loads(run([isal, *paths])[0])
        job, seconds = whole_job(exe, dbc, out, paths)
        floor.append(f['cpu_s'])
        wall.append(job['elapsed_s'])
        cpu.append(seconds)
        ratio.append(f['cpu_s'] / job['elapsed_s'])
    if f['bytes_inflated'] != job['bytes_inflated']:
        print('  note: %d bytes inflated by isal_only, %d by the job' %
              (f['bytes_inflated'], job['bytes_inflated']))
    print('%s: %d files, %.1f MB, %.1f MB inflated, %d frames, %s, median of %d rounds' %
          (container, f['files'], f['bytes_in'] / 1e6, f['bytes_inflated'] / 1e6, job['frames'],
           WORKLOAD, ROUNDS))
    n = (f['files'], f['bytes_in'], job['frames'])
    say('isal_inflate alone, 1 core', statistics.median(floor), *n)
    say('whole job, 1 core', statistics.median(wall), *n,
        '  simd %s, ring %s, pages %s' % (job['simd'], job['ring'], job['hugepages']))
    say('whole job, CPU time', statistics.median(cpu), *n)
    print('  ratio job : isal_inflate      %9.2f by elapsed time, %.2f by CPU time' %
          (statistics.median(ratio), statistics.median(floor) / statistics.median(cpu)))
    shutil.rmtree(out, True)
    if container == 'blf':
        peers(paths[0], job['frames'] / len(paths), statistics.median(cpu) / job['frames'])


def peers(path, about, ours):
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
            '  %.0f times the CPU of the job a frame' % (cpu / frames / ours))
        if abs(frames - about) > about * 0.1:
            print('  note: %d frames, %d expected' % (frames, about))


def main():
    if len(sys.argv) != 3:
        sys.exit('usage: compare_peers.py BIN ISAL_ONLY')
    exe = os.path.join(sys.argv[1], 'canp-appliance')
    folder = os.environ.get('CANP_PEERS_DIR')
    keep = bool(folder)
    folder = folder or tempfile.mkdtemp(prefix='canp-peers-', dir='/var/tmp')
    os.makedirs(folder, exist_ok=True)
    try:
        for container in ('canp', 'blf'):
            compare(exe, sys.argv[2], folder, container)
    finally:
        if not keep:
            shutil.rmtree(folder, True)


if __name__ == '__main__':
    main()
