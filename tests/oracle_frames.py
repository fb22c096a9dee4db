"""oracle_frames.py [-v]: frames of every BLF and candump file of the corpus against three readers.

1. Counts: `inspect --json` and canp_files of a job against the reference walker (BLF) and against a
   small parser in this file (candump).
2. Content: time to the nanosecond, id, type, length, data of canp_frames and canp_events against
   the same two.
3. python-can and tshark against the rows of the same job, where they can read the file. What they
   are not asked for, and why, is in EXCLUDED and in the comments of the readers below.
4. gzip'd copies give the rows of the plain file; damaged copies give at least what the reference
   walker finds in the same bytes, and no frame that was not in the original.
"""
import calendar
import collections
import glob
import gzip
import os
import re
import shutil
import struct
import subprocess
import sys
import zlib

import oracle_common as oc

# Readers and files that do not go together. The rest must agree frame by frame.
UNREAL = 'made of fill patterns: no start date, and a 29-bit id without its flag'
EXCLUDED = {
    'python-can': {
        'derived/j1939_fcbf_trunc.blf': 'damaged: python-can raises at the cut',
        'derived/j1939_fcbf_zerosize.blf': 'damaged: python-can raises at the container of size 0',
        'derived/j1939_fcbf_objzero.blf': 'damaged: python-can does not return',
        'blf/errors/FileWithTruncatedCanMessage.blf': 'damaged',
        'blf/converter/test_GlobalMarker.blf':
            'python-can does not find the object behind the padding',
    },
    'tshark': {
        'derived/j1939_fcbf_trunc.blf': 'damaged: tshark stops at the cut',
        'derived/j1939_fcbf_zerosize.blf': 'damaged: tshark stops at the container of size 0',
        'derived/j1939_fcbf_objzero.blf': 'damaged: tshark stops at the object of size 0',
        'blf/errors/FileWithTruncatedCanMessage.blf': 'damaged',
        'blf/errors/FileWithUnknownObjectType.blf': UNREAL,
        'blf/binlog/test_CanMessage.blf': UNREAL,
        'blf/test_CanMessage2.blf': UNREAL,
        'blf/test_CanFdMessage.blf': UNREAL,
        'blf/converter/test_CanMessage.blf': 'no start date: tshark counts from before 1970',
    },
}

Frame = collections.namedtuple('Frame', 'ts kind bus id ext fd brs esi tx dlc data')
# ot: BLF object type (0: candump), which readers 3 are limited by.
Item = collections.namedtuple('Item', 'frame ot')


def dlc_of(dlc, ot):
    """DLC as kept: four bits; classic objects with more in that byte have 8 bytes of data."""
    return (8 if dlc > 15 else dlc) if ot in (1, 86) else dlc & 15


def blf_start_ns(head):
    y, mo, _, d, h, mi, s, ms = head['start']
    if not (1 <= mo <= 12 and 1 <= d <= 31):
        return 0
    return calendar.timegm((y, mo, d, h, mi, s)) * 10**9 + ms * 10**6


def blf_items(ref, path):
    """Frames of a BLF by the reference walker, normalised to what tables hold."""
    data = open(path, 'rb').read()
    head = ref.header(data)
    start = blf_start_ns(head)
    stream, _, errors, top = ref.stream(data, head['hdrsize'])
    stream += b''.join(top)
    types = [o[4] for o in ref.objs(stream) if o[4] in (1, 2, 3, 73, 86, 100, 101, 104)]
    res = []
    for ot, (t, kind, chan, cid, tx, fl, dlc, length, payload) in zip(types, ref.frames(stream)):
        if t >= 1 << 63:
            t -= 1 << 64  # times before the start of the measurement
        fd = kind == 'FD'
        brs = esi = False
        if kind == 'FD':
            brs, esi = (fl & 2, fl & 4) if ot == 100 else (fl & 0x2000, fl & 0x4000)
        if kind == 'RTR':
            payload = b''
        kind = {'RTR': 'rtr', 'OVL': 'ovl'}.get(kind, 'err' if kind.startswith('ERR') else 'data')
        if kind == 'data':
            payload = payload.ljust(min(length, 64 if fd else 8), b'\0')
        res.append(Item(Frame(start + t, kind, chan, cid & 0x1fffffff,
                              bool(cid >> 31) or (cid & 0x1fffffff) > 0x7ff, fd, bool(brs),
                              bool(esi), bool(tx), dlc_of(dlc, ot), payload), ot))
    return res, errors


