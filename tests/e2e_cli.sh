#!/bin/bash
# e2e_cli.sh [BIN]: the command line as a user meets it: exit codes, refusals, reports, inputs,
# filters and sinks. The rows are compared with what e2e_logs.py decodes for itself.
. "$(dirname "$0")/e2e_lib.sh"
cd "$T" || exit 1

logs dbc m.dbc 8
cat >lines <<END
canp in/a.canp seed=1 frames=3000 serial=LOG-A src=0
blf in/b.blf seed=2 frames=3000 errors=100 remote=150 unknown=50 src=1
candump in/c.log seed=3 frames=3000 bus=2 errors=100 remote=150 src=2
candump in/sub/d.log.gz seed=4 frames=3000 bus=3 gz=1 src=3
END
logs make <lines

echo "-- exit codes and usage"
canp 64 "no command is a usage error"
canp 64 "unknown command is a usage error" frobnicate
has "the unknown command is named" err "frobnicate"
canp 0 "--help" --help
has "--help lists the commands" out "^ +run "
canp 0 "--version" --version
has "--version says a version" out "[0-9]+\.[0-9]+"
canp 0 "run --help" run --help
has "run --help lists --cores" out "--cores"
canp 64 "unknown option" run --coers 1 -o o in
has "unknown option: did you mean" err "did you mean.*--cores"
canp 64 "value out of range" run --cores banana -o o in
has "the bad value is named" err "banana"
canp 64 "unknown choice" run --simd sse9 -o o in
has "the choices are told" err "scalar"
canp 64 "missing -o" run -d m.dbc in
has "missing -o is named" err "-o"
canp 64 "missing input" run -d m.dbc -o o
check "nothing was made by refused runs" test ! -e o
canp 64 "--from after --to" run -o o --from 2024-02-01T00:00:00Z --to 2024-01-01T00:00:00Z in
canp 64 "--from that is no time" run -o o --from yesterday in
canp 64 "--tz that is no zone" run -o o --tz Mars/Olympus in
canp 1 "a DBC that is not there is fatal" run -d none.dbc -o o in
has "the DBC is named" err "none.dbc"
check "nothing was made by a job without its DBC" test ! -e o

echo "-- a job"
canp 0 "run on a folder of four formats" run -d m.dbc -o o1 in
has "summary: files" out "files +4 ok"
has "summary: frames" out "frames +12000"
has "summary: unknown ids are named" out "unknown id 0x7F"
check "the summary stands on stdout, no progress without a terminal" test ! -s err
check "a table per message" test -s o1/Msg000/part-00000.parquet -a -s o1/Msg007/part-00000.parquet
for t in canp_files canp_signals canp_errors canp_events; do
	check "side table $t" test -s "o1/$t/part-00000.parquet"
done
check "no canp_unknown unless asked" test ! -e o1/canp_unknown
check "no canp_frames unless asked" test ! -e o1/canp_frames
eq "nothing but parts and reports" "$(strangers o1)" ""
check "parquet parts are whole" test "$(logs pqcheck o1)" -ge 12
eq "report.jsonl has a line per input" "$(wc -l <o1/_canp/report.jsonl)" 4
check "report.jsonl is JSON" "$PY" -c 'import json
for l in open("o1/_canp/report.jsonl"): assert json.loads(l)["status"] == "ok"'
eq "run.json says complete" "$(json o1/_canp/run.json 'd["complete"], d["exit"]')" "True 0"

