"""What the oracle tests share: counting and printing of results, running the program, reading its
CSV datasets, and running other people's readers in a child process that is killed after a while,
because some of them hang on damaged files.

A test that lacks an input says so and counts as skipped; the exit status is 1 when one failed.
"""
import csv
import importlib.util
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import time

os.environ['TZ'] = 'UTC'  # python-can takes the local time of BLF headers for the host's
time.tzset()


class Tally:
    """Counts results; prints failures and skips, and with -v what passed."""

    def __init__(self, verbose=False):
        self.passed, self.failed, self.skipped, self.verbose = 0, 0, 0, verbose

    def ok(self, name, detail=''):
        self.passed += 1
        if self.verbose:
            print('ok   %s%s' % (name, ': ' + detail if detail else ''), flush=True)

    def fail(self, name, why):
        self.failed += 1
        print('FAIL %s: %s' % (name, why), flush=True)

    def skip(self, name, why):
        self.skipped += 1
        print('SKIP %s: %s' % (name, why), flush=True)

    def check(self, good, name, why):
        """One check; why tells what was found instead."""
        if good:
            self.ok(name)
        else:
            self.fail(name, why)
        return good

    def finish(self):
        print('%d passed, %d failed, %d skipped' % (self.passed, self.failed, self.skipped))
        sys.exit(1 if self.failed else 0)


def bin_dir():
    return os.environ.get('CANP_BIN', 'build/bin')


def corpus_dir():
    return os.path.abspath(os.environ.get('CANP_CORPUS', '../shared/data'))


def reference(name):
    """A reference reader that lies beside the corpus, as a module; None when it is not there."""
    path = os.path.join(corpus_dir(), '..', 'tools', name + '.py')
    if not os.path.exists(path):
        return None
    spec = importlib.util.spec_from_file_location(name, path)
    mod = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode = True
    spec.loader.exec_module(mod)
    return mod


def need_or_finish(t):
    """Ends the test when the program or the corpus is missing."""
    exe = os.path.join(bin_dir(), 'canp-appliance')
    if not os.access(exe, os.X_OK):
        t.skip('all', exe + ' is not built')
        t.finish()
    if not os.path.isdir(corpus_dir()):
        t.skip('all', 'no corpus at %s (set CANP_CORPUS)' % corpus_dir())
        t.finish()


def temp_dir(keep=False):
    """A folder in TMPDIR that goes away at exit, also on SIGTERM of `timeout`."""
    path = tempfile.mkdtemp(prefix='canp-oracle-')
    if not keep:
        import atexit
        atexit.register(shutil.rmtree, path, True)
        signal.signal(signal.SIGTERM, lambda *a: sys.exit(124))
    return path


class Result:
    def __init__(self, code, out, err):
        self.code, self.out, self.err = code, out, err

    def json(self):
        return json.loads(self.out)


def program(args, timeout=120):
    """Runs canp-appliance; never raises. Code 124 when it did not end in time."""
    cmd = [os.path.join(bin_dir(), 'canp-appliance')] + [str(a) for a in args]
    try:
        p = subprocess.run(cmd, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout)
        return Result(p.returncode, p.stdout.decode(), p.stderr.decode(errors='replace'))
    except subprocess.TimeoutExpired:
        return Result(124, '', 'no end after %d s' % timeout)


# Small arenas: the inputs are small, and the tests run beside others.
SMALL = ['--mem-per-core', '64m', '--writer-mem', '64m', '--progress', 'never']


def rows(out, table):
    """All rows of a table of a CSV dataset as dicts, parts in order; [] when there is none."""
    folder = os.path.join(out, table)
    if not os.path.isdir(folder):
        return []
    res = []
    for part in sorted(os.listdir(folder)):
        if part.endswith('.csv'):
            with open(os.path.join(folder, part), newline='', encoding='utf-8') as f:
                res.extend(csv.DictReader(f))
    return res


def truth(text):
    """A boolean column."""
    return text in ('true', '1')


def limited(fn, *args, seconds=20):
    """fn(*args) in a child that is killed after that many seconds. (value, None) or (None, why)."""
    r, w = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.close(r)
        signal.alarm(seconds)  # its default action ends the child wherever it hangs
        try:
            data = pickle.dumps((fn(*args), None))
        except Exception as e:  # whatever a reader throws is its verdict on the file
            data = pickle.dumps((None, '%s: %s' % (type(e).__name__, e)))
        with os.fdopen(w, 'wb') as f:
            f.write(data)
        os._exit(0)
    os.close(w)
    with os.fdopen(r, 'rb') as f:
        data = f.read()
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return None, 'killed after %d s' % seconds
    return pickle.loads(data)


def first_difference(a, b):
    """Text about the first place where two sequences differ; '' when they are equal."""
    for i, (x, y) in enumerate(zip(a, b)):
        if x != y:
            return 'item %d: %r against %r' % (i, x, y)
    return '' if len(a) == len(b) else '%d items against %d' % (len(a), len(b))
