"""compare_fio.py BIN: the same job file (io_uring, direct, blocks of 1 MiB, four in flight) run by fio
and by canp-bench, by turns with a rest before each, and the median of the ratios of each turn.

How fast a device takes a block depends on the memory it goes to: in small pages it lies in up to 256
physical pieces, by chance more or fewer in each process, and a device that takes fewer pieces in a
request gets two of them. So two series are run. In the first both have huge pages (iomem=shmhuge):
there the medians have to agree within CANP_FIO_AGREE per cent. It needs root, who reserves eight huge
pages for as long as the series lasts. In the second the job file says nothing of memory, as most do:
it is printed with the requests a MiB that reached the device, and judged only by the number of
bytes, because there chance is larger than five per cent.

CANP_FIO_FILE (a file of 1 GiB; default: made in a temporary folder), CANP_FIO_TURNS (13),
CANP_FIO_LOOPS (10 GiB a run), CANP_FIO_REST (1 s), CANP_FIO_AGREE (5), CANP_FIO_PLAIN_TURNS (5).
"""
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

TURNS = int(os.environ.get('CANP_FIO_TURNS', '13'))
PLAIN = int(os.environ.get('CANP_FIO_PLAIN_TURNS', '5'))
LOOPS = int(os.environ.get('CANP_FIO_LOOPS', '10'))
REST = float(os.environ.get('CANP_FIO_REST', '1'))
AGREE = float(os.environ.get('CANP_FIO_AGREE', '5'))
SIZE = 1 << 30
HUGE = '/proc/sys/vm/nr_hugepages'
JOB = '''[global]
ioengine=io_uring
direct=1
bs=1m
rw=read
iodepth=4
filename=%s
size=1g
loops=%d
%s
[both]
'''


def device_of(path):
    d = os.stat(path).st_dev
    return '%d:%d' % (os.major(d), os.minor(d))


def requests(dev):
    """Reads completed by the device and bytes of them, so far; None: it is none."""
    try:
        f = open('/sys/dev/block/%s/stat' % dev).read().split()
        return int(f[0]), int(f[2]) * 512
    except OSError:
        return None


def run(cmd, dev):
    time.sleep(REST)
    before = requests(dev)
    p = subprocess.run(cmd, stdin=subprocess.DEVNULL, capture_output=True, timeout=300)
    after = requests(dev)
    if p.returncode:
        sys.exit('%s: exit %d: %s' % (cmd[0], p.returncode, p.stderr.decode()[-300:]))
    text = p.stdout.decode()
    r = json.loads(text[text.index('{'):])['jobs'][0]['read']
    per_mib = (after[0] - before[0]) / ((after[1] - before[1]) / 2**20 or 1) if before else 0
    return r['bw_bytes'] / 1e6, r['io_bytes'], per_mib


def series(name, exe, job, dev, turns):
    ratio = []
    for i in range(turns):
        order = ['fio', 'canp'] if i % 2 else ['canp', 'fio']
        got = {who: run([exe if who == 'canp' else 'fio', job, '--output-format=json'], dev)
               for who in order}
        ratio.append(got['canp'][0] / got['fio'][0])
        print('  %s turn %2d: fio %6.0f MB/s (%.2f requests/MiB), canp-bench %6.0f MB/s (%.2f), ratio %.3f'
              % (name, i + 1, got['fio'][0], got['fio'][2], got['canp'][0], got['canp'][2],
                 ratio[-1]), flush=True)
        if got['fio'][1] != got['canp'][1]:
            sys.exit('FAIL %s: fio read %d bytes, canp-bench %d' % (name, got['fio'][1],
                                                                    got['canp'][1]))
    m = statistics.median(ratio)
    q = statistics.quantiles(ratio, n=4) if turns > 1 else [m, m, m]
    print('%s: canp-bench : fio %.3f (median of %d turns, quartiles %.3f and %.3f)' %
          (name, m, turns, q[0], q[2]))
    return m


def reserve(n):
    """Huge pages for the first series; what was reserved before, None: they cannot be had."""
    try:
        had = int(open(HUGE).read())
        with open(HUGE, 'w') as f:
            f.write(str(had + n))
        if int(open(HUGE).read()) >= had + n:
            return had
        with open(HUGE, 'w') as f:
            f.write(str(had))
    except OSError:
        pass
    return None


def main():
    exe = os.path.join(sys.argv[1], 'canp-bench')
    if not shutil.which('fio'):
        print('SKIP compare_fio: fio is not installed (apt install fio)')
        return 77
    folder = tempfile.mkdtemp(prefix='canp-fio-', dir=os.environ.get('TMPDIR', '/var/tmp'))
    failed = 0
    try:
        path = os.environ.get('CANP_FIO_FILE')
        if not path:
            path = os.path.join(folder, 'blob')
            with open(path, 'wb') as f:
                for _ in range(SIZE >> 20):
                    f.write(os.urandom(1 << 20))
                os.fsync(f.fileno())
        dev = device_of(path)
        job = os.path.join(folder, 'read.job')
        had = reserve(8)
        if had is None:
            print('SKIP huge pages: none can be reserved (%s)' % HUGE)
        else:
            try:
                with open(job, 'w') as f:
                    f.write(JOB % (path, LOOPS, 'iomem=shmhuge\n'))
                m = series('huge pages', exe, job, dev, TURNS)
            finally:
                with open(HUGE, 'w') as f:
                    f.write(str(had))
            if abs(m - 1) * 100 > AGREE:
                print('FAIL huge pages: %.1f %% apart, %g are allowed' % (abs(m - 1) * 100, AGREE))
                failed = 1
        with open(job, 'w') as f:
            f.write(JOB % (path, LOOPS, ''))
        series('as it is', exe, job, dev, PLAIN)
    finally:
        shutil.rmtree(folder)
    print('%d passed, %d failed' % (2 - failed - (had is None), failed))
    return failed


sys.exit(main())
