#!/bin/bash
# e2e_benchjob.sh [BIN]: `canp-bench run` and `compare` from the outside, on data so small that the
# figures mean nothing: job files run, the reports hold what they promise, JSON owns standard output,
# mistakes are answered precisely, a job file of fio runs in both programs and reads the same bytes.
. "$(dirname "$0")/e2e_lib.sh"
cd "$T" || exit 1
need "$BENCH"

# wrong PATTERN LINE...: a job file with these lines is refused with 64 and that text.
wrong() {
	local pattern=$1
	shift
	printf '%s\n' "$@" >wrong.job
	timeout 20 "$BENCH" wrong.job >out 2>err
	local rc=$?
	if [ $rc -eq 64 ] && grep -qE "$pattern" err && [ ! -s out ]; then
		ok "refused: $pattern"
	else
		fail "refused: $pattern: rc $rc, $(head -c 200 err)"
	fi
}

# json FILE EXPRESSION: with d the document and j its jobs by name.
jq_() {
	"$PY" -c 'import json, sys
d = json.load(open(sys.argv[1]))
j = {x["jobname"]: x for x in d.get("jobs", [])}
print(eval("(" + sys.argv[2] + ")"))' "$1" "$2"
}

tiny="--bench-dir=$T/data --nrfiles=3 --size=100k"
dd if=/dev/urandom of=blob bs=64k count=32 status=none

echo "-- ten wrong job files and more"
wrong 'wrong.job:2: unknown option bss; did you mean bs\?' '[a]' 'bss=4k'
wrong "wrong.job:2: rw: 'reed'.*read.*randwrite" '[a]' 'rw=reed'
wrong "wrong.job:3: numjobs: 99 is out of range; valid: 1..64" '[a]' 'rw=read' 'numjobs=99'
wrong "wrong.job:1: 'bs' stands before the first \[section\]" 'bs=4k'
wrong "wrong.job:1: '\[a' has no '\]'" '[a'
wrong "wrong.job:2: include of 'none.job': No such file" '[a]' 'include none.job'
wrong 'wrong.job:2: \$\{NOT_SET_HERE\} is not set' '[a]' 'filename=${NOT_SET_HERE}'
wrong "wrong.job:2: runtime needs a value" '[a]' 'runtime'
wrong "wrong.job:2: stages: 'crc' does not follow 'read'" '[a]' 'stages=read,crc'
wrong "wrong.job:2: time_based needs runtime=" '[a]' 'time_based=1'
wrong "percentile-list: 40 does not come after 50.*wrong.job:2" '[a]' 'percentile_list=50:40'
wrong "wrong.job:2: steadystate: 'bw' is not" '[a]' 'steadystate=bw'
wrong "no jobs: give a file" '; nothing'
bench 64 "a job file that is not there" none.job
has "it is named" err "none.job: No such file"
bench 64 "a key that is none, on the command line" --name=x --iodeth=4
has "the near one is told" err "unknown option.*iodeth; did you mean.*iodepth"
bench 1 "a file to read that is not there" --name=x --rw=read --filename="$T/none"
has "the job and the file are named" err "\[x\]: $T/none: .*No such file"

echo "-- looking without running"
cat >two.job <<EOF2
[global]
rw=read
bs=64k
filename=$T/blob
[one]
[two words]
stonewall
iodepth=4
EOF2
bench 0 "--parse-only" two.job --parse-only
eq "it prints nothing" "$(wc -c <out)" 0
bench 0 "--showcmd" two.job --showcmd
has "a command line" out "^canp-bench --name=one --rw=read --bs=64k.* --name='two words'.*--iodepth=4"
eval "\"\$BENCH\" $(sed 's/^canp-bench//' out) --parse-only" && ok "it can be given back" ||
	fail "the line of --showcmd is not taken"
bench 0 "--cmdhelp" --cmdhelp
has "keys of fio and of stages" out "iodepth"
has "stages too" out "--stages"
bench 0 "--cmdhelp of one key" --cmdhelp=ramp_time
has "default and text" out "ramp-time.*"
bench 0 "--cmdhelp of an option of the program" --cmdhelp=output_format
has "each form once" out '^ *--output-format=normal\|terse\|json\|json\+$'
bench 64 "a form that is none" --output-format=json++ --name=a
has "the forms are listed" err 'valid: normal, terse, json, json\+$'
bench 64 "--cmdhelp of none" --cmdhelp=ramptime
has "the near one is told" err "did you mean ramp-time"
bench 0 "the keys of the man page and completion are those of the rows" run --help
has "a row" out "--group-reporting"
for f in "$E2E_ROOT"/tools/jobs/*; do
	CEILING_FILE=$T/blob timeout 20 "$BENCH" "$f" --parse-only 2>err && ok "${f##*/} is right" ||
		fail "${f##*/}: $(cat err)"
