"""oracle_dbc.py [-v]: physical values at the end of whole jobs against cantools.

1. The statistics sets of the corpus (data/oracle): real traffic from MF4 files, turned into a BLF
   and a candump log here, decoded by a job; per signal count, min, max, sum, first and last value
   and time, and the first twenty values, must equal what cantools gave.
2. The vectors (data/vectors): payloads of each DBC as a candump log, classic and FD, one job per
   DBC; every physical value exactly, labels of value tables, null where the vectors have no value.
   Once as CSV, which decodes value by value, and once as Parquet, which decodes by kernels into
   packed pages, with enough repetitions to fill them; the Parquet side needs the reader that
   tests/interop installs and is skipped without it.
"""
import collections
import gzip
import json
import os
import re
import struct
import subprocess
import sys
import zlib

import oracle_common as oc

# Set of data/oracle, MF4 it was made from, DBC.
SETS = [
    ('fcbf_j1939', 'FCBF0606_00003482_00000001-60B621D9.MF4',
     'CSS-Electronics-SAE-J1939-DEMO.dbc'),
    ('63bef5cd_gnss', '2F6913DB_00001089_00000001-63BEF5CD.MF4', 'gnss.dbc'),
    ('7512be4d_can9', '7512BE4D_00000427_00000001.MF4', 'can9-database-01.09.dbc'),
]
REPEAT = 400  # rows of a vector's payload in the Parquet job: more than a page needs to be packed


def find_dbc(name):
    for folder in ('cantools', 'opendbc', 'other'):
        path = os.path.join(oc.corpus_dir(), 'dbc', folder, name)
        if os.path.exists(path):
            return path
    return None


# ---- logs ----------------------------------------------------------------------------------------
def mf4_frames(ref, path):
    """(ts ns, bus, id, ext, tx, data) of an MF4, and the time its measurement began."""
    f = ref.F(path)
    m = ref.load(f)
    res = []
    for _, ts, _, o in ref.frames(f, m):
        if 'DataLength' not in o:
            continue
        res.append((m['start'] + ts, o['BusChannel'], o['ID'], bool(o['IDE']), bool(o.get('Dir')),
                    (o.get('DataBytes') or b'')[:o['DataLength']]))
    return res, m['start']


def write_candump(path, frames):
    with open(path, 'w') as f:
        for ts, bus, cid, ext, tx, data in frames:
            f.write('(%d.%09d) can%d %s#%s %s\n' % (ts // 10**9, ts % 10**9, bus,
                                                    '%08X' % cid if ext else '%03X' % cid,
                                                    data.hex().upper(), 'T' if tx else 'R'))