echo "-- --json"
job 0 o2 -d m.dbc in
check "--json alone on stdout is one JSON object" json out 'len(d)' >/dev/null
check "--json says nothing else on stderr" test ! -s err
documented="files files_ok files_damaged files_failed files_skipped files_duplicate frames
frames_decoded frames_unknown error_frames signals messages bytes_in bytes_inflated bytes_out
damage_events elapsed_s files_per_s peak_mem_bytes peak_rss_bytes peak_hugetlb_bytes cores simd ring
hugepages exit"
# Beyond the documented ones: what the tests and the README use.
more="files_pending frames_dropped remote_frames overload_frames gaps bad_timestamps rows parts
oversubscribed units foreign_claims reordered_runs files_ahead in_flight_max overlap complete inflate inflate_why"
eq "--json has every documented key" \
	"$("$PY" -c 'import json,sys; d=json.load(open("out")); print([k for k in sys.argv[1:] if k not in d])' $documented)" "[]"
eq "--json has no key that is not listed here" \
	"$("$PY" -c 'import json,sys; d=json.load(open("out")); print([k for k in d if k not in sys.argv[1:]])' $documented $more)" "[]"
eq "files" "$(json out 'd["files"], d["files_ok"], d["files_damaged"], d["files_failed"], d["files_skipped"], d["files_duplicate"]')" "4 4 0 0 0 0"
eq "frames" "$(field frames)" 12000
eq "error frames" "$(field error_frames)" 60
eq "remote frames" "$(field remote_frames)" 40
eq "unknown frames" "$(field frames_unknown)" 60
eq "every frame is accounted for" \
	"$(json out 'd["frames"] - sum(d[k] for k in ("frames_decoded", "frames_unknown", "frames_dropped", "error_frames", "remote_frames", "overload_frames"))')" 0
eq "messages" "$(field messages)" 8
eq "signal values are rows times five" "$(json out 'd["signals"] - 5 * d["rows"]')" 0
eq "rows are the decoded frames" "$(json out 'd["rows"] - d["frames_decoded"]')" 0
eq "bytes_in is the size of the inputs" "$(field bytes_in)" \
	"$(find in -type f -printf '%s\n' | awk '{ s += $1 } END { print s }')"
eq "peak memory is the sum of its parts" \
	"$(json out 'd["peak_mem_bytes"] - d["peak_rss_bytes"] - d["peak_hugetlb_bytes"]')" 0
check "rss, time and speed are there" test \
	"$(json out 'd["peak_rss_bytes"] > 0 and d["elapsed_s"] > 0 and d["files_per_s"] > 0')" = True
eq "run.json tells the same" "$(json o2/_canp/run.json 'd["frames"], d["rows"], d["exit"]')" \
	"$(json out 'd["frames"], d["rows"], d["exit"]')"
eq "two runs are byte-identical" "$(dataset_hash o1)" "$(dataset_hash o2)"
job 0 o3 -d m.dbc --cores 3 in
eq "cores above the machine's are accepted" "$(field cores)" 3
canp 0 "--quiet" run -q -d m.dbc -o o4 in
check "--quiet is quiet" test ! -s out -a ! -s err
canp 0 "--progress=always" run --progress=always -d m.dbc -o o5 in
rm -rf o3 o4 o5

echo "-- output folder"
mkdir empty started finished foreign
canp 0 "an empty folder is taken" run -d m.dbc -o empty in
mkdir started/_canp && echo '{}' >started/_canp/job.json
canp 64 "an unfinished job is refused" run -d m.dbc -o started in
has "the refusal names --resume" err "--resume"
canp 64 "a finished dataset is refused" run -d m.dbc -o o1 in
has "the refusal names --append" err "--append"
echo keep >foreign/mine.txt
before=$(tree_hash foreign)
canp 64 "a foreign folder is refused" run -d m.dbc -o foreign in
eq "the foreign folder is as it was" "$(tree_hash foreign)" "$before"
canp 0 "folders above the output are made" run -q -d m.dbc -o deep/er/out in
echo file >plain
canp 1 "an output that is a file is fatal" run -d m.dbc -o plain in
has "the file is named" err "plain"
rm -rf empty deep

