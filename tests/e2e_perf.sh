#!/bin/bash
# e2e_perf.sh [BIN]: the profiling scripts of perf/: options and exit codes, what they say when
# something is missing, and real recordings where this machine allows them.
. "$(dirname "$0")/e2e_lib.sh"
cd "$T" || exit 1
P=$E2E_ROOT/perf
SCRIPTS="flame offcpu stat uring blk sched lock faults usdt syscalls mem c2c topdown all"
export PYTHONDONTWRITEBYTECODE=1

# perf_run WANTED-RC TEXT SCRIPT ARGUMENT...: output in out and err.
perf_run() {
	local want=$1 text=$2 rc
	shift 2
	timeout -k 5 "$E2E_TIMEOUT_S" "$P/$1" "${@:2}" >out 2>err </dev/null
	rc=$?
	if [ "$rc" -eq "$want" ]; then
		ok "$text"
		return 0
	fi
	fail "$text: exit $rc, want $want: perf/$*"
	head -n 8 err | sed 's/^/     | /'
	return 1
}

# py TEXT PROGRAM [ARGUMENT...]: ok when the Python program ends well.
py() {
	local text=$1
	shift
	if "$PY" -c "$@" >pyout 2>&1; then ok "$text"; else
		fail "$text"
		tail -n 4 pyout | sed 's/^/     | /'
	fi
}

svg_ok='import sys, xml.dom.minidom as m
for p in sys.argv[1:]:
    assert m.parse(p).documentElement.tagName == "svg", p'

echo "-- options"
bad=
for s in $SCRIPTS caps host-check matrix plot; do
	"$P/$s" --help >out 2>&1 || bad="$bad $s"
	for o in -o --json --dry-run --help; do
		grep -q -- "  *\(-h, \)\?$o" out || bad="$bad $s:$o"
	done
	"$P/$s" --no-such-option >out 2>&1
	[ $? -eq 64 ] || bad="$bad $s:64"
done
eq "every script has --help with the same options and answers 64 to an unknown one" "$bad" ""
bad=
for s in $SCRIPTS; do
	"$P/$s" --help | grep -q -- '-p PID' || bad="$bad $s:-p"
	"$P/$s" >/dev/null 2>&1
	[ $? -eq 64 ] || bad="$bad $s"
done
eq "without a process and a command: 64" "$bad" ""
perf_run 64 "a process that is not there: 64" flame -p 4194999
perf_run 64 "a command that is not there: 64" flame -- ./nothing
perf_run 64 "-d needs a number" flame -d soon -- true
eq "nothing was left behind" "$(ls | grep canp-perf)" ""

echo "-- what is missing is named"
# A PATH with all that the scripts use but perf, bpftrace and gnuplot.
mkdir bare
for c in bash sh env cat grep sed awk mkdir mktemp rm date sleep realpath head tail timeout touch \
	mkfifo basename dirname true kill ls wc tr sort cut mv; do
	w=$(type -P $c) && ln -s "$w" bare/$c
done
ln -s "$(type -P "$PY")" bare/python3
bare() {
	PATH=$T/bare CANP_PYTHON=$PY "$@"
}
for s in flame offcpu stat uring blk sched lock faults syscalls mem c2c topdown all; do
	bare "$P/$s" -o none -- true >out 2>err
	[ $? -eq 77 ] && grep -q "not supported here: perf is not installed" err || echo "$s"
done >bad
eq "without perf: 77 and its name" "$(cat bad)" ""
mkdir fake
cat >fake/perf <<'END'
#!/bin/sh
case $1 in
--version) echo "perf version 6" ;;
stat) echo "<not supported> cycles" >&2 ;;
*) echo "Permission denied: perf_event_paranoid" >&2; exit 255 ;;
esac
END
chmod +x fake/perf
fake() {
	PATH=$T/fake:$T/bare CANP_PYTHON=$PY "$@"
}
for s in flame offcpu stat uring blk sched lock faults mem c2c topdown; do
	fake "$P/$s" --dry-run >out 2>err
	[ $? -eq 77 ] && grep -q "^perf/$s: not supported here: ." err || echo "$s"
done >bad
eq "with a perf that may nothing: 77 and the reason" "$(cat bad)" ""
eq "and nothing was run" "$(ls -d none 2>/dev/null)" ""
perf_run 77 "a program without probes: 77" usdt -- /bin/true
has "and how to get them" err 'CONFIG_CANP_USDT=y'
bare "$P/plot" . >out 2>err
eq "plot without a result: 64" $? 64

