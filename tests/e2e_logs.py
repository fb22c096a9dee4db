#!/usr/bin/python3
"""e2e_logs.py - logs for the end-to-end tests, and what must become of them.

Written beside the product on purpose and with Python's standard library only: the traffic of a file
follows from its seed, so `verify` can make the frames again, decode them with its own few lines and
compare with the rows of a dataset. Nothing here shares code with what is tested.

  e2e_logs.py dbc FILE MESSAGES            a database of MESSAGES messages, ids 0x100...
  e2e_logs.py make < LINES                 one file a line: FORMAT PATH key=value...
  e2e_logs.py verify CSVDATASET < LINES    the lines of `make` again, in listing order, with src=N
  e2e_logs.py json FILE EXPR...            values of a JSON document; EXPR is Python over d
  e2e_logs.py rows CSVDATASET [TABLE]      rows of a CSV dataset's message tables
  e2e_logs.py pqcheck DATASET              every *.parquet has both magics and a sane footer length
  e2e_logs.py flip FILE SEED BITS          flips bits of a file in place
  e2e_logs.py bomb FORMAT PATH MIB         a file of zeros that inflates to MIB

Formats: canp blf candump. Keys: seed, frames, messages, t0 (us since 1970), step (us), serial, bus,
unknown (every Nth frame has an id of no message), ext (frames use 29-bit ids), errors (every Nth
frame is an error frame), remote (every Nth), member (frames of a member or container), gz (0|1).
"""
import csv
import gzip
import io
import json
import os
import random
import struct
import sys
import time
import zlib

T0 = 1_704_067_200_000_000  # 2024-01-01T00:00:00Z
KEYS = {"seed": 1, "frames": 1000, "messages": 8, "t0": T0, "step": 500, "bus": 1, "unknown": 0,
        "ext": 0, "errors": 0, "remote": 0, "member": 400, "gz": 0, "src": 0, "wait": 0}

# name, start bit, bits, little endian, signed, factor, offset
SIGNALS = [("Counter", 0, 8, True, False, 1, 0), ("Level", 8, 16, True, False, 0.5, 0),
           ("Temp", 24, 8, True, True, 1, -40), ("Speed", 39, 16, False, False, 0.01, 0),
           ("Wide", 48, 16, True, False, 3, 7)]


def message_name(n):
    return "Msg%03d" % n


def write_dbc(path, messages):
    out = ['VERSION "1"', "", "NS_ :", "", "BS_:", "", "BU_: ECU", ""]
    for n in range(messages):
        out.append("BO_ %d %s: 8 ECU" % (0x100 + n, message_name(n)))
        for name, start, bits, le, signed, factor, offset in SIGNALS:
            out.append(' SG_ %s : %d|%d@%d%s (%s,%s) [0|0] "u" Vector__XXX'
                       % (name, start, bits, le, "-" if signed else "+", factor, offset))
        out.append("")
    with open(path, "w") as f:
        f.write("\n".join(out) + "\n")


def traffic(o):
    """Frames of a file: (ts_us, id, kind, data); kind is data, remote or error."""
    rng = random.Random(o["seed"])
    ts = o["t0"]
    for i in range(o["frames"]):
        # Time never goes back, and stands still now and then.
        ts += 0 if i % 97 == 0 else 1 + rng.getrandbits(16) % o["step"]
        n = rng.getrandbits(24) % o["messages"]
        data = struct.pack("<BHBHH", i & 255, 1000 + i % 5000, rng.getrandbits(6),
                           rng.getrandbits(12), rng.getrandbits(16))
        kind, can = "data", 0x100 + n
        if o["unknown"] and i % o["unknown"] == 1:
            can = 0x7F0 + n % 8
        if o["errors"] and i % o["errors"] == 2:
            kind = "error"
        elif o["remote"] and i % o["remote"] == 3:
            kind = "remote"
        yield ts, can, kind, data


def pieces(o):
    piece = []
    for f in traffic(o):
        piece.append(f)
        if len(piece) == o["member"]:
            yield piece
            piece = []
    if piece:
        yield piece


def canp_frame(o, ts, can, kind, data):
    flags = (o["ext"] << 31) | ((kind == "remote") << 30) | ((kind == "error") << 29)
    return struct.pack(">QIB3x8s", ts, can | flags, 8, data)