echo "-- --dry-run"
before=$(tree_hash .)
timeout 60 "$APP" run --dry-run -d m.dbc -o dry in >/tmp/"$E2E_NAME.$$" 2>&1
rc=$?
eq "--dry-run succeeds" "$rc" 0
eq "--dry-run writes nothing" "$(tree_hash .)" "$before"
mv /tmp/"$E2E_NAME.$$" dryout
for what in files canp blf candump tables columns units memory output free; do
	has "--dry-run tells $what" dryout "$what"
done

canp 0 "--dry-run --json" run --dry-run --json -d m.dbc -o dry in
check "--dry-run --json: nothing is written" test ! -e dry
eq "--dry-run --json: files by format" "$(json out 'd["dry_run"], d["files"] == sum(d["formats"].values())')" "True True"
eq "--dry-run --json: what the text tells" \
	"$(json out '[k for k in ("bytes_in", "units", "tables", "columns", "arena_bytes_per_core", "writer_bytes", "bytes_out_expected", "bytes_free") if d[k] <= 0]')" "[]"
eq "--dry-run --json: unreadable inputs" "$(json out 'd["unreadable"]')" "[]"

echo "-- inspect"
canp 0 "inspect" inspect in/a.canp in/b.blf in/c.log in/sub/d.log.gz
has "inspect tells the format" out "format gz\+candump"
canp 0 "inspect --json" inspect --json in/a.canp in/b.blf in/c.log in/sub/d.log.gz
eq "inspect --json: formats" "$(json out '[f["format"] for f in d["files"]]')" \
	"['canp', 'blf', 'candump', 'gz+candump']"
eq "inspect --json: frames count everything" "$(json out '[f["frames"] for f in d["files"]]')" \
	"[3000, 3000, 3000, 3000]"
eq "inspect --json: error frames" "$(json out '[f["error_frames"] for f in d["files"]]')" "[0, 30, 30, 0]"
eq "inspect --json: every documented key" \
	"$(json out '[k for f in d["files"] for k in "path format bytes frames error_frames members ids first_ns last_ns damage".split() if k not in f]')" "[]"
eq "inspect --json: members, ids" "$(json out 'd["files"][0]["members"], d["files"][0]["ids"]')" "8 8"
eq "inspect --json: bytes" "$(json out 'd["files"][0]["bytes"] == os.path.getsize("in/a.canp")')" True
eq "inspect --json: first time" "$(json out 'd["files"][2]["first_ns"]')" 1704067200000000000
head -c 9000 in/b.blf >cut.blf
canp 2 "inspect of a damaged file" inspect --json cut.blf
eq "inspect --json: damage has offset, bytes, reason" \
	"$(json out 'all(k in x for x in d["files"][0]["damage"] for k in ("offset", "bytes", "reason")) and len(d["files"][0]["damage"]) > 0')" True
canp 2 "inspect of what is no log" inspect m.dbc
canp 64 "inspect without a file" inspect

echo "-- dbc and schema"
canp 0 "dbc" dbc m.dbc
has "dbc lists messages" out "0x100 Msg000"
has "dbc lists signals" out "Level"
sed 's/Msg00/Oth00/' m.dbc >m2.dbc
canp 0 "dbc of two files" dbc m.dbc m2.dbc
has "dbc shows colliding ids" out "collision: 0x100"
printf 'BO_ 256 A: 8 E\n SG_ X : 60|16@1+ (1,0) [0|0] "" V\n SG_ broken\n' >odd.dbc
canp 0 "dbc of a file with oddities" dbc odd.dbc
has "oddities have file and line" out "odd.dbc:[0-9]+"
canp 1 "dbc of a missing file" dbc none.dbc
canp 0 "dbc --json" dbc --json m.dbc
check "dbc --json is JSON" test "$(json out 'len(d[0]["messages"])')" = 8
canp 0 "schema" schema -d m.dbc
has "schema shows tables" out "^Msg000 "
has "schema shows types: scaled" out "Level DOUBLE"
has "schema shows types: whole numbers" out "Counter UINT8"
has "schema shows types: offset" out "Temp INT16"
canp 0 "schema --sql duckdb" schema -d m.dbc -o /data/x --sql duckdb
has "duckdb view" out 'CREATE OR REPLACE VIEW "Msg000".*/data/x/Msg000/\*\.parquet'
canp 0 "schema --sql athena" schema -d m.dbc -o s3://b/x --sql athena
has "athena table" out 'CREATE EXTERNAL TABLE `Msg000`'
has "athena location" out "LOCATION 's3://b/x/Msg000/'"
canp 64 "schema --sql oracle" schema -d m.dbc --sql oracle