def write_blf(path, frames, start_ns, container=8192):
    """Classic frames in zlib containers so small that objects lie across their borders."""
    import datetime
    stream = bytearray()
    for ts, bus, cid, ext, tx, data in frames:
        stream += struct.pack('<4sHHIIIHHQHBBI8s', b'LOBJ', 32, 1, 48, 1, 2, 0, 0, ts - start_ns,
                              bus, 1 if tx else 0, len(data), cid | (1 << 31 if ext else 0), data)
    out = bytearray()
    for at in range(0, len(stream), container):
        part = bytes(stream[at:at + container])
        z = zlib.compress(part)
        out += struct.pack('<4sHHIIHHIII', b'LOBJ', 16, 1, 32 + len(z), 10, 2, 0, 0, len(part), 0)
        out += z + bytes(len(z) % 4)
    st = datetime.datetime.fromtimestamp(start_ns / 1e9, datetime.timezone.utc)
    when = struct.pack('<8H', st.year, st.month, st.isoweekday() % 7, st.day, st.hour, st.minute,
                       st.second, start_ns // 10**6 % 1000)
    head = struct.pack('<4sIIBBBBQQII', b'LOGG', 144, 4080200, 2, 6, 8, 1, 144 + len(out),
                       144 + len(stream), len(frames), 36)
    open(path, 'wb').write((head + when + when).ljust(144, b'\0') + out)


# ---- statistics sets -----------------------------------------------------------------------------
def number(text):
    """A value of either side: integers stay integers, so that nothing is compared rounded."""
    try:
        return int(text)
    except ValueError:
        return float(text)


def read_tsv(path):
    with open(path, encoding='utf-8') as f:
        head = f.readline().rstrip('\n').split('\t')
        return [dict(zip(head, line.rstrip('\n').split('\t'))) for line in f]


def series(out):
    """(bus, message, signal) -> [(ts ns, value)] of a CSV dataset, absent values left out."""
    res = collections.defaultdict(list)
    signals = collections.defaultdict(list)
    for r in oc.rows(out, 'canp_signals'):
        signals[r['table']].append((r['message'], r['signal'], r['column']))
    for table, columns in signals.items():
        for r in oc.rows(out, table):
            for message, signal, column in columns:
                if r[column] != '':
                    res[r['bus'], message, signal].append((int(r['ts_ns']), number(r[column])))
    return res


def check_series(t, name, got, stats, head):
    want = {(r['bus'], r['message'], r['signal']): r for r in stats}
    t.check(set(got) == set(want), name + ' signals',
            'too many or missing: %r' % sorted(set(got) ^ set(want))[:4])
    for key, w in want.items():
        s = got.get(key)
        if not s:
            continue
        v = [x for _, x in s]
        total = 0.0
        for x in v:
            total += x
        found = (len(v), min(v), max(v), total, v[0], v[-1], s[0][0], s[-1][0])
        expected = tuple(number(w[k]) for k in ('count', 'min', 'max', 'sum', 'first', 'last',
                                                'ts_first_ns', 'ts_last_ns'))
        t.check(found == expected, '%s %s' % (name, '.'.join(key)),
                '%r against %r' % (found, expected))
    firsts = collections.defaultdict(list)
    for r in head:
        firsts[r['bus'], r['message'], r['signal']].append((int(r['ts_ns']), number(r['value'])))
    for key, w in firsts.items():
        diff = oc.first_difference(got.get(key, [])[:len(w)], w)
        t.check(not diff, '%s %s first values' % (name, '.'.join(key)), diff)


def statistics(t, tmp):
    ref = oc.reference('mdf4ref')
    for name, mf4, dbc_name in SETS:
        base = os.path.join(oc.corpus_dir(), 'oracle', name)
        source = os.path.join(oc.corpus_dir(), 'mf4', mf4)
        dbc = find_dbc(dbc_name)
        needs = ((dbc_name, dbc), (mf4, os.path.exists(source)), ('mdf4ref.py', ref),
                 (name + '.stats.tsv', os.path.exists(base + '.stats.tsv')))
        missing = [what for what, there in needs if not there]
        if missing:
            t.skip('statistics ' + name, 'not in the corpus: ' + ', '.join(missing))
            continue
        frames, start = mf4_frames(ref, source)
        stats, head = read_tsv(base + '.stats.tsv'), read_tsv(base + '.head.tsv')
        for kind in ('blf', 'log'):
            path = os.path.join(tmp, '%s.%s' % (name, kind))
            if kind == 'blf':
                write_blf(path, frames, start)
            else:
                write_candump(path, frames)
            out = path + '.out'
            res = oc.program(['run', '-d', dbc, '--sink', 'csv', '--ts-ns', '--json', '-o', out,
                              *oc.SMALL, path])
            if t.check(res.code == 0 and res.json()['frames'] == len(frames),
                       '%s %s job' % (name, kind),
                       'exit %d, %s' % (res.code, res.err.strip()[-300:])):
                check_series(t, '%s %s' % (name, kind), series(out), stats, head)


# ---- vectors -------------------------------------------------------------------------------------
class Payload:
    """One frame of the vectors: its signals as (raw, phys, choice) texts."""

    def __init__(self, cid, data):
        self.id, self.data, self.signals, self.unknown_mux = cid, data, {}, False

    def line(self, n):
        ext, cid = self.id >> 31, self.id & 0x1fffffff
        sep = '#' if len(self.data) <= 16 else '##0'
        return '(%d.%06d) can0 %s%s%s\n' % (1700000000 + n // 1000, n % 1000 * 1000,
                                            '%08X' % cid if ext else '%03X' % cid, sep, self.data)


def load_vectors(path):
    """dbc -> payloads in order, and the number of rows; a payload may come once more later."""
    res, rows = collections.OrderedDict(), 0
    with gzip.open(path, 'rt', encoding='utf-8') as f:
        f.readline()
        for line in f:
            dbc, cid, _, _, data, signal, raw, phys, choice, _ = line.rstrip('\n').split('\t')
            rows += 1
            found = res.setdefault(dbc, collections.OrderedDict())
            key = (int(cid), data)
            p = found.get(key) or found.setdefault(key, Payload(*key))
            if signal == '*UNKNOWN_MUX*':
                p.unknown_mux = True
            else:
                p.signals[signal] = (raw, phys, choice)
    return res, rows


def same_number(got, want, single):
    """Equal to the last bit: integers as integers, doubles as doubles; columns of single floats may
    be written with the digits that such a float needs."""
    if got == want:
        return True
    try:
        if not re.search('[.eEnN]', got + want):
            return int(got) == int(want)
        a, b = float(got), float(want)
    except ValueError:
        return False
    if single and a == a and abs(a) < 3.5e38:
        a = struct.unpack('<f', struct.pack('<f', a))[0]
    return struct.pack('<d', a) == struct.pack('<d', b) or a == b or (a != a and b != b)


def same_label(got, want):
    """cantools reads every DBC as Windows-1252, also those in UTF-8."""
    if got == want:
        return True
    return got.encode().decode('latin-1') == want


class VectorCheck:
    """Compares rows of one dataset, in any form that gives dicts of texts, with payloads."""

    def __init__(self, signals, payloads):
        self.columns = collections.defaultdict(dict)  # table -> signal -> column
        self.mux = set()  # (table, signal) that depend on others
        self.single = set()  # (table, signal) of type float
        self.long = set()  # (table, signal) above 16 bits, which --enum=both gives no label column
        self.table = {}  # id with bit 31 = ext -> table
        for r in signals:
            key = int(r['id']) | (1 << 31 if oc.truth(r['ext']) else 0)
            self.table[key] = r['table']
            self.columns[r['table']][r['signal']] = r['column']
            if r['type'] == 'float':
                self.single.add((r['table'], r['signal']))
            if int(r['length']) > 16:
                self.long.add((r['table'], r['signal']))
            if r['mux_signal']:
                self.mux.add((r['table'], r['signal']))
        self.by_table = collections.defaultdict(list)
        self.without = collections.Counter()
        for p in payloads:
            if p.id in self.table:
                self.by_table[self.table[p.id]].append(p)
            else:
                self.without[p.id] += len(p.signals)
        self.values, self.nulls, self.bad = 0, 0, []

    def wrong(self, table, p, text):
        self.bad.append('%s %08x %s %s' % (table, p.id, p.data, text))

    def row(self, table, p, row):
        columns = self.columns[table]
        for signal, (raw, phys, choice) in p.signals.items():
            column = columns.get(signal)
            got = row.get(column) if column else None
            if got is None or not same_number(got, phys, (table, signal) in self.single):
                self.wrong(table, p, '%s: %r against %s' % (signal, got, phys))
            elif choice and (table, signal) in self.long:
                self.values += 1
                if column + '_label' in row:
                    self.wrong(table, p, '%s has a label column' % signal)
            elif choice and not same_label(row.get(column + '_label') or '', choice):
                self.wrong(table, p, '%s: label %r against %r' %
                           (signal, row.get(column + '_label'), choice))
            else:
                self.values += 1
        absent = [c for s, c in columns.items() if s not in p.signals]
        if p.unknown_mux:
            # Nothing is multiplexed by a value that no signal has; all else is there.
            nulls = sum(row[columns[s]] in ('', None) for t, s in self.mux if t == table)
            if not nulls:
                self.wrong(table, p, 'no null although the multiplexor selects nothing')
            self.nulls += nulls
            absent = [c for s, c in columns.items() if (table, s) not in self.mux
                      and row[c] in ('', None)]
            if absent:
                self.wrong(table, p, '%s is null' % absent[0])
            return
        for column in absent:
            if row[column] not in ('', None):
                self.wrong(table, p, '%s should be null, is %s' % (column, row[column]))
            else:
                self.nulls += 1

    def dataset(self, read):
        """read(table) -> rows as dicts."""
        for table, payloads in self.by_table.items():
            rows = read(table)
            if len(rows) != len(payloads):
                self.bad.append('%s: %d rows against %d' % (table, len(rows), len(payloads)))
                continue
            for p, row in zip(payloads, rows):
                self.row(table, p, row)


def run_vectors(tmp, dbc, name, payloads, sink):
    """One job; CSV has each payload once, Parquet a second file with REPEAT times all of them."""
    folder = os.path.join(tmp, 'v-' + sink, name)
    os.makedirs(folder)
    text = ''.join(p.line(i) for i, p in enumerate(payloads))
    paths = [os.path.join(folder, '1.log')]
    open(paths[0], 'w').write(text)
    if sink == 'parquet':
        paths.append(os.path.join(folder, '2.log'))
        open(paths[1], 'w').write(text * REPEAT)
    out = os.path.join(folder, 'out')
    res = oc.program(['run', '-d', dbc, '--sink', sink, '--enum', 'both', '--json', '-o', out,
                      '--cores', '1', *oc.SMALL, '--writer-mem', '256m', *paths])
    for p in paths:
        os.unlink(p)
    return out, res


def parquet_rows(tmp, outs):
    """Rows of the first file of each table of each dataset, through the installed reader, after it
    has made sure that the repetitions are equal to them. dataset -> table -> rows."""
    listing = os.path.join(tmp, 'datasets.json')
    open(listing, 'w').write(json.dumps(outs))
    script = os.path.join(os.environ['CANP_INTEROP'], 'rows.mjs')
    p = subprocess.run(['node', script, listing, str(REPEAT)], capture_output=True, timeout=120)
    if p.returncode:
        raise RuntimeError(p.stderr.decode()[-500:])
    return json.loads(p.stdout)


def parquet_reader(t):
    """True when tests/interop has a reader here; what is missing is said."""
    here = os.path.dirname(os.path.abspath(__file__))
    p = subprocess.run(['sh', os.path.join(here, 'interop', 'stage.sh')], capture_output=True)
    if p.returncode:
        t.skip('vectors through Parquet', p.stdout.decode().strip() or p.stderr.decode()[-300:])
        return False
    os.environ['CANP_INTEROP'] = p.stdout.decode().strip()
    return True


def vectors(t, tmp):
    path = os.path.join(oc.corpus_dir(), 'vectors', 'dbc_vectors.tsv.gz')
    if not os.path.exists(path):
        return t.skip('vectors', 'not in the corpus')
    by_dbc, rows = load_vectors(path)
    total = collections.Counter()
    parquet = {}
    reader = parquet_reader(t)
    for name, found in by_dbc.items():
        payloads = list(found.values())
        dbc = find_dbc(name)
        if not dbc:
            n = sum(len(p.signals) for p in payloads)
            total['absent'] += n
            t.skip('vectors ' + name, 'the DBC is not in the corpus (%d rows)' % n)
            continue
        out, res = run_vectors(tmp, dbc, name, payloads, 'csv')
        if not t.check(res.code == 0, 'vectors %s csv job' % name,
                       'exit %d, %s' % (res.code, res.err.strip()[-300:])):
            continue
        c = VectorCheck(oc.rows(out, 'canp_signals'), payloads)
        c.dataset(lambda table: oc.rows(out, table))
        finish_dbc(t, name, 'csv', c, total)
        if reader:
            out, res = run_vectors(tmp, dbc, name, payloads, 'parquet')
            if t.check(res.code == 0, 'vectors %s parquet job' % name,
                       'exit %d, %s' % (res.code, res.err.strip()[-300:])):
                parquet[name] = out
    if parquet:
        got = parquet_rows(tmp, parquet)
        for name in parquet:
            for text in got[name]['bad']:
                t.fail('vectors %s repetitions' % name, text)
            tables = got[name]['tables']
            c = VectorCheck(tables.get('canp_signals', []), list(by_dbc[name].values()))
            c.dataset(lambda table: tables.get(table, []))
            finish_dbc(t, name, 'parquet', c, total)
    print('vectors: %d rows, %d without their DBC, %d need a transport protocol; equal values: %d '
          'csv, %d parquet; nulls: %d csv, %d parquet' %
          (rows, total['absent'], total['transport'], total['csv'], total['parquet'],
           total['null csv'], total['null parquet']))
    unknown = sum(p.unknown_mux for f in by_dbc.values() for p in f.values())
    t.check(total['csv'] + total['absent'] + total['transport'] + unknown == rows,
            'every row of the vectors is accounted for',
            '%d rows, %d payloads with unknown multiplexor' % (rows, unknown))
    return None


def finish_dbc(t, name, sink, c, total):
    t.check(not c.bad, 'vectors %s %s' % (name, sink),
            '%d differences, e.g. %s' % (len(c.bad), '; '.join(c.bad[:3])))
    total[sink] += c.values
    total['null ' + sink] += c.nulls
    if sink == 'csv' and c.without:
        total['transport'] += sum(c.without.values())
        t.skip('vectors %s %s' % (name, ', '.join('%x' % i for i in c.without)),
               'messages of more than 8 bytes without CAN FD have no table (%d rows)' %
               sum(c.without.values()))


def main():
    args = sys.argv[1:]
    t = oc.Tally('-v' in args)
    oc.need_or_finish(t)
    tmp = oc.temp_dir('--keep' in args)
    if '--keep' in args:
        print('kept: ' + tmp)
    statistics(t, tmp)
    vectors(t, tmp)
    t.finish()


if __name__ == '__main__':
    main()