LINE = re.compile(rb'^\s*\((\d+)\.(\d{1,9})\)\s+(\S+)\s+([0-9A-Fa-f]+)#(\S*)(?:\s+([RT]))?\s*$')
LENGTHS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64]


def candump_items(path):
    """Frames of a candump log, straight from the description of its lines."""
    res = []
    for line in open(path, 'rb'):
        m = LINE.match(line)
        if not m:
            continue
        sec, frac, name, cid, rest, way = m.groups()
        ts = int(sec) * 10**9 + int(frac.ljust(9, b'0'))
        number = re.search(rb'(\d+)$', name)
        ext, kind = len(cid) > 3, 'data'
        cid = int(cid, 16)
        if ext and cid & 0x20000000:
            kind, ext = 'err', False
        fd = rest.startswith(b'#')
        flags = int(rest[1:2], 16) if fd else 0
        text = rest[2:] if fd else rest
        raw_dlc = None
        if not fd and text[:1] in (b'R', b'r'):
            kind = 'rtr'
            length, _, code = text[1:].partition(b'_')
            raw_dlc, text = int(code or length or b'0', 16), b''
        elif not fd and b'_' in text:
            text, _, code = text.partition(b'_')
            raw_dlc = int(code, 16)
        data = bytes.fromhex(text.replace(b'.', b'').decode())
        if raw_dlc is None:
            raw_dlc = next(i for i, n in enumerate(LENGTHS) if n >= len(data))
        res.append(Item(Frame(ts, kind, int(number.group(1)) if number else 0,
                              cid & 0x1fffffff, ext, fd, bool(flags & 1), bool(flags & 2),
                              way == b'T', raw_dlc, data), 0))
    return res


def pycan_frames(path):
    """(ts ns, error, remote, fd, id, ext, data) by python-can. Its times are doubles of seconds, so
    they are compared to the microsecond; data of remote frames is not compared (it shows the bytes
    behind the header); the DLC of classic frames of BLF may be any byte there."""
    import logging
    import can
    logging.disable(logging.CRITICAL)
    cls = can.BLFReader if path.endswith('.blf') else can.CanutilsLogReader
    res = []
    for m in cls(path):
        res.append((m.timestamp, bool(m.is_error_frame), bool(m.is_remote_frame), bool(m.is_fd),
                    m.arbitration_id, bool(m.is_extended_id),
                    b'' if m.is_remote_frame else bytes(m.data)))
    return res


def tshark_frames(path):
    """(ts ns, remote, id, ext, data) by tshark; it has no object types 2, 3, 73, 104."""
    cmd = ['tshark', '-n', '-r', path, '-T', 'fields']
    for field in ('frame.time_epoch', 'can.id', 'can.flags.xtd', 'can.flags.rtr', 'data.data'):
        cmd += ['-e', field]
    out = subprocess.run(cmd, capture_output=True, timeout=30, check=True)
    res = []
    for line in out.stdout.decode().splitlines():
        ts, cid, xtd, rtr, data = line.split('\t')
        sec, _, frac = ts.partition('.')
        if cid:
            res.append((int(sec) * 10**9 + int(frac.ljust(9, '0')[:9]), rtr == '1', int(cid),
                        xtd == '1', bytes.fromhex(data)))
    return res