def make_canp(o):
    out = bytearray()
    for piece in pieces(o):
        frames = b"".join(canp_frame(o, *f) for f in piece)
        body = struct.pack(">IQI", 2, piece[0][0], len(frames)) + frames
        rec = b"\0" * 16 + struct.pack(">I", len(body)) + body
        member = gzip.compress(rec, 6, mtime=0)
        out += o["serial"].encode().ljust(18, b"\0") + b"\0" * 13
        out += struct.pack(">I", len(member)) + member
    return bytes(out)


def systime(us):
    t = time.gmtime(us // 1_000_000)
    return struct.pack("<8H", t.tm_year, t.tm_mon, (t.tm_wday + 1) % 7, t.tm_mday, t.tm_hour,
                       t.tm_min, t.tm_sec, us // 1000 % 1000)


def blf_object(o, ts, can, kind, data):
    rel = (ts - o["t0"] // 1000 * 1000) * 1000
    head = struct.pack("<4sHHIIIHHQ", b"LOBJ", 32, 1, 48, 1, 2, 0, 0, rel)
    if kind == "error":
        head = struct.pack("<4sHHIIIHHQ", b"LOBJ", 32, 1, 40, 2, 2, 0, 0, rel)
        return head + struct.pack("<HHI", o["bus"], 0, 0)
    flags = 0x80 if kind == "remote" else 0
    return head + struct.pack("<HBBI8s", o["bus"], flags, 8, can | o["ext"] << 31, data)


def make_blf(o):
    out, n, raw = bytearray(b"\0" * 144), 0, 144
    for piece in pieces(o):
        objs = b"".join(blf_object(o, *f) for f in piece)
        z = zlib.compress(objs, 6)
        size = 32 + len(z)
        out += struct.pack("<4sHHIIHHIII", b"LOBJ", 16, 1, size, 10, 2, 0, 0, len(objs), 0)
        out += z + b"\0" * (size % 4)
        n += len(piece)
        raw += 32 + len(objs)
    head = struct.pack("<4sIIBBBBQQII", b"LOGG", 144, 4080200, 2, 6, 8, 1, len(out), raw, n, 36)
    out[:72] = head + systime(o["t0"]) + systime(o["t0"])
    return bytes(out)


def make_candump(o):
    out = []
    for ts, can, kind, data in traffic(o):
        if kind == "error":
            frame = "%08X#%s" % (0x20000000 | 4, data.hex().upper())
        else:
            ident = "%08X" % can if o["ext"] else "%03X" % can
            frame = ident + ("#R8" if kind == "remote" else "#" + data.hex().upper())
        out.append("(%d.%06d) can%d %s" % (ts // 1_000_000, ts % 1_000_000, o["bus"], frame))
    return ("\n".join(out) + "\n").encode()


MAKE = {"canp": make_canp, "blf": make_blf, "candump": make_candump}


def parse_line(line):
    fmt, path, *rest = line.split()
    o = dict(KEYS, serial="UNIT-1")
    for kv in rest:
        k, v = kv.split("=", 1)
        o[k] = v if k == "serial" else int(v)
    return fmt, path, o


def cmd_make():
    for line in sys.stdin:
        if not line.strip():
            continue
        fmt, path, o = parse_line(line)
        data = MAKE[fmt](o)
        if o["gz"]:
            data = gzip.compress(data, 6, mtime=0)
        if os.path.dirname(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data)


# ---- what must come out --------------------------------------------------------------------------
def decode(data):
    le, be = int.from_bytes(data, "little"), int.from_bytes(data, "big")
    row = []
    for _, start, bits, little, signed, factor, offset in SIGNALS:
        # A big-endian start bit is the most significant one, numbered within its byte.
        shift = start if little else 63 - (start // 8 * 8 + 7 - start % 8) - (bits - 1)
        raw = (le if little else be) >> shift & (1 << bits) - 1
        if signed and raw >> bits - 1:
            raw -= 1 << bits
        row.append(raw * factor + offset)
    return row


def time_text(us):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(us // 1_000_000)) + ".%06dZ" % (
        us % 1_000_000)


def read_table(dataset, table):
    rows, header = [], None
    folder = os.path.join(dataset, table)
    names = sorted(n for n in os.listdir(folder) if not n.startswith("."))
    for name in names:
        if not name.endswith(".csv"):
            raise SystemExit("%s/%s is not a csv part" % (table, name))
        with open(os.path.join(folder, name), newline="") as f:
            r = csv.reader(f, strict=True)
            header = next(r)
            rows += list(r)
    return header, rows


def tables(dataset):
    return sorted(n for n in os.listdir(dataset)
                  if n != "_canp" and not n.startswith("canp_") and not n.startswith("."))


def cmd_verify(dataset):
    want = {}
    for line in sys.stdin:
        if not line.strip():
            continue
        fmt, _, o = parse_line(line)
        bus = 0 if fmt == "canp" else o["bus"]
        for ts, can, kind, data in traffic(o):
            if kind == "data" and can < 0x100 + o["messages"]:
                want.setdefault(message_name(can - 0x100), []).append(
                    (time_text(ts), o["src"], bus, decode(data)))
    have = tables(dataset)
    if sorted(want) != have:
        raise SystemExit("tables differ: want %s, have %s" % (sorted(want), have))
    total = 0
    for table in have:
        header, rows = read_table(dataset, table)
        if header != ["ts", "src", "bus"] + [s[0] for s in SIGNALS]:
            raise SystemExit("%s: header %s" % (table, header))
        got = [(r[0], int(r[1]), int(r[2]), [float(x) for x in r[3:]]) for r in rows]
        if got != want[table]:
            bad = next((i for i, (a, b) in enumerate(zip(got, want[table])) if a != b),
                       min(len(got), len(want[table])))
            raise SystemExit("%s: %d rows, want %d; first difference at row %d: have %s, want %s"
                             % (table, len(got), len(want[table]), bad, got[bad:bad + 1],
                                want[table][bad:bad + 1]))
        total += len(got)
    print(total)


def cmd_rows(dataset, table=None):
    print(sum(len(read_table(dataset, t)[1]) for t in ([table] if table else tables(dataset))))


def cmd_json(path, *exprs):
    with open(path) as f:
        d = json.load(f)
    env = {"d": d, "os": os, "json": json}
    for e in exprs:
        v = eval(e, env)
        print(*v if isinstance(v, tuple) else (v,))


def cmd_pqcheck(dataset):
    n = 0
    for folder, _, names in os.walk(dataset):
        for name in names:
            if not name.endswith(".parquet"):
                continue
            path = os.path.join(folder, name)
            with open(path, "rb") as f:
                data = f.read()
            foot = struct.unpack("<I", data[-8:-4])[0] if len(data) >= 12 else 0
            if data[:4] != b"PAR1" or data[-4:] != b"PAR1" or not 0 < foot <= len(data) - 12:
                raise SystemExit("%s is not a whole parquet file" % path)
            n += 1
    print(n)


def cmd_flip(path, seed, bits):
    rng = random.Random(int(seed))
    with open(path, "rb") as f:
        data = bytearray(f.read())
    for _ in range(int(bits)):
        i = rng.randrange(len(data) * 8)
        data[i // 8] ^= 1 << i % 8
    with open(path, "wb") as f:
        f.write(data)


def zeros(mib, compressor):
    out = io.BytesIO()
    for _ in range(mib):
        out.write(compressor.compress(b"\0" * (1 << 20)))
    out.write(compressor.flush())
    return out.getvalue()


def cmd_bomb(fmt, path, mib):
    mib = int(mib)
    gz = zeros(mib, zlib.compressobj(6, zlib.DEFLATED, 31))
    if fmt == "canp":
        data = b"BOMB".ljust(31, b"\0") + struct.pack(">I", len(gz)) + gz
    elif fmt == "blf":
        z = zeros(mib, zlib.compressobj(6))
        o = dict(KEYS, frames=0, serial="")
        data = make_blf(o) + struct.pack("<4sHHIIHHIII", b"LOBJ", 16, 1, 32 + len(z), 10, 2, 0, 0,
                                         mib << 20, 0) + z
    else:
        line = b"(1700000000.000000) can0 123#00\n"
        data = gzip.compress(line) + gz
    with open(path, "wb") as f:
        f.write(data)


COMMANDS = {"dbc": lambda p, n: write_dbc(p, int(n)), "make": cmd_make, "verify": cmd_verify,
            "rows": cmd_rows, "json": cmd_json, "pqcheck": cmd_pqcheck, "flip": cmd_flip,
            "bomb": cmd_bomb}

if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        raise SystemExit(__doc__)
    COMMANDS[sys.argv[1]](*sys.argv[2:])