done

echo "-- plain reading and writing"
bench 0 "two jobs, one after the other" two.job --output-format=json
eq "JSON alone is on standard output" "$(jq_ out 'len(d["jobs"])')" 2
eq "all bytes were read" "$(jq_ out 'j["one"]["read"]["io_bytes"], j["two words"]["read"]["io_bytes"]')" \
	"(2097152, 2097152)"
eq "operations and latencies" \
	"$(jq_ out 'j["one"]["read"]["total_ios"], j["one"]["read"]["clat_ns"]["N"]')" "(32, 32)"
eq "groups" "$(jq_ out 'j["one"]["groupid"], j["two words"]["groupid"]')" "(0, 1)"
eq "fields of fio" "$(jq_ out 'all(k in j["one"] for k in ("jobname", "groupid", "error", "eta",
	"elapsed", "job options", "read", "write", "job_runtime", "usr_cpu", "sys_cpu", "ctx", "majf",
	"minf", "iodepth_level", "latency_ns", "latency_us", "latency_ms"))')" True
eq "fields of a direction" "$(jq_ out 'all(k in j["one"]["read"] for k in ("io_bytes", "io_kbytes",
	"bw_bytes", "bw", "iops", "runtime", "total_ios", "short_ios", "drop_ios", "slat_ns", "clat_ns",
	"lat_ns", "bw_min", "bw_max", "bw_agg", "bw_mean", "bw_dev", "bw_samples"))')" True
eq "global options apart from those of the job" \
	"$(jq_ out 'd["global options"]["bs"], j["two words"]["job options"]')" \
	"('64k', {'stonewall': '1', 'iodepth': '4'})"
for e in sync mmap null io_uring; do
	bench 0 "ioengine=$e" --name=e --rw=read --bs=4k --filename="$T/blob" --ioengine=$e \
		--output-format=json
	eq "ioengine=$e moves all" "$(jq_ out 'j["e"]["read"]["io_bytes"]')" 2097152
done
for m in malloc mmap thp "mmap:$T/memory"; do
	bench 0 "iomem=$m" --name=m --rw=read --bs=4k --iodepth=4 --filename="$T/blob" --iomem="$m"
	has "iomem=$m is told" out "blocks       : iomem=$m, 4 pages"
done
eq "the file of memory is gone" "$(ls "$T" | grep -c '^memory')" 0
bench 1 "iomem of a file that is not on a hugetlbfs" --name=m --rw=read --filename="$T/blob" \
	--iomem="mmaphuge:$T/memory"
has "it is told" err "$T/memory is not on a hugetlbfs"
if command -v strace >/dev/null; then
	for n in 1 4; do
		timeout 60 strace -f -qq -c -o calls.$n -e trace=io_uring_enter "$BENCH" --name=b \
			--rw=read --direct=0 --bs=4k --size=1m --iodepth=8 --iodepth_batch=$n \
			--ioengine=io_uring --filename="$T/blob" --loops=4 >/dev/null 2>err
		calls=$(awk '$NF == "io_uring_enter" { print $4 }' calls.$n)
		eval "calls_$n=${calls:-0}"
	done
	check "iodepth_batch=4 enters the kernel less often than 1: $calls_4 and $calls_1 times" \
		[ $((calls_4 > 0 && 2 * calls_4 < calls_1)) = 1 ]
else
	skip "iodepth_batch: strace is missing (make deps-test)"
fi
bench 0 "loops, clones in one group" --name=c --rw=randread --bs=4k --size=1m --filename="$T/blob" \
	--numjobs=2 --loops=3 --group_reporting --output-format=json
