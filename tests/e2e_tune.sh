#!/bin/bash
# e2e_tune.sh [BIN]: `canp-appliance tune` on small logs: what it tells, in text and JSON, that each
# proposal is an option value with a reason, that the profile it writes passes `config --check` and
# runs a job with the same dataset, and that the output folder is as before. Also
# `config --check` and --config-check themselves. BIN is the folder of the programs.
. "$(dirname "$0")/e2e_lib.sh"
cd "$T" || exit 1

"$BIN/canp-gen" --container canp --files 3 --size 2m --workload dense --seed 5 --dbc v.dbc logs \
	>gen.out 2>&1 || fail "sample logs"
printf 'no log' >logs/README
mkdir out.d

echo "-- what it tells"
canp 0 "tune" tune --budget 2s -o out.d logs
for what in '^machine ' '^reading .*files' 'MiB/s +now' '^writing ' '^inflate .*ISA-L' '^profile' \
	'^  (keep|CHANGE) +cores = ' 'values? to change$'; do
	has "it tells $what" out "$what"
done
eq "every option of the profile has a reason" "$(grep -Ec '^  (keep|CHANGE) ' out)" \
	"$(sed -n '/^profile/,/^$/p' out | grep -Ec '^          [^ ]')"
eq "the output folder is empty as before" "$(ls -A out.d)" ""
canp 0 "an output folder that does not exist yet" tune --budget 1s -o new/deep logs
check "is not made" test ! -e new

echo "-- JSON"
canp 0 "tune --json" tune --budget 2s --json -o out.d logs
cat >look.py <<'PY'
import json
import sys

d = json.load(open("out"))
keys = ["cores", "depth", "slice", "prefetch", "inflate", "hugepages", "mem-per-core", "writer-mem",
        "write-depth"]
bad = []
if [v["key"] for v in d["profile"]] != keys:
    bad.append("keys: %s" % [v["key"] for v in d["profile"]])
for v in d["profile"]:
    if v["change"] != (v["was"] != v["now"]):
        bad.append("%s: change" % v["key"])
    if not v["reason"]:
        bad.append("%s: no reason" % v["key"])
if len(d["reads"]) < 6 or not all(r["bytes_per_s"] > 0 for r in d["reads"]):
    bad.append("reads: %s" % d["reads"])
if len({(r["depth"], r["slice"]) for r in d["reads"]}) != len(d["reads"]):
    bad.append("a way to read was measured twice")
if len(d["writes"]) < 3 or not all(w["bytes_per_s"] > 0 for w in d["writes"]):
    bad.append("writes: %s" % d["writes"])
if not all(x > 0 for x in d["inflate"].values()):
    bad.append("inflate: %s" % d["inflate"])
m = d["machine"]
for k in ("cpus", "cpus_allowed", "nodes", "page_bytes", "memory_bytes", "room_bytes", "nofile"):
    if m[k] <= 0:
        bad.append("machine.%s: %s" % (k, m[k]))
if d["inputs"]["files"] != 4 or d["inputs"]["bytes"] < 6 << 20:
    bad.append("inputs: %s" % d["inputs"])
print("; ".join(bad))
sys.exit(bool(bad))
PY
if msg=$($PY look.py); then ok "the JSON is whole"; else fail "the JSON is whole: $msg"; fi

echo "-- what is measured is what was asked for"
canp 0 "without inputs and output" tune --budget 1s
has "reading was not measured" out 'reading +not measured: no INPUT'
has "writing was not measured" out 'writing +not measured: no -o DIR'
canp 1 "inputs that cannot be read" tune --budget 1s nowhere
has "are told" err 'no input could be read'
canp 0 "an option given by name" tune --budget 1s --depth 7 --ring sync logs
has "is kept" out '^  keep +depth = 7'
has "and the reason is told" out 'given by name'
has "and --ring is obeyed" out 'helper threads'

# A device that answers after 60 ms: four reads of 1 MiB at once feed no core, however busy, more do.
CANP_RING_SLOW=read:60000:8000 canp 0 "inputs on a slow device" tune --budget 3s --slice 1m logs
has "need more reads at once" out '^  CHANGE +depth = (8|16|32) +\(was 4\)'

echo "-- the profile it writes"
# More shards than CPUs, and pages that are not there, are always something to change.
printf '[global]\ncores = 200\nhugepages = 1g\nlog-level = error\npool-cache-ttl = 99s\n' >now.conf
canp 0 "tune --write" tune --budget 2s --config now.conf --write new.conf -o out.d logs
cp out told
has "it changes the number of cores" told 'CHANGE +cores = 0 +\(was 200\)'
has "the file has it" new.conf '^cores = 0$'
has "with the reason as a comment" new.conf '^# only .* CPUs may be used'
has "and keeps what was set otherwise" new.conf '^log-level = error'
has "also of the library" new.conf '^pool-cache-ttl = 99s'
check "each key once" test -z "$(sed -n 's/^\([a-z-]*\) = .*/\1/p' new.conf | sort | uniq -d)"
canp 0 "config --check accepts it" config --check new.conf
canp 0 "so does --config-check" --config-check new.conf
canp 64 "a file that exists is not replaced" tune --budget 1s --write new.conf
has "with a text" err 'exists; name another'
job 0 plain -d v.dbc logs/*.canp
job 0 tuned -d v.dbc --config new.conf --mem-per-core 128m --writer-mem 256m logs/*.canp
eq "a job with it makes the same dataset" "$(dataset_hash plain)" "$(dataset_hash tuned)"

echo "-- config --check"
cat >bad.conf <<'CONF'
[global]
depth = 99
dept = 4
slice = 1m

[other]
simd = sse9
CONF
canp 64 "a bad file is refused" config --check bad.conf
eq "every finding is told" "$(wc -l <err)" 4
for line in 2 3 6 7; do
	has "line $line is named" err "^bad.conf:$line: "
done
canp 64 "one bad file among good ones" --config-check now.conf bad.conf
has "the good one is told as well" out '^now.conf: ok, 4 options set'
canp 64 "a file that is not there" config --check nothing.conf
has "is named" err '^nothing.conf: '
canp 64 "no file" --config-check
canp 0 "the file that config prints" config --depth 9
cp out printed.conf
canp 0 "is one it accepts" config --check printed.conf
printf '[global]\ndepth = 4\0 9\n' >nul.conf
canp 64 "a NUL in a file" config --check nul.conf

e2e_end
