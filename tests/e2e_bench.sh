#!/bin/bash
# e2e_bench.sh [BIN]: canp-bench as a user meets it, with rounds so short that the figures mean
# nothing: what is measured, what the report says, how mistakes are answered.
. "$(dirname "$0")/e2e_lib.sh"
cd "$T" || exit 1
need "$BENCH"

quick="--rounds 2 --round-ms 1 --data-bytes 64k"

echo "-- the program"
bench 64 "no command is a usage error"
bench 64 "an unknown command is a usage error" kernel
has "the unknown command is named" err "'kernel'"
bench 0 "--help" --help
has "--help lists the commands" out "^ +kernels "
bench 0 "--version" --version
has "--version says a version" out "^canp-bench [0-9]+\.[0-9]+"
bench 0 "kernels --help" kernels --help
has "kernels --help lists --rounds" out "--rounds=N"

echo "-- mistakes"
bench 64 "an unknown option" kernels --ruonds 3
has "did you mean" err "did you mean.*--rounds"
bench 64 "an unknown option: underscore for dash" kernels --round_ms 3
has "did you mean: with a dash" err "did you mean.*--round-ms"
bench 64 "no number" kernels --rounds many
has "option and value are named" err "--rounds.*many"
bench 64 "no round at all" kernels --rounds 0
has "the range is told" err "1\.\.1000"
bench 64 "an unknown kernel" kernels --kernel extrat16
has "the kernels there are are told" err "extrat16.*extract16"
bench 64 "an unknown instruction set" kernels --simd sse9
has "the choices are told" err "scalar"
bench 64 "a level beyond zlib's" kernels --level 10
has "option and value are named" err "--level=10.*0\.\.9"
bench 64 "members too small" kernels --member-bytes 3
bench 64 "a CPU that is not there" kernels --cpu 1023
has "the CPU is named" err "--cpu=1023"
bench 64 "an operand" kernels fast
has "the operand is named" err "'fast'"
CANP_CPU_DISABLE=mmx9 timeout 60 "$BENCH" kernels >out 2>err
eq "an unknown feature in the environment" $? 64
has "it is named" err "CANP_CPU_DISABLE.*mmx9"
bench 1 "data that is not there" kernels $quick -k inflate -d none.canp
has "the file is named" err "none.canp: no such file"
: >void
bench 1 "an empty file" kernels $quick -k inflate -d void
has "it is named" err "void: .*empty"
bench 1 "a folder" kernels $quick -k inflate -d .
timeout 60 "$BENCH" kernels $quick -k crc32 >/dev/full 2>err
eq "a full device under the report" $? 1
has "the full device is told, once" err "standard output"
eq "and nothing else" "$(wc -l <err)" 1

echo "-- all kernels"
bench 0 "kernels --json" kernels $quick --json
eq "nothing on stderr" "$(cat err)" ""
eq "one object with what was promised" "$(json out 'sorted(d)')" \
	"['environment', 'kernels', 'rounds', 'tool', 'version']"
# The rows of kernels.def are the truth; which of them run here is for the program to know.
sed -n 's/^K(\([a-z0-9_]*\), .*/\1/p' "$E2E_ROOT/simd/kernels.def" | sort -u >kernels
eq "every kernel of kernels.def and inflate appear, no other" \
	"$(json out '"\n".join(sorted({k["kernel"] for k in d["kernels"]}))')" "$( (cat kernels; echo inflate) | sort)"
eq "each line has kernel, data, unit and rows" \
	"$(json out 'all(k["kernel"] and k["data"] and k["unit"] in ("GB/s", "ns/frame", "ns/value") and k["rows"] for k in d["kernels"])')" True
eq "each row has its figures" \
	"$(json out 'all(r["isa"] and r["median"] > 0 and r["best"] > 0 and r["spread"] >= 0 for k in d["kernels"] for r in k["rows"])')" True
eq "the best is no worse than the median" \
	"$(json out 'all((r["best"] >= r["median"]) if k["unit"] == "GB/s" else (r["best"] <= r["median"]) for k in d["kernels"] for r in k["rows"])')" True
eq "C13 C23 ratios of AVX2 and AVX-512 to scalar are told: above 0 where they apply" \
	"$(json out 'all(r["ratio_to_scalar"] > 0 and (r["ratio_to_reference"] or 1) > 0 for k in d["kernels"] for r in k["rows"])')" True
eq "the scalar row is the measure of itself" \
	"$(json out 'all(r["ratio_to_scalar"] == 1 for k in d["kernels"] for r in k["rows"] if r["isa"] == "scalar")')" True
eq "every line has a scalar row" \
	"$(json out '[k["kernel"] for k in d["kernels"] if "scalar" not in [r["isa"] for r in k["rows"]]]')" "[]"
eq "inflate: ISA-L is the reference, in every line" \
	"$(json out 'all(r["ratio_to_reference"] == 1 for k in d["kernels"] if k["kernel"] == "inflate" for r in k["rows"] if r["isa"] == "isal")')" True
eq "inflate: data, both levels" "$(json out '[k["data"] for k in d["kernels"] if k["kernel"] == "inflate"]')" \
	"['dense 64K L6', 'dense 64K L1', 'dense 10K L6', 'dense 10K L1', 'sparse 64K L6', 'sparse 64K L1', 'j1939 64K L6', 'j1939 64K L1', 'blf 128K L6', 'blf 128K L1']"