echo "-- caps, doctor, config"
canp 0 "caps" caps
has "caps tells the ring" out "^ring "
has "caps tells the kernels" out "^kernels "
has "caps tells the formats" out "canp.*blf.*candump|blf.*candump"
canp 0 "caps --json" caps --json
check "caps --json is JSON" test "$(json out 'len(d["kernels"]) > 3')" = True
canp 0 "caps --simd scalar" caps --simd scalar --json
eq "caps obeys --simd" "$(json out 'd["simd"]')" scalar
timeout 60 "$APP" doctor >out 2>err
rc=$?
check "doctor says well or not (exit 0, 1 or 2, have $rc)" test "$rc" -le 2
for what in ring huge memlock nofile; do
	has "doctor checks $what" out "$what"
done
check "doctor has a fix for each finding" test "$(grep -Ec '^(hint|BAD)' out)" -le "$(grep -c 'fix: ' out)"
printf '[global]\ncores = 3\nslice = 256k\n' >my.conf
CANP_DEPTH=7 timeout 60 "$APP" config --json -c my.conf --simd scalar >out 2>err
eq "config: origins and values" \
	"$(json out '[(d[k]["origin"], str(d[k]["value"])) for k in ("unit", "cores", "depth", "simd")]')" \
	"[('default', '0'), ('file', '3'), ('env', '7'), ('cli', 'scalar')]"
CANP_CORES=5 timeout 60 "$APP" config --json -c my.conf >out 2>err
eq "config: environment beats file" "$(json out 'd["cores"]["origin"], d["cores"]["value"]')" "env 5"
CANP_CORES=5 timeout 60 "$APP" config --json -c my.conf --cores 2 >out 2>err
eq "config: command line beats both" "$(json out 'd["cores"]["origin"], d["cores"]["value"]')" "cli 2"
canp 0 "config" config --cores 2
cp out dumped.conf
canp 0 "config's output is a file --config accepts" config -c dumped.conf
has "the dumped value is read back" out "^cores = 2"
printf '[global]\ncoers = 3\n' >bad.conf
canp 64 "an unknown key of a file" config -c bad.conf
has "file, line and suggestion" err "bad.conf:2.*did you mean|bad.conf:2"
CANP_CORES=x timeout 60 "$APP" config >out 2>err
eq "a bad value of the environment is a usage error" $? 64
has "the option is named" err "environment.*cores|CANP_CORES"

echo "-- inputs"
find in -type f | sort >list
canp 0 "a list from stdin needs -" run -q -d m.dbc -o li1 @list
eq "@file gives the same rows" "$(json li1/_canp/run.json 'd["rows"], d["files"]')" \
	"$(json o1/_canp/run.json 'd["rows"], d["files"]')"
timeout 60 "$APP" run --json -d m.dbc -o li2 - <list >out 2>err
eq "- reads a list from stdin" "$(field files) $(field frames)" "4 12000"
eq "- and @file are byte-identical" "$(dataset_hash li1)" "$(dataset_hash li2)"
tr '\n' '\0' <list | timeout 60 "$APP" run --json -d m.dbc -o li3 - >out 2>err
eq "a NUL-separated list" "$(field files)" 4
job 0 gl1 -d m.dbc 'in/*.log'
eq "a glob argument" "$(field files)" 1
job 0 gl2 -d m.dbc --glob '*.blf' --glob '*.gz' in
eq "--glob picks within folders" "$(field files)" 2
job 0 two -d m.dbc in/c.log in/a.canp
eq "inputs keep the order of the arguments" \
	"$("$PY" -c 'import json; print([json.loads(l)["path"] for l in open("two/_canp/report.jsonl")])')" \
	"['in/c.log', 'in/a.canp']"