def job(out, paths, extra=()):
    """Runs a raw job over the files; per file the frames of canp_frames and of canp_events in their
    order, and its row of canp_files. Result of the program first."""
    res = oc.program(['run', '--raw', '--sink', 'csv', '--ts-ns', '--json', '-o', out, *oc.SMALL,
                      *extra, *paths])
    data = collections.defaultdict(list)
    events = collections.defaultdict(list)
    for r in oc.rows(out, 'canp_frames'):
        data[int(r['src'])].append(Frame(
            int(r['ts_ns']), 'data', int(r['bus']), int(r['id']), oc.truth(r['ext']),
            oc.truth(r['fd']), oc.truth(r['brs']), oc.truth(r['esi']), oc.truth(r['tx']),
            int(r['dlc']), bytes.fromhex(r['data'])))
        if int(r['len']) != len(bytes.fromhex(r['data'])):
            raise ValueError('len %s, data %s' % (r['len'], r['data']))
    for r in oc.rows(out, 'canp_events'):
        if oc.truth(r['gap']):
            continue
        kind = [k for k in ('rtr', 'err', 'ovl') if oc.truth(r[k])]
        events[int(r['src'])].append(Frame(
            int(r['ts_ns']), kind[0], int(r['bus']), int(r['id']), oc.truth(r['ext']),
            oc.truth(r['fd']), False, False, False, int(r['dlc']), bytes.fromhex(r['data'])))
    files = {int(r['src']): r for r in oc.rows(out, 'canp_files')}
    return res, data, events, files


def event_key(f):
    """What canp_events keeps of a frame: no rate flags, no direction, eight bytes of data; the
    FD flag of error frames lies in a field that the reference walker does not read."""
    return f._replace(fd=False, brs=False, esi=False, tx=False, data=f.data[:8])


def bus_key(f):
    """The bus column has eight bits; files made of fill patterns have a channel 0x1111."""
    return f._replace(bus=min(f.bus, 255))


def merge(items, data, events):
    """Rows of the tables in the order of the reference items, so that readers that interleave data
    and events can be compared; None when the numbers differ."""
    d, e = iter(data), iter(events)
    try:
        return [(next(d) if i.frame.kind == 'data' else next(e), i.ot) for i in items]
    except StopIteration:
        return None


def check_content(t, name, items, data, events):
    want = [bus_key(i.frame) for i in items if i.frame.kind == 'data']
    diff = oc.first_difference([bus_key(f) for f in data], want)
    good = t.check(not diff, name + ' canp_frames', diff)
    want = [event_key(bus_key(i.frame)) for i in items if i.frame.kind != 'data']
    diff = oc.first_difference([event_key(bus_key(f)) for f in events], want)
    return t.check(not diff, name + ' canp_events', diff) and good


def check_pycan(t, name, path, merged):
    why = EXCLUDED['python-can'].get(name)
    if why:
        return t.skip(name + ' python-can', why)
    got, err = oc.limited(pycan_frames, path)
    if err and err.startswith('ModuleNotFoundError'):
        return t.skip(name + ' python-can', 'python3-can is not installed (make deps-test)')
    if err:
        return t.fail(name + ' python-can', err)
    want = [f for f, ot in merged if ot in (0, 1, 73, 86, 100, 101)]
    if len(got) != len(want):
        return t.fail(name + ' python-can', '%d frames against %d' % (len(want), len(got)))
    for i, (g, w) in enumerate(zip(got, want)):
        ours = (w.kind == 'err', w.kind == 'rtr', w.fd, w.id, w.ext, w.data)
        # An id above 7FF is an extended one, whatever its flag says.
        theirs = g[1:5] + (g[5] or g[4] > 0x7ff, g[6])
        if w.kind == 'err' and path.endswith('.log'):
            # It reads every long id as extended and keeps error bits beside the class bits.
            ours, theirs = ours[:3] + ours[5:], theirs[:3] + theirs[5:]
        ts = g[0] - 2**64 / 1e9 if g[0] > 18e9 else g[0]  # it takes negative times for unsigned
        if abs(ts * 1e9 - w.ts) > (1000 if ts == g[0] else 5000) or ours != theirs:
            return t.fail(name + ' python-can', 'frame %d: %r against %r' % (i, w, g))
    return t.ok(name + ' python-can', '%d frames' % len(got))