eq "inflate: goals" "$(json out '[k["gate"] for k in d["kernels"] if k["gate"]]')" "[2, 1.5, 1.7, 1.6]"
eq "inflate: CAN data compresses 1.5 to 6 times" \
	"$(json out 'all(1.5 < k["compression"] < 6 for k in d["kernels"] if k["kernel"] == "inflate")')" True
for key in cpu_model cpus cores cpu governor kernel simd hugepages_2m thp load_before load_after steal; do
	check "environment: $key" test "$(json out "'$key' in d['environment']")" = True
done

# As many rows as the rows of kernels.def that `caps` says can run here.
"$APP" caps --json >caps
eq "a row for each form this processor can run" \
	"$(json out 'sorted({(k["kernel"], r["isa"]) for k in d["kernels"] for r in k["rows"] if k["kernel"] != "inflate" and r["isa"] in ("scalar", "avx2", "avx512")})')" \
	"$(json caps 'sorted((k["kernel"], k["isa"]) for k in d["kernels"] if k["runnable"])')"

echo "-- choices"
bench 0 "--kernel with patterns, repeated" kernels $quick --json -k 'extract*' -k crc32
eq "only those" "$(json out 'sorted({k["kernel"] for k in d["kernels"]})')" \
	"['crc32', 'extract16', 'extract32', 'extract64']"
bench 0 "--simd=scalar" kernels $quick --json --simd scalar -d dense
eq "nothing above scalar" \
	"$(json out 'sorted({r["isa"] for k in d["kernels"] for r in k["rows"]})')" "['isal', 'scalar', 'zlib']"
eq "and the environment says so" "$(json out 'd["environment"]["simd"]')" scalar
bench 0 "--cpu" kernels $quick --json -k crc32 --cpu "$("$PY" -c 'import os; print(max(os.sched_getaffinity(0)))')"
eq "the CPU is the one that was asked for" "$(json out 'd["environment"]["cpu"]')" \
	"$("$PY" -c 'import os; print(max(os.sched_getaffinity(0)))')"
CANP_ROUNDS=3 timeout 60 "$BENCH" kernels --round-ms 1 -k crc32 --json >out 2>err
eq "options from the environment" "$(json out 'd["rounds"]')" 3
bench 0 "text" kernels $quick -d j1939
for k in inflate $(cat kernels); do
	has "text: $k" out "^$k "
done
has "text: the columns" out "scalar +avx2 +avx512 +library"
has "text: the environment" out "^load +[0-9.]+ before"
has "text: goals" out "j1939 64K L6 .* goal 1.7"

echo "-- files"
timeout 60 "$BIN/canp-gen" --size 100k --seed 7 canp >/dev/null 2>&1
timeout 60 "$BIN/canp-gen" --size 100k --seed 7 --container blf blf >/dev/null 2>&1
head -c 100000 "$BENCH" >any
bench 0 "members of logs as they are" kernels --rounds 2 --round-ms 1 --json -k inflate \
	-d canp/log_00000.canp,blf/log_00000.blf
eq "one line each" "$(json out '[k["data"] for k in d["kernels"]]')" \
	"['log_00000.canp as it is', 'log_00000.blf as it is']"
bench 0 "packed again when --level is given" kernels --rounds 2 --round-ms 1 --json -k inflate \
	-d blf/log_00000.blf --level 9 --level 1 --member-bytes 10k
eq "one line a level" "$(json out '[k["data"] for k in d["kernels"]]')" \
	"['log_00000.blf 10K L9', 'log_00000.blf 10K L1']"
bench 0 "a file that is no log" kernels --rounds 2 --round-ms 1 --json -k inflate -d any --level 6
eq "is cut into members" "$(json out '[k["data"] for k in d["kernels"]]')" "['any 64K L6']"
"$PY" - <<'END'
p = bytearray(open("canp/log_00000.canp", "rb").read())
p[30000] ^= 0x40
open("damaged.canp", "wb").write(p)
END
bench 1 "a damaged log is refused" kernels --rounds 2 --round-ms 1 -k inflate -d damaged.canp
has "and the reason told" err "damaged.canp: a member is damaged"

# ---- the process pool ----
bench 64 "pool: an unknown figure" pool --only speed
bench 0 "pool --json" pool --rounds 2 --round-ms 10 --json
eq "D49 D50 D51 D52 D53 pool has its figures" \
	"$(json out '[f["figure"] for f in d["figures"] if f["figure"] != "python"]')" \
	"['sync', 'sync_parked', 'batch', 'pipe', 'latency', 'latency_parked', 'payload', 'memory', 'idle', 'scale', 'crash']"
eq "D51 parent and four workers stay below 10 MiB" \
	"$(json out '[f["median"] < f["floor"] for f in d["figures"] if f["figure"] == "memory"]')" \
	"[True]"
eq "D52 an idle pool takes less than 0.5 % of a core" \
	"$(json out '[f["median"] < 0.5 for f in d["figures"] if f["figure"] == "idle"]')" "[True]"
e2e_end