job 0 dup0 -d m.dbc in in/a.canp
eq "the same file twice is read once" "$(field files) $(field files_duplicate)" "4 1"
cp -r in tree
ln tree/a.canp tree/zz-hard.canp
ln -s a.canp tree/soft.canp
ln -s .. tree/sub/loop
echo secret >tree/.hidden.log
mkdir tree/.git && cp in/c.log tree/.git/x.log
cp in/c.log tree/part.tmp
job 0 tr1 -d m.dbc tree
eq "hard links are counted, dot files, *.tmp and links are not read" \
	"$(field files) $(field files_duplicate) $(field frames)" "4 1 12000"
job 0 tr2 -d m.dbc --follow-symlinks tree
eq "--follow-symlinks ends in spite of a loop" "$(field files) $(field frames)" "4 12000"
eq "hard links change no row" "$(json tr1/_canp/run.json 'd["rows"]')" "$(json o1/_canp/run.json 'd["rows"]')"

echo "-- bad input"
mkdir bad && cp in/a.canp bad/
echo "just some text, nothing else" >bad/readme.txt
head -c 4096 /dev/zero >bad/zero.bin
: >bad/void.log
job 0 b1 -d m.dbc bad
eq "what no format recognises is skipped in a scan" "$(field files_ok) $(field files_skipped)" "1 3"
job 2 b2 -d m.dbc bad/a.canp bad/readme.txt
eq "and failed when named" "$(field files_ok) $(field files_failed)" "1 1"
has "the file and the reason are told" err "readme.txt.*no known log format"
job 2 b3 -d m.dbc bad/a.canp bad/void.log
eq "a named empty file failed" "$(field files_ok) $(field files_failed)" "1 1"
has "the empty file and the reason are told" err "void.log.*empty"
job 2 b4 -d m.dbc in/a.canp none.blf
eq "a missing path fails, the rest arrives" "$(field files_ok) $(field files_failed) $(field frames)" "1 1 3000"
has "the missing path and the reason are told" err "none.blf.*No such file"
job 2 b5 -d m.dbc none.blf
eq "a job of nothing but a missing path" "$(field files_failed) $(field frames)" "1 0"
mkdir nothing
job 0 b6 -d m.dbc nothing
eq "an empty folder is an empty job" "$(field files) $(field frames)" "0 0"
if [ "$(id -u)" -ne 0 ] || setpriv --reuid=65534 --regid=65534 --clear-groups true 2>/dev/null; then
	cp in/c.log locked.log && chmod 000 locked.log && mkdir nb && chmod 777 nb && chmod 755 "$T"
	as=
	[ "$(id -u)" -ne 0 ] || as="setpriv --reuid=65534 --regid=65534 --clear-groups"
	cp "$APP" app && chmod 755 app
	timeout 60 $as ./app run --json -d m.dbc -o nb/o in/a.canp locked.log >out 2>err
	eq "an unreadable file: exit 2" $? 2
	eq "an unreadable file fails, the rest arrives" "$(field files_ok) $(field files_failed)" "1 1"
	has "the unreadable file and the reason are told" err "locked.log.*Permission denied"
else
	skip "unreadable file: cannot drop privileges here"
fi