def check_tshark(t, name, path, merged, tmp):
    why = EXCLUDED['tshark'].get(name)
    if not merged and not why:
        return None  # nothing to compare
    if not why and not shutil.which('tshark'):
        why = 'tshark is not installed (make deps-test)'
    if why:
        return t.skip(name + ' tshark', why)
    if path.endswith('.log'):
        # Version 4.0 refuses lines with a direction.
        text = re.sub(rb' [RT]$', b'', open(path, 'rb').read(), flags=re.M)
        path = os.path.join(tmp, 'plain.log')
        open(path, 'wb').write(text)
    got, err = oc.limited(tshark_frames, path, seconds=40)
    if err:
        return t.fail(name + ' tshark', err)
    want = [(f.ts, f.kind == 'rtr', f.id, f.ext, f.data) for f, ot in merged
            if f.kind in ('data', 'rtr')]
    diff = oc.first_difference(want, got)
    return t.check(not diff, name + ' tshark', diff)


def check_inspect(t, paths, items, damaged):
    res = oc.program(['inspect', '--json', *paths])
    if res.code not in (0, 2):
        return t.fail('inspect', 'exit %d: %s' % (res.code, res.err.strip()[-300:]))
    by_path = {f['path']: f for f in res.json()['files']}
    for p in paths:
        f = by_path.get(p)
        name = os.path.relpath(p, oc.corpus_dir())
        if not f:
            t.fail(name + ' inspect', 'not reported')
        else:
            check_count(t, name + ' inspect', f['frames'], len(items[p]), damaged[p])
    return None


def check_count(t, name, got, want, damaged):
    """Of a damaged file more may be saved than the reference walker does, never less."""
    t.check(got >= want if damaged else got == want, name, '%d frames against %d' % (got, want))


def check_saved(t, name, items, path, data):
    """A damaged copy: every frame the reference walker finds, but for those it makes of the halves
    of two frames around a hole, and none that the undamaged file does not have."""
    whole = re.sub(r'_[a-z]+\.blf$', '.blf', path)
    original = collections.Counter(i.frame for i in items.get(whole, items[path]))
    want = collections.Counter(i.frame for i in items[path]) & original
    got = collections.Counter(data)
    lost, made = want - got, got - original
    t.check(not lost, name + ' canp_frames', 'without %r' % (next(iter(lost), None),))
    t.check(not made, name + ' invents no frame', '%r' % (next(iter(made), None),))


def corpus(t, ref, tmp):
    blfs = sorted(glob.glob(oc.corpus_dir() + '/**/*.blf', recursive=True))
    logs = sorted(glob.glob(oc.corpus_dir() + '/**/*.log', recursive=True))
    items, damaged = {}, {}
    for p in blfs:
        items[p], damaged[p] = blf_items(ref, p)
    for p in logs:
        items[p], damaged[p] = candump_items(p), []
    paths = blfs + logs
    check_inspect(t, paths, items, damaged)
    res, data, events, files = job(os.path.join(tmp, 'corpus'), paths)
    if res.code not in (0, 2):
        return t.fail('job over the corpus', 'exit %d: %s' % (res.code, res.err.strip()[-500:]))
    t.check(res.json()['frames'] == sum(int(f['frames']) for f in files.values()),
            'frames of the report', '%r' % res.json()['frames'])
    for src, p in enumerate(paths):
        name = os.path.relpath(p, oc.corpus_dir())
        if os.path.basename(files[src]['path']) != os.path.basename(p):
            return t.fail('canp_files', 'row %d is %s, not %s' % (src, files[src]['path'], name))
        check_count(t, name + ' canp_files', int(files[src]['frames']), len(items[p]), damaged[p])
        if damaged[p]:
            t.check(int(files[src]['damage_events']) > 0, name + ' damage', 'none reported')
            check_saved(t, name, items, p, data[src])
            continue
        if not check_content(t, name, items[p], data[src], events[src]):
            continue
        merged = merge(items[p], data[src], events[src])
        check_pycan(t, name, p, merged)
        check_tshark(t, name, p, merged, tmp)
    return items