echo "-- pictures"
printf '%s\n' 'a;[inflate];f<int>&g 60' 'a;[decode];h 30' 'a;"x" 10' >new.folded
printf '%s\n' 'a;[inflate];f<int>&g 20' 'a;[decode];h 70' 'a;gone 10' >old.folded
"$PY" "$P/lib/flamegraph.py" new.folded -o new.svg --title 'A & B'
"$PY" "$P/lib/flamegraph.py" new.folded --diff old.folded -o diff.svg
py "a flame graph is well-formed whatever functions are called" "$svg_ok" new.svg diff.svg
py "its frames are as wide as their shares, and shares are named" '
import xml.dom.minidom as m
g = [x for x in m.parse("new.svg").getElementsByTagName("g")]
t = {x.getElementsByTagName("title")[0].firstChild.data.split(" (")[0]: x for x in g}
w = lambda n: float(t[n].getElementsByTagName("rect")[0].getAttribute("width"))
assert abs(w("f<int>&g") / w("all") - .6) < .01 and abs(w("h") / w("all") - .3) < .01
text = open("new.svg").read()
assert "inflate 60.0 %" in text and "decode 30.0 %" in text and "<script>" in text
assert "http" not in text.replace("http://www.w3.org/2000/svg", ""), "not self-contained"'
py "in a comparison, what grew is red and what shrank is blue" '
import xml.dom.minidom as m
c = {}
for x in m.parse("diff.svg").getElementsByTagName("g"):
    f = x.getElementsByTagName("rect")[0].getAttribute("fill")
    c[x.getElementsByTagName("title")[0].firstChild.data.split(" (")[0]] = f
red = lambda f: int(f[1:3], 16) > int(f[5:7], 16)
assert red(c["f<int>&g"]) and not red(c["h"]) and c["h"] != c["all"], c'

echo "-- the machine"
mkdir -p root/sys/devices/system/cpu/cpu0/cpufreq root/sys/kernel/mm/transparent_hugepage \
	root/sys/kernel/mm/hugepages/hugepages-2048kB root/sys/block/nvme0n1/queue \
	root/proc/sys/kernel
echo powersave >root/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor
echo 'always madvise [never]' >root/sys/kernel/mm/transparent_hugepage/enabled
echo 4096 | tee root/sys/kernel/mm/hugepages/hugepages-2048kB/{nr,free}_hugepages >/dev/null
echo 32 >root/sys/block/nvme0n1/queue/nr_requests
echo '[none] bfq' >root/sys/block/nvme0n1/queue/scheduler
echo 2 >root/proc/sys/kernel/io_uring_disabled
echo '0.10 0 0 1/1 1' >root/proc/loadavg
perf_run 0 "host-check looks at a machine" host-check --root root --cpus 0-1 --json
py "and gives a hint for each thing that is wrong, none for what is right" '
import json
c = {r["check"]: r for r in json.load(open("out"))["checks"]}
for bad in ("governor", "THP", "queue nvme0n1", "io_uring"):
    assert c[bad]["ok"] is False and c[bad]["hint"], c[bad]
for good in ("hugepages", "scheduler nvme0n1", "load"):
    assert c[good]["ok"] is True and not c[good]["hint"], c[good]'
perf_run 0 "host-check looks at this one" host-check
has "it knows the lockable memory" out '^(ok|hint) +memlock'

echo "-- matrix and plot"
cat >bench <<'END'
#!/bin/sh
case "$*" in *--codec=zstd*) echo "codec zstd is not built" >&2; exit 64 ;; esac
echo x >>"$FAKE_LOG"
c=1
case "$*" in *--depth=4*) c=2 ;; esac
echo '{"job":{"cpu_s":'$c',"wall_s":2},"run":{"frames":1000000000,"files":10},"bytes_per_value":0.5}'
END
chmod +x bench
export FAKE_LOG=$T/runs
perf_run 0 "matrix runs each value of each parameter" matrix --bench ./bench --rounds 3 \
	-P depth=1,4 -P codec=none,zstd -o m -- --files=3
py "each point has its rounds; what the bench refuses is noted" '
import json
d = json.load(open("m/matrix.json"))
p = {tuple(x["options"].items())[0]: x for x in d["points"]}
assert len(p) == 4 and all(len(p[k]["runs"]) == 3 for k in
                           (("depth", "1"), ("depth", "4"), ("codec", "none")))
assert p["depth", "4"]["runs"][0]["cpu_ns_per_frame"] == 2 and p["depth", "1"]["runs"][0][
    "files_per_s"] == 5
assert "not built" in p["codec", "zstd"]["failed"] and not p["codec", "zstd"]["runs"]
json.load(open("m/" + p["depth", "1"]["files"][2]))'
eq "in nine runs" "$(wc -l <runs)" 9
perf_run 0 "a second call keeps them" matrix --bench ./bench --rounds 3 -P depth=1,4 \
	-P codec=none,zstd -o m -- --files=3