echo "-- devices, time, units of time"
col() { # DATASET TABLE COLUMN: its distinct values
	"$PY" - "$@" <<-'END'
		import csv, glob, sys
		d, t, c = sys.argv[1:]
		v = []
		for p in sorted(glob.glob("%s/%s/part-*.csv" % (d, t))):
		    for r in csv.DictReader(open(p, newline="")):
		        if r[c] not in v:
		            v.append(r[c])
		print(",".join(v))
	END
}
first_ts() {
	"$PY" -c 'import csv,glob,sys
print(min(next(csv.DictReader(open(p, newline="")))["ts"] for p in glob.glob(sys.argv[1] + "/Msg*/part-00000.csv")))' "$1"
}
S="--sink csv -d m.dbc"
job 0 d1 $S --device-column --device Truck7 in/a.canp in/c.log
eq "--device NAME where the format has none; the serial wins" "$(col d1 Msg000 device)" "LOG-A,Truck7"
mkdir -p fleet/v12/x && cp in/c.log fleet/v12/x/trip_77.log
job 0 d2 $S --device-column --device path:2 fleet
eq "--device path:2" "$(col d2 Msg000 device)" v12
job 0 d3 $S --device-column --device 'trip_([0-9]+)' fleet
eq "--device REGEX" "$(col d3 Msg000 device)" 77
canp 1 "--device with a broken expression" run $S -o dx --device '(' fleet
job 0 d4 $S --tz utc in/b.blf
eq "--tz utc" "$(first_ts d4 | cut -c1-16)" "2024-01-01T00:00"
if [ -e /usr/share/zoneinfo/Europe/Berlin ]; then
	job 0 d5 $S --tz Europe/Berlin in/b.blf
	eq "--tz Europe/Berlin shifts local times" "$(first_ts d5 | cut -c1-16)" "2023-12-31T23:00"
	job 0 d6 $S --tz Europe/Berlin in/c.log in/a.canp
	eq "--tz leaves UTC formats alone" "$(first_ts d6 | cut -c1-16)" "2024-01-01T00:00"
	TZ=Asia/Tokyo job 0 d7 $S in/b.blf
	eq "the host's zone plays no role" "$(dataset_hash d4)" "$(dataset_hash d7)"
else
	skip "--tz: no zone data here"
fi
echo "canp ns.canp seed=5 frames=100 t0=1704067200000000000 step=500" | logs make
job 0 u1 $S --canp-ts-unit ns ns.canp
eq "--canp-ts-unit ns" "$(first_ts u1 | cut -c1-19)" "2024-01-01T00:00:00"
echo "canp ms.canp seed=5 frames=100 t0=1704067200000 step=500" | logs make
job 0 u2 $S --canp-ts-unit ms ms.canp
eq "--canp-ts-unit ms" "$(first_ts u2 | cut -c1-19)" "2024-01-01T00:00:00"
echo "canp ep.canp seed=5 frames=100 t0=0 step=500" | logs make
job 0 u3 $S --canp-epoch 2020-02-29T12:00:00Z ep.canp
eq "--canp-epoch" "$(first_ts u3 | cut -c1-19)" "2020-02-29T12:00:00"
job 0 u4 $S --ts-ns --canp-ts-unit ns ns.canp
check "--ts-ns adds the exact time" test -n "$(col u4 Msg001 ts_ns)"

echo "-- filters"
head1() { head -n 1 "$1"/part-00000.csv; }
job 0 f2 $S --select 'Msg001.Level,Msg003,Msg00?.Temp' --exclude 'Msg003,Msg007.*' in/a.canp
eq "--select/--exclude: tables" "$(cd f2 && echo Msg*)" "Msg000 Msg001 Msg002 Msg004 Msg005 Msg006"
eq "--select/--exclude: columns" "$(head1 f2/Msg001) $(head1 f2/Msg002)" "ts,src,bus,Level,Temp ts,src,bus,Temp"
eq "--select: every frame is counted somewhere" \
	"$(json out 'd["frames"], d["frames"] - d["frames_decoded"] - d["frames_dropped"], d["frames_dropped"] > 0')" "3000 0 True"