def gz_copies(t, items, tmp):
    """Plain rows from one gzip member, from many, and from stored blocks."""
    by_name = {os.path.basename(p): p for p in items}
    paths, originals = [], []
    for name in ('fdmix_v.blf', 'fdmix_v.log', 'j1939_fcbf_c4096.blf', 'j1939_fcbf.log'):
        if name not in by_name:
            t.skip(name + '.gz', 'not in the corpus')
            continue
        raw = open(by_name[name], 'rb').read()
        cut = len(raw) // 3
        for how, text in (('one', gzip.compress(raw, 6)),
                          ('many', gzip.compress(raw[:cut], 9) + gzip.compress(raw[cut:], 1)),
                          ('stored', gzip.compress(raw, 0))):
            paths.append(os.path.join(tmp, '%s.%s.gz' % (name, how)))
            originals.append(by_name[name])
            open(paths[-1], 'wb').write(text)
    res, data, events, _ = job(os.path.join(tmp, 'gz'), paths)
    if not t.check(res.code == 0, 'job over gzip', 'exit %d: %s' % (res.code, res.err[-300:])):
        return
    for src, (p, o) in enumerate(zip(paths, originals)):
        check_content(t, os.path.basename(p), items[o], data[src], events[src])


def generated(t, ref, tmp):
    """Larger files with objects that lie across containers of 128 KiB: what genblf.py makes of an
    MF4, and what canp-gen writes, so that its format is judged by others too."""
    paths = []
    gen = os.path.join(oc.bin_dir(), 'canp-gen')
    mf4 = glob.glob(oc.corpus_dir() + '/mf4/FCBF0606*.MF4')
    tool = os.path.join(oc.corpus_dir(), '..', 'tools', 'genblf.py')
    if mf4 and os.path.exists(tool):
        paths.append(os.path.join(tmp, 'genblf.blf'))
        subprocess.run(['/usr/bin/python3', tool, mf4[0], paths[-1], '12000'], check=True,
                       capture_output=True, timeout=60)
    else:
        t.skip('genblf.py', 'not beside the corpus, or no MF4')
    if os.access(gen, os.X_OK):
        for kind, ext in (('blf', 'blf'), ('candump', 'log')):
            folder = os.path.join(tmp, 'gen-' + kind)
            subprocess.run([gen, '--container', kind, '--size', '100k', '--seed', '9', folder],
                           check=True, capture_output=True, timeout=60)
            paths.append(os.path.join(tmp, 'canp-gen.' + ext))
            os.rename(os.path.join(folder, os.listdir(folder)[0]), paths[-1])
    else:
        t.skip('canp-gen', 'not built')
    if not paths:
        return
    items = [blf_items(ref, p)[0] if p.endswith('.blf') else candump_items(p) for p in paths]
    res, data, events, _ = job(os.path.join(tmp, 'generated'), paths)
    if not t.check(res.code == 0, 'job over generated files',
                   'exit %d: %s' % (res.code, res.err[-300:])):
        return
    for src, p in enumerate(paths):
        name = os.path.basename(p)
        t.check(len(items[src]) > 1000, name, '%d frames by the reference' % len(items[src]))
        if check_content(t, name, items[src], data[src], events[src]):
            merged = merge(items[src], data[src], events[src])
            check_pycan(t, name, p, merged)
            check_tshark(t, name, p, merged, tmp)


