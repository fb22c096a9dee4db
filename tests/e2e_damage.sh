#!/bin/bash
# e2e_damage.sh [BIN]: damaged Vector BLF files against the reference reader of the corpus: never
# fewer frames than it finds on the same bytes. CANP_CORPUS is the folder of the corpus (default
# ../shared/data beside this tree); without it the script says so and passes.
. "$(dirname "$0")/e2e_lib.sh"
CORPUS=${CANP_CORPUS:-$E2E_ROOT/../shared/data}
CORPUS=$(cd "$CORPUS" 2>/dev/null && pwd) || CORPUS=
D=$CORPUS/derived
if [ -z "$CORPUS" ] || [ ! -f "$D/j1939_fcbf_c4096.blf" ]; then
	skip "no corpus: ${CANP_CORPUS:-$E2E_ROOT/../shared/data} has no derived/j1939_fcbf_c4096.blf; set CANP_CORPUS"
	e2e_end
fi
REF=$CORPUS/../tools/blfref.py
cd "$T" || exit 1

# frames FILE: what the program finds; inspect and run must agree.
frames() {
	timeout -k 5 60 "$APP" inspect --json "$1" >out 2>err
	case $? in
	0 | 2) json out 'd["files"][0]["frames"]' ;;
	*) echo -1 ;;
	esac
}

at_least() { # FILE WANT
	local have run_frames name
	name=$(basename "$1")
	have=$(frames "$1")
	check "$name: $have frames, at least $2" test "$have" -ge "$2"
	rm -rf o
	timeout -k 5 60 "$APP" run --json --raw -o o "$1" >out 2>err
	run_frames=$(json out 'd["frames"]' 2>/dev/null)
	eq "$name: run finds what inspect finds" "$run_frames" "$have"
}

echo "-- damage cases of the corpus"
at_least "$D/j1939_fcbf_trunc.blf" 969
at_least "$D/j1939_fcbf_unclosed.blf" 1815
at_least "$D/j1939_fcbf_zerosize.blf" 1729
at_least "$D/j1939_fcbf_objzero.blf" 1814

echo "-- damage made from j1939_fcbf_c4096.blf"
if [ ! -f "$REF" ]; then
	skip "no reference reader: $REF is not there"
	e2e_end
fi
"$PY" - "$D/j1939_fcbf_c4096.blf" >made <<'END'
import struct, sys, zlib

src = open(sys.argv[1], "rb").read()
head = struct.unpack_from("<I", src, 4)[0]
conts, p = [], head
while p + 32 <= len(src):
    sig, h, v, size, typ = struct.unpack_from("<4sHHII", src, p)
    assert sig == b"LOBJ"
    if typ == 10:
        conts.append((p, size))
    p += size + size % 4


def save(name, data):
    with open(name, "wb") as f:
        f.write(data)
    print(name)


def patched(at, value, fmt="<I", data=None):
    b = bytearray(src if data is None else data)
    struct.pack_into(fmt, b, at, value)
    return bytes(b)


def plain(p, size):
    return zlib.decompress(src[p + 32:p + size])


def container(objs):
    z = zlib.compress(objs, 6)
    size = 32 + len(z)
    return (struct.pack("<4sHHIIHHIII", b"LOBJ", 16, 1, size, 10, 2, 0, 0, len(objs), 0) + z +
            b"\0" * (size % 4))


for k in (0, len(conts) // 2, len(conts) - 1):
    p, size = conts[k]
    save("flip_%d.blf" % k, patched(p + 32 + (size - 32) // 2, src[p + 32 + (size - 32) // 2] ^ 0x10, "B"))
    save("cut_%d.blf" % k, src[:p + size // 2])
    save("junk_%d.blf" % k, src[:p] + bytes(range(1, 149)) + src[p:])
    save("contzero_%d.blf" % k, patched(p + 8, 0))
    save("huge_%d.blf" % k, patched(p + 8, 0x7FFFFFFF))
    save("raw4g_%d.blf" % k, patched(p + 24, 0xFFFFFFFF))
    save("rawzero_%d.blf" % k, patched(p + 24, 0))
    save("method_%d.blf" % k, patched(p + 16, 77, "<H"))
    save("sig_%d.blf" % k, patched(p, 0x58585858))
    # An object inside the container with size 0, and one with an absurd size.
    objs = plain(p, size)
    q = objs.find(b"LOBJ", len(objs) // 2)
    if q >= 0 and q + 16 <= len(objs):
        for name, value in (("objzero", 0), ("objhuge", 0x7FFFFFFF), ("objsmall", 15)):
            bad = objs[:q + 8] + struct.pack("<I", value) + objs[q + 12:]
            end = p + size + size % 4
            save("%s_%d.blf" % (name, k), src[:p] + container(bad) + src[end:])
# No containers: the objects stand at the top level.
stream = b"".join(plain(*c) for c in conts)
save("nocontainers.blf", src[:head] + stream)
save("nocontainers_cut.blf", src[:head] + stream[:len(stream) // 2 + 7])
save("stored.blf", src[:head] + b"".join(
    struct.pack("<4sHHIIHHIII", b"LOBJ", 16, 1, 32 + len(o), 10, 0, 0, 0, len(o), 0) + o +
    b"\0" * ((32 + len(o)) % 4) for o in (plain(*c) for c in conts)))
save("header_only.blf", src[:head])
save("tailjunk.blf", src + b"\xee" * 4000)
END
while read -r f; do
	want=$(timeout 60 "$PY" "$REF" count "$f" 2>/dev/null | sed -n 's/.*frames \([0-9]*\) .*/\1/p')
	if [ -z "$want" ]; then
		skip "$f: the reference reader gives no count"
		continue
	fi
	at_least "$f" "$want"
done <made

echo "-- the same damage in a job: the good file arrives whole"
rm -rf o
timeout -k 5 120 "$APP" run --json --raw -o o "$D/j1939_fcbf_c4096.blf" ./*.blf >out 2>err
eq "all damaged files at once: exit" $? 2
eq "the good file is ok" "$("$PY" -c 'import json; print(json.loads(open("o/_canp/report.jsonl").readline())["status"])')" ok
check "all parts are whole" logs pqcheck o
e2e_end