eq "--select: rows are what was decoded" "$(logs rows f2)" "$(field frames_decoded)"
job 0 f3 $S --bus 2 in
eq "--bus keeps a channel" "$(col f3 Msg000 bus)" 2
eq "--bus: rows" "$(logs rows f3)" "$(field frames_decoded)"
check "--bus: the rest is counted as dropped" test "$(field frames_dropped)" -gt 8000
job 0 f4 $S --from 2024-01-01T00:00:00.200Z --to 2024-01-01T00:00:00.400Z in/c.log
eq "--from/--to: rows" "$(logs rows f4)" "$("$PY" - <<END
import sys
sys.path.insert(0, "$E2E_DIR")
import e2e_logs as e
_, _, o = e.parse_line("candump x seed=3 frames=3000 bus=2 errors=100 remote=150")
print(sum(1 for t, c, k, d in e.traffic(o) if k == "data" and 200000 <= t - e.T0 < 400000))
END
)"
eq "--from/--to: every frame is counted somewhere" \
	"$(json out 'd["frames"] - sum(d[k] for k in ("frames_decoded", "frames_unknown", "frames_dropped", "error_frames", "remote_frames"))')" 0
job 0 f5 $S -d 3=m2.dbc in/c.log in/sub
eq "-d BUS=FILE: its bus" "$(col f5 Oth000 bus)" 3
eq "-d BUS=FILE: the other buses" "$(col f5 Msg000 bus)" 2
job 0 f6 $S -d can3=m2.dbc in/sub
check "-d INTERFACE=FILE" test -d f6/Oth000 -a ! -d f6/Msg000

echo "-- sinks and raw frames"
job 0 s1 --sink csv -d m.dbc in
eq "csv: signal values and rows are counted as for parquet" "$(json out 'd["signals"], d["rows"], d["messages"]')" \
	"$(json o1/_canp/run.json 'd["signals"], d["rows"], d["messages"]')"
check "csv rows equal an independent decoder's" logs verify s1 <lines
eq "csv: side tables are csv too" "$(find s1 -name '*.parquet' | wc -l)" 0
check "csv: canp_files" test "$("$PY" -c 'import csv; print(len(list(csv.DictReader(open("s1/canp_files/part-00000.csv", newline="")))))')" = 4
eq "csv: canp_files paths are relative to the INPUT" "$(col s1 canp_files path)" "a.canp,b.blf,c.log,sub/d.log.gz"
eq "csv: canp_signals has a row per signal" "$(logs rows s1 canp_signals)" 40
eq "csv: canp_events has error and remote frames" "$(logs rows s1 canp_events)" 100
cp in/c.log 'in, with "quotes".log' && job 0 s2 --sink csv -d m.dbc 'in, with "quotes".log'
eq "csv: quoting of RFC 4180" "$(col s2 canp_files path)" 'in, with "quotes".log'
job 0 s3 --codec gzip -d m.dbc in
check "gzip parts are whole" test "$(logs pqcheck s3)" -ge 12
check "gzip is smaller" test "$(du -sb s3 | cut -f1)" -lt "$(du -sb o1 | cut -f1)"
eq "gzip has the same rows" "$(field rows)" "$(json o1/_canp/run.json 'd["rows"]')"
job 0 s4 --sink csv -d m.dbc --unknown keep in
eq "--unknown keep: rows of canp_unknown" "$(logs rows s4 canp_unknown)" "$(field frames_unknown)"
job 0 s5 --sink csv -d m.dbc --raw in
eq "--raw: rows of canp_frames" "$(logs rows s5 canp_frames)" 11900
eq "--raw: the message tables are there too" "$(logs rows s5)" "$(logs rows s1)"
job 0 s6 --sink csv in
eq "no DBC: canp_frames only" "$(cd s6 && echo [Mc]*)" "$(cd s6 && echo canp_*)"
eq "no DBC: every data frame is a row" "$(logs rows s6 canp_frames)" 11900
job 0 s7 in
check "no DBC: parquet" test -s s7/canp_frames/part-00000.parquet
e2e_end