eq "and runs nothing again" "$(wc -l <runs)" 9
perf_run 0 "--cross makes every combination" matrix --bench ./bench --rounds 1 --cross --dry-run \
	-P depth=1,4 -P codec=none,gzip
eq "of which there are four" "$(grep -c -- '--depth=.*--codec=' out)" 4
bare "$P/plot" m >out 2>err
eq "plot without gnuplot: 77" $? 77
has "and its name" err 'gnuplot-nox'
if command -v gnuplot >/dev/null; then
	perf_run 0 "plot draws a chart for each parameter" plot m
	py "as SVG" "$svg_ok" m/cpu_ns_per_frame-depth.svg m/cpu_ns_per_frame-codec.svg
	perf_run 0 "or PNG" plot --png --metric files_per_s -o png m
	eq "of which there are two" "$(ls png/*.png | wc -l)" 2
else
	skip "plot: gnuplot is not installed (apt install gnuplot-nox)"
fi

echo "-- probes"
names=$(grep -rhoE 'CANP_USDT[123]\([a-z_]+' "$E2E_ROOT"/{core,io,numa,tools} --include='*.c' --include='observe*.h' | sed 's/.*(//' | sort -u)
eq "every probe in the sources is described, and the other way round" "$names" \
	"$(grep -v '^#' "$P/lib/probes.tsv" | cut -f1 | sort)"
check "there are at least twelve ($(echo "$names" | wc -l))" [ "$(echo "$names" | wc -l)" -ge 12 ]
cat >probed.c <<'END'
#include "core/base/usdt.h"
int main(int argc, char **argv)
{
	(void)argv;
	for (int i = 0; i < 7; i++)
		CANP_USDT2(member_inflated, 100, i * argc);
	CANP_USDT1(unit_begin, argc);
	return 0;
}
END
if echo '#include <sys/sdt.h>' | ${CC:-gcc} -E - >/dev/null 2>&1; then
	${CC:-gcc} -DCONFIG_CANP_USDT -I"$E2E_ROOT" -o probed probed.c || fail "probed.c"
	eq "a program built with them has them" "$("$PY" "$P/lib/sdt.py" probed | tr '\n' ' ')" \
		"member_inflated unit_begin "
	perf_run 0 "usdt --list says what they mean" usdt --list -- ./probed
	has "with their arguments" out '^member_inflated +\(bytes_in,bytes_out'
	if "$P/usdt" --dry-run -- ./probed >out 2>err; then
		perf_run 0 "usdt counts them" usdt -o u --json -- ./probed
		py "each as often as it was passed" '
import json
r = json.load(open("out"))["result"]
assert r["probes"] == {"member_inflated": 7, "unit_begin": 1}, r
assert r["sums"]["inflated_in"] == 700 and r["sums"]["inflated_out"] == 21, r'
	else
		skip "usdt: $(cat err)"
	fi
else
	skip "usdt: sys/sdt.h is missing (apt install systemtap-sdt-dev)"
fi
${CC:-gcc} -I"$E2E_ROOT" -o plain probed.c || fail "probed.c without probes"
eq "a program built without them has none" "$("$PY" "$P/lib/sdt.py" plain)" ""

echo "-- recordings"
perf_run 0 "canp-bench serves matrix" matrix --bench "$BIN/canp-bench" -P inflate=auto,isal \
	--rounds 1 -o real -- --files=1 --size=1m --bench-dir="$T/bd"
py "with figures of a real job" '
import json
p = json.load(open("real/matrix.json"))["points"]
assert len(p) == 2 and all(x["runs"][0]["cpu_ns_per_frame"] > 0 for x in p), p'
if ! "$P/flame" --dry-run >out 2>err; then
	skip "recordings: $(cat err)"
	e2e_end
fi
timeout 100 "$BIN/canp-gen" --files 6 --size 4m --seed 5 --dbc v.dbc logs 2>/dev/null || fail "canp-gen"
perf_run 0 "flame records a job" flame -F 4999 -o f --json -- "$APP" run -q --cores=1 -d v.dbc -o d logs
py "report.json tells what was measured" '
import json
d = json.load(open("out"))
assert d == json.load(open("f/report.json"))
assert d["tool"] == "flame" and d["capability"] in ("cycles", "cpu-clock") and d["exit_status"] == 0
assert d["command"][1] == "run" and d["machine"]["cpus"] >= 1 and d["seconds"] > 0
r = d["result"]
assert r["samples"] > 20 and r["cpu_seconds"] > 0, r["samples"]
assert abs(sum(s["percent"] for s in r["stages"].values()) - 100) < .1
assert abs(sum(r["threads"].values()) - 100) < .1'
py "inflate, decode, extract and encode are named frames, with functions in them" '
import re
stacks = [l.rsplit(" ", 1)[0].split(";") for l in open("f/folded.txt")]
for stage in ("inflate", "decode", "extract", "encode"):
    inner = {s[i + 1] for s in stacks for i, f in enumerate(s[:-1]) if f == "[%s]" % stage}
    assert any(f.startswith("canp_") for f in inner), (stage, inner)
    assert "[%s]" % stage in open("f/flame.svg").read(), stage