eq "they add up" "$(jq_ out 'len(d["jobs"]), j["c"]["read"]["io_bytes"]')" "(1, 6291456)"
bench 0 "writing" --name=w --rw=write --bs=64k --size=1m --directory="$T" --end_fsync=1
eq "the file has its size" "$(stat -c %s w.0.0)" 1048576
bench 0 "a file that is missing is made, and removed" --name=m --rw=read --size=128k \
	--filename="$T/made" --unlink=1
check "it is gone" test ! -e made
bench 0 "a rate" --name=r --rw=read --bs=64k --filename="$T/blob" --rate=4m --output-format=json
eq "it is kept" "$(jq_ out 'j["r"]["read"]["bw_bytes"] < 6e6')" True
bench 0 "logs" --name=l --rw=read --bs=64k --filename="$T/blob" --write_bw_log=$T/l \
	--write_lat_log=$T/l --log_avg_msec=1
has "bandwidth" l_bw.1.log '^[0-9]+, [0-9]+, 0, 65536, 0$'
has "latency" l_lat.1.log '^[0-9]+, [0-9]+, 0, 65536, 0$'
bench 0 "time_based, ramp, steady state" --name=s --rw=read --bs=4k --filename="$T/blob" --ioengine=null \
	--time_based --runtime=20 --ramp_time=100ms --steadystate=bw:100% --ss_dur=2 --output-format=json
eq "it ended early" "$(jq_ out 'j["s"]["steadystate"]["attained"], j["s"]["job_runtime"] < 15000')" \
	"(1, True)"
cat >when.job <<EOF2
[global]
rw=read
bs=4k
ioengine=null
filename=$T/blob
[first]
[late]
startdelay=400ms
[after]
stonewall
EOF2
bench 0 "jobs at the same time, later, and after one another" when.job --output-format=json
eq "startdelay" "$(jq_ out 'j["late"]["samples"][0]["timestamp_ms"]
	- j["first"]["samples"][0]["timestamp_ms"] > 0')" True
eq "stonewall" "$(jq_ out 'j["after"]["samples"][0]["timestamp_ms"]
	>= j["late"]["samples"][0]["timestamp_ms"] + j["late"]["samples"][0]["runtime"]')" True
bench 0 "json+" two.job --section=one --output-format=json+
eq "bins hold all operations" "$(jq_ out 'len(d["jobs"]), sum(j["one"]["read"]["clat_ns"]["bins"].values())')" \
	"(1, 32)"
bench 0 "json-plus is the same" two.job --section=one --output-format=json-plus
eq "bins of json-plus" "$(jq_ out 'sum(j["one"]["read"]["clat_ns"]["bins"].values())')" 32
bench 0 "terse" two.job --output-format=terse
eq "a line for each job" "$(grep -cE '^1;canp-bench-[^;]*;(one|two words);[01];0;2048;' out)" 2
bench 0 "text to a file, keys of the command line beat the file" --output=report.txt --bs=32k two.job
has "the shape of fio" report.txt '  read: IOPS=[0-9]+, BW=[0-9.]+MiB/s'
has "block size" report.txt 'bs=32768'
has "percentiles" report.txt '99.99th=\['
has "groups" report.txt 'Run status group 1'
has "environment" report.txt '^system +kernel'
eq "nothing on standard output" "$(wc -c <out)" 0

echo "-- stages"
cat >stages.job <<EOF2
[global]
bench-dir=$T/data
nrfiles=3
size=100k
cores=1
[whole]
breakdown=1
[decode]
stonewall
stages=inflate,crc,decode
loops=2
[blf]
stonewall
container=blf
output=null
corrupt=100
[kernels]
stonewall
command=kernels
args=--kernel=adler32 --rounds=1 --round-ms=1
EOF2
bench 0 "a whole job, a range, a damaged BLF, another command" stages.job --output-format=json
eq "frames" "$(jq_ out 'j["whole"]["frames"] > 0, j["decode"]["frames"] == 2 * j["whole"]["frames"]')" \
	"(True, True)"
eq "stages" "$(jq_ out '" ".join(j["whole"]["stages"])')" "read inflate crc decode signals encode write"
eq "what each costs" "$(jq_ out 'all("cpu_ns_per_frame" in s for s in j["whole"]["stages"].values())')" True
eq "what it reads and writes" \
	"$(jq_ out 'j["whole"]["read"]["io_bytes"] > 0, j["whole"]["write"]["io_bytes"] > 0')" "(True, True)"