def damage_matrix(raw):
    """Damaged copies of a BLF of several containers: name -> bytes."""
    heads = []  # offsets of containers
    pos = struct.unpack_from('<I', raw, 4)[0]
    while (pos := raw.find(b'LOBJ', pos)) >= 0:
        size = struct.unpack_from('<I', raw, pos + 8)[0]
        heads.append((pos, size))
        pos += size
    at, size = heads[len(heads) // 2]

    def patched(off, data):
        return raw[:off] + data + raw[off + len(data):]

    def recompressed(change):
        body = bytearray(zlib.decompress(raw[at + 32:at + size]))
        change(body)
        z = zlib.compress(bytes(body))
        head = bytearray(raw[at:at + 32])
        struct.pack_into('<I', head, 8, 32 + len(z))
        return raw[:at] + bytes(head) + z + bytes(len(z) % 4) + raw[at + size + size % 4:]

    def object_zero(body):
        struct.pack_into('<I', body, body.index(b'LOBJ', 500) + 8, 0)

    stream = b''.join(zlib.decompress(raw[p + 32:p + s]) for p, s in heads)
    return {
        'flipped': patched(at + 200, bytes([raw[at + 200] ^ 0x40])),
        'cut': raw[:at + size // 2],
        'junk': raw[:at] + bytes(range(1, 149)) + raw[at:],
        'container-size-0': patched(at + 8, struct.pack('<I', 0)),
        'object-size-0': recompressed(object_zero),
        'container-size-huge': patched(at + 8, struct.pack('<I', 0x7fffffff)),
        'inflated-size-huge': patched(at + 24, struct.pack('<I', 0xffffffff)),
        'no-containers': raw[:struct.unpack_from('<I', raw, 4)[0]] + stream,
    }


def damage(t, ref, items, tmp):
    path = next((p for p in items if p.endswith('j1939_fcbf_c4096.blf')), None)
    if not path:
        return t.skip('damage matrix', 'j1939_fcbf_c4096.blf is not in the corpus')
    all_frames = collections.Counter(i.frame for i in items[path])
    cases = damage_matrix(open(path, 'rb').read())
    folder = os.path.join(tmp, 'damage')
    os.mkdir(folder)
    paths = [os.path.join(folder, n + '.blf') for n in cases]
    for p, data in zip(paths, cases.values()):
        open(p, 'wb').write(data)
    res, data, events, files = job(os.path.join(tmp, 'damaged'), paths)
    if not t.check(res.code == 2, 'job over damaged files',
                   'exit %d: %s' % (res.code, res.err.strip()[-300:])):
        return None
    for src, (name, p) in enumerate(zip(cases, paths)):
        want, err = oc.limited(blf_items, ref, p)
        if err:
            t.fail('damage ' + name, 'the reference walker fails: ' + err)
            continue
        n = len(data[src]) + len(events[src])
        t.check(n >= len(want[0]), 'damage ' + name,
                '%d frames, the reference walker finds %d' % (n, len(want[0])))
        made = collections.Counter(data[src]) - all_frames
        t.check(not made, 'damage %s invents no frame' % name,
                '%d frames, first %r' % (sum(made.values()), next(iter(made), None)))
        if name not in ('no-containers', 'inflated-size-huge'):
            t.check(int(files[src]['damage_events']) > 0, 'damage %s is reported' % name, 'no')
    return None


def main():
    t = oc.Tally('-v' in sys.argv[1:])
    oc.need_or_finish(t)
    ref = oc.reference('blfref')
    if not ref:
        t.skip('all', 'no reference walker beside the corpus')
        t.finish()
    tmp = oc.temp_dir('--keep' in sys.argv[1:])
    if '--keep' in sys.argv[1:]:
        print('kept: ' + tmp)
    items = corpus(t, ref, tmp)
    if items:
        gz_copies(t, items, tmp)
        generated(t, ref, tmp)
        damage(t, ref, items, tmp)
    t.finish()


if __name__ == '__main__':
    main()