assert any("canp_reactor_run" in s for s in stacks)'
py "the picture is well-formed" "$svg_ok" f/flame.svg
has "report.txt has the stages" f/report.txt '^ +inflate +[0-9]'
has "top.txt has functions" f/top.txt 'canp_'
perf_run 0 "--diff compares with an earlier run" flame -F 4999 --user --diff f -o f2 -- \
	"$APP" run -q --cores=1 --inflate=isal -d v.dbc -o d2 logs
py "as a picture" "$svg_ok" f2/diff.svg
eq "--user leaves the kernel out" "$(grep -c '_\[k\]' f2/folded.txt)" 0
perf_run 64 "the command's exit status is handed on" flame -o f3 -- "$APP" run --no-such-option
"$PY" -c 'while True: pass' &
busy=$!
perf_run 0 "flame -p attaches to a process, -d ends it" flame -p $busy -d 0.5 -o f4 --json
kill $busy
py "and samples it" 'import json; assert json.load(open("out"))["result"]["samples"] > 5'

perf_run 0 "all records everything on one run" all -F 997 -o a --json -- \
	"$APP" run -q --cores=1 -d v.dbc -o d3 logs
cp out all.json
py "and says why for each that it could not" '
import json
r = json.load(open("all.json"))["result"]
names = set("flame offcpu sched uring blk lock faults syscalls stat usdt mem c2c topdown".split())
assert set(r["scripts"]) | set(r["skipped"]) == names, (set(r["scripts"]), r["skipped"])
assert "flame" in r["scripts"] and all(len(w) > 8 for w in r["skipped"].values()), r["skipped"]
assert any("CPU time" in s for s in r["story"])'
py "index.html explains it and its pictures are there" '
import os, re
t = open("a/index.html").read()
links = re.findall(r"data=\"([^\"]+)\"", t)
assert "flame/flame.svg" in links and all(os.path.exists("a/" + l) for l in links), links
for s in ("inflate", "decode", "extract", "encode", "decompressing members"):
    assert s in t, s'
py "all its pictures are well-formed" "$svg_ok" a/*/*.svg
# each SCRIPT PROGRAM: looks at its result r, when it could run.
each() {
	py "$1: $2" 'import json, sys
d = json.load(open("all.json"))["result"]
r = d["scripts"].get(sys.argv[1])
if r is None:
    print("skip")
else:
    exec(sys.argv[2])' "$1" "$3"
	! grep -q '^skip' pyout || echo "     (not measured on this machine)"
}
each stat "CPU time and what was read" 'assert r["cpu_seconds"] > 0 and r["counters"]["task-clock"] > 0 and r["io"]["threads"] >= 1'
each syscalls "calls by name" 'assert r["calls"] > 50 and r["syscalls"]["openat"]["n"] > 5 and r["syscalls"]["mmap"]["total_ms"] > 0'
each faults "page faults by stage" 'assert r["faults"] > 50 and sum(r["stages"].values()) == r["faults"]'
each sched "the reactor ran and moved at most onto its CPU" 't = r["threads"]["canp-0"]; assert t["run_seconds"] > 0; assert r["run_queue_wait_ns"]["n"] > 0'
each offcpu "waits by state" 'assert r["waits"] > 10 and r["wait_seconds"] > 0 and "sleep" in r["states"]'
each lock "futex calls" 'assert r["futex_calls"] >= 0 and "kernel_lock_waits" in r'
each uring "operations, latencies, batches" 'o = r["opcodes"]
if d["scripts"]["syscalls"]["syscalls"].get("io_uring_enter"):
    k = "READ_FIXED" if "READ_FIXED" in o else "READ"
    assert r["operations"] > 10 and r["overflows"] == 0 and o[k]["latency_ns"]["p50"] > 0, r
    assert r["submitted_per_enter"]["max"] >= 1'
perf_run 0 "caps names what there is" caps -o c --json
py "for every script" '
import json
d = json.load(open("out"))
assert d["tools"]["flame"]["available"] and d["features"]["perf"]["available"]
assert all(f["available"] or f["why"] for f in d["features"].values())'
e2e_end