eq "what it holds" "$(jq_ out 'j["whole"]["peak_mem_bytes"] > 0, j["whole"]["file_ns"]["N"]')" "(True, 3)"
eq "operations are counted" "$(jq_ out 'j["whole"]["read"]["total_ios"] >= 3,
	j["whole"]["system"]["ring_completions"] >= j["whole"]["read"]["total_ios"]
	+ j["whole"]["write"]["total_ios"] > 3')" "(True, True)"
eq "a range writes nothing" "$(jq_ out 'j["decode"]["write"]["io_bytes"], " ".join(j["decode"]["stages"])')" \
	"(0, 'inflate crc decode')"
eq "output=null ends before write" "$(jq_ out '"write" in j["blf"]["stages"]')" False
eq "damage was made, and found" "$(jq_ out 'j["blf"]["damage"] > 0')" True
check "the damaged copies are gone" test -z "$(ls -d data/corrupt-* data/out-* 2>/dev/null)"
eq "the result of the command" "$(jq_ out 'j["kernels"]["result"]["kernels"][0]["kernel"]')" adler32
bench 0 "the same as text" stages.job --section=whole
has "inflate" out '^  inflate: in BW=.*ratio='
has "frames" out '^  frames: .* CPU [0-9.]+ ns/frame'
has "what limits" out '^  bottleneck'
bench 0 "logs that are given" --name=g --directory="$(ls -d data/canp-*)" --stages=decode --cores=1 \
	--output-format=json
eq "all of them" "$(jq_ out 'j["g"]["files"] >= 3')" True
bench 1 "no logs" --name=g --directory="$T/data" --filename=none --stages=read

echo "-- compare"
bench 0 "five runs in turn" run two.job --repeat=5 --self-check --output=self.json --output-format=json
eq "ten samples, in turn" "$(jq_ self.json '"".join(s["side"] for s in j["one"]["samples"])')" ABABABABAB
eq "the noise floor" "$(jq_ self.json 'j["one"]["noise_floor"]["read_bw_bytes"] >= 0')" True
for i in 1 2 3 4 5 6; do
	"$PY" - $i <<'EOF2'
import json, sys
i = int(sys.argv[1])
for name, at, bw in ("a", 0, 1000), ("b", 1, 1000), ("slow", 2, 950):
    json.dump({"jobs": [{"jobname": "x", "samples": [
        {"timestamp_ms": 1000 * i + at, "read_bw_bytes": (bw + 2 * i) * 1000}]}]},
        open(f"{name}{i}.json", "w"))
EOF2
done
bench 0 "equal runs" compare a?.json : b?.json
has "are the same" out ' same$'
bench 3 "5 % slower" compare a?.json : slow?.json
has "is told" out 'read_bw_bytes +6:6 .*-4\.9.* regressed$'
bench 3 "the same as JSON" compare --json --baseline=a1.json --baseline=a2.json --baseline=a3.json \
	--baseline=a4.json --baseline=a5.json slow?.json
eq "figures" "$(jq_ out 'd["exit"], d["figures"][0]["verdict"], d["figures"][0]["p"] < .01')" \
	"(3, 'regressed', True)"
bench 0 "5 % faster" compare slow?.json : a?.json
bench 1 "two runs" compare a1.json a2.json
has "are too few" out 'needs 5 runs'
bench 1 "no result" compare a1.json two.job
has "is named" err 'two.job: no JSON'
bench 64 "no baseline" compare a1.json

echo "-- fio"
if command -v fio >/dev/null; then
	cat >both.fio <<EOF2
[global]
ioengine=io_uring
direct=1
bs=256k
rw=read
[both]
filename=$T/blob
iodepth=4
EOF2
	if timeout 60 fio both.fio --output-format=json --output=fio.json >/dev/null 2>err; then
		bench 0 "a job file of fio" both.fio --output-format=json
		eq "both read the same bytes" "$(jq_ out 'j["both"]["read"]["io_bytes"]')" \
			"$(jq_ fio.json 'j["both"]["read"]["io_bytes"]')"
		eq "in as many operations" "$(jq_ out 'j["both"]["read"]["total_ios"]')" \
			"$(jq_ fio.json 'j["both"]["read"]["total_ios"]')"
	else
		skip "a job file of fio: fio cannot run it here: $(head -1 err)"
	fi
else
	skip "a job file of fio: fio is not installed (apt install fio)"
fi
e2e_end
