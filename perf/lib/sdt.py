#!/usr/bin/env python3
"""sdt.py PROGRAM: the static probes (USDT) of provider canp in an ELF file, one name a line.

Reads the notes of type 3 with the owner "stapsdt": three addresses, then provider, name and
arguments as strings. 64-bit little-endian files, which is all that we build.
"""
import struct
import sys


def probes(path, provider="canp"):
    """{name: places}"""
    with open(path, "rb") as f:
        elf = f.read()
    if elf[:6] != b"\x7fELF\x02\x01":
        return {}
    shoff, = struct.unpack_from("<Q", elf, 40)
    size, n, names = struct.unpack_from("<HHH", elf, 58)
    out = {}
    for i in range(n):
        kind, = struct.unpack_from("<I", elf, shoff + i * size + 4)
        at, length = struct.unpack_from("<QQ", elf, shoff + i * size + 24)
        end = at + length
        while kind == 7 and at + 12 <= end:  # SHT_NOTE
            nsz, dsz, typ = struct.unpack_from("<III", elf, at)
            owner = elf[at + 12:at + 12 + nsz]
            d = at + 12 + (nsz + 3) // 4 * 4
            if typ == 3 and owner == b"stapsdt\0":
                who, name = elf[d + 24:d + dsz].split(b"\0")[:2]
                if who == provider.encode():
                    out[name.decode()] = out.get(name.decode(), 0) + 1
            at = d + (dsz + 3) // 4 * 4
    return out


if __name__ == "__main__":
    try:
        found = probes(sys.argv[1])
    except (OSError, struct.error) as e:
        sys.exit("sdt.py: %s" % e)
    for p in sorted(found):
        print(p)
    sys.exit(0 if found else 1)
