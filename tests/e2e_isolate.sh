#!/bin/bash
# e2e_isolate.sh [BIN]: files that are walked in worker processes: the same dataset, and a file that
# brings its worker down costs nothing but itself.
. "$(dirname "$0")/e2e_lib.sh"
cd "$T" || exit 1

logs dbc m.dbc 8
for i in $(seq 10 29); do
	case $((i % 4)) in
	0) echo "canp in/f$i.canp seed=$i frames=60000 serial=LOG-$i src=$i" ;;
	1) echo "blf in/f$i.blf seed=$i frames=20000 src=$i" ;;
	2) echo "candump in/f$i.log seed=$i frames=9000 bus=2 src=$i" ;;
	3) echo "canp in/f$i.canp seed=$i frames=30000 serial=LOG-$((i % 5)) src=$i" ;;
	esac
done >lines
logs make <lines
gzip -kc in/f14.log >in/f30.log.gz
gzip -kc in/f12.canp >in/f31.canp.gz
nr=$(find in -type f | wc -l)

echo "-- the same dataset"
job 0 none -d m.dbc --cores 1 in
want=$(dataset_hash none)
for cores in 1 2; do
	job 0 p$cores -d m.dbc --cores $cores --isolate process in
	eq "I05 isolated: the same bytes, $cores cores" "$(dataset_hash p$cores)" "$want"
done
eq "I05 run.json: all files went through workers" \
	"$(json p2/_canp/run.json '[d["isolation"][k] for k in ("mode", "files", "files_quarantined", "seccomp")]')" \
	"['process', $nr, 0, True]"
eq "I05 run.json without isolation says nothing of it" "$(json none/_canp/run.json '"isolation" in d')" False
eq "I05 nothing is quarantined: the list is empty" "$(stat -c %s p2/_canp/quarantine)" 0
CANP_TEST_DELAY_SEED=7 CANP_TEST_SLOW_SHARD=1 job 0 late -d m.dbc --cores 2 --isolate process in
eq "I05 isolated: the same bytes with delays" "$(dataset_hash late)" "$want"
CANP_TEST_ISOLATE_SPOOL_KB=256 job 0 spill -d m.dbc --cores 2 --isolate process in
eq "I05 isolated: the same bytes when frames are staged in a file" "$(dataset_hash spill)" "$want"
eq "I05 no staging file is left" "$(find spill -name '.canp*' | wc -l)" 0

echo "-- damage as without isolation"
mkdir bad
cp in/f12.canp in/f13.blf in/f14.log bad
head -c $(($(stat -c %s in/f16.canp) * 2 / 3)) in/f16.canp >bad/cut.canp
head -c $(($(stat -c %s in/f17.blf) / 2)) in/f17.blf >bad/cut.blf
gzip -kc in/f18.log | head -c 60000 >bad/cut.log.gz
(head -c 70000 in/f20.canp; head -c 500 /dev/zero; tail -c +70501 in/f20.canp) >bad/hole.canp
head -c 5000 /dev/zero >bad/zeros.canp
: >bad/empty.canp
job 2 dn -d m.dbc --cores 2 bad bad/zeros.canp
job 2 dp -d m.dbc --cores 2 --isolate process bad bad/zeros.canp
eq "I05 damaged files: the same dataset" "$(dataset_hash dp)" "$(dataset_hash dn)"
check "I05 damaged files: the same report" cmp dn/_canp/report.jsonl dp/_canp/report.jsonl
eq "I05 damage is no reason for quarantine" "$(stat -c %s dp/_canp/quarantine)" 0

# The tables without canp_files and canp_errors, which tell of the bad file in other words.
tables() {
	(cd "$1" && find . -path ./_canp -prune -o -path ./canp_files -prune -o -path ./canp_errors -prune -o \
		-type f -print0 | sort -z | xargs -0 -r sha256sum | sha256sum | cut -d' ' -f1)
}

echo "-- a file that brings its worker down"
# Without the file: one that is no log keeps its place in the listing.
mv in/f15.canp f15.canp
head -c "$(stat -c %s f15.canp)" /dev/zero >in/f15.canp
job 0 without -d m.dbc --cores 2 in
mv f15.canp in/f15.canp
want15=$(tables without)
for how in abort segv exit oom hang wait garbage; do
	: >quar
	CANP_TEST_ISOLATE_STILL_S=2 CANP_TEST_CRASH="$how@20000:f15." job 2 "c-$how" -d m.dbc --cores 2 \
		--isolate process --on-quarantine 'echo "$CANP_FILE $CANP_STATUS" >>'"$T/quar" in
	eq "I05 $how: the dataset of all others" "$(tables "c-$how")" "$want15"
	eq "I05 $how: one file is quarantined" "$(json "c-$how/_canp/run.json" \
		'[d["files_failed"], d["files_ok"], d["isolation"]["files_quarantined"]]')" "[1, $((nr - 1)), 1]"
	has "I05 $how: it is listed with its path and cause" "c-$how/_canp/quarantine" \
		'"path":"[^"]*f15.canp","bytes":[0-9]+,"cause":"worker [a-z]'
	has "I05 $how: it is in the report" "c-$how/_canp/report.jsonl" 'f15.canp.*"failed".*"quarantined":true.*"WORKER"'
	eq "I05 $how: the hook is told" "$(cat quar)" "in/f15.canp failed"
done
has "I05 the signal is told" c-segv/_canp/quarantine 'signal 11'
# Copies of the program that have their folder here.
ours() {
	for p in /proc/[0-9]*; do
		[ "$(readlink "$p/exe")" = "$APP" ] && [ "$(readlink "$p/cwd")" = "$T" ] && echo "$p"
	done 2>/dev/null
}
eq "I05 the workers end with the job" "$(ours | wc -l)" 0
CANP_TEST_CRASH="abort@0:f1" job 2 many -d m.dbc --cores 2 --isolate process in
eq "I05 many bad files: all others are there" "$(json many/_canp/run.json '[d["files_failed"], d["files_ok"]]')" \
	"[10, $((nr - 10))]"
# The last file of the listing: really without it.
mkdir in2
cp in/* in2
cp in/f16.canp in2/zz.canp
CANP_TEST_CRASH="segv@0:zz." job 2 last -d m.dbc --cores 2 --isolate process in2
eq "I05 a bad last file: as if it were not there" "$(tables last)" "$(tables none)"

echo "-- killed from outside"
rm -rf k
# Found by their parents: the program's child is the pool's first process, its children the workers.
# shellcheck disable=SC2046
workers() {
	for z in $(cat /proc/"$1"/task/*/children 2>/dev/null); do
		cat /proc/"$z"/task/"$z"/children 2>/dev/null
	done
}
export CANP_TEST_CRASH="wait@0:f20." CANP_TEST_ISOLATE_STILL_S=600
start run -o k -d m.dbc --cores 2 --isolate process in
hit=0
for _ in $(seq 400); do
	for w in $(workers "$pid"); do
		# The one that sleeps in f20 (and only it does so without end).
		grep -q '' /proc/"$w"/comm 2>/dev/null && grep -Eq 'nanosleep' /proc/"$w"/wchan 2>/dev/null &&
			kill -KILL "$w" 2>/dev/null && hit=$((hit + 1))
	done
	[ "$hit" -ge 2 ] && break
	sleep 0.05
done
finish
unset CANP_TEST_CRASH CANP_TEST_ISOLATE_STILL_S
eq "I05 kill -9 of a worker, twice in one file: only that file" \
	"$rc $(json k/_canp/run.json '[d["files_failed"], d["files_ok"], d["isolation"]["files_retried"]]')" \
	"2 [1, $((nr - 1)), 1]"
has "I05 kill -9 of a worker: the signal is told" k/_canp/quarantine 'signal 9'

rm -rf k1
export CANP_TEST_CRASH="wait@0:none of them"
start run -o k1 -d m.dbc --cores 2 --isolate process in
for _ in $(seq 400); do
	w=$(workers "$pid" | tr ' ' '\n' | sed -n 1p)
	[ -n "$w" ] && kill -KILL "$w" 2>/dev/null && break
	sleep 0.01
done
finish
unset CANP_TEST_CRASH
eq "I05 kill -9 of a worker once: nothing is missing" "$rc $(dataset_hash k1)" "0 $want"

export CANP_TEST_CRASH="wait@0:f20."
start run -o k2 -d m.dbc --cores 2 --isolate process in
for _ in $(seq 400); do
	[ "$(workers "$pid" | wc -w)" -ge 2 ] && [ -f k2/_canp/job.json ] && break
	sleep 0.05
done
sleep 0.3
all="$(cat /proc/"$pid"/task/*/children) $(workers "$pid")"
kill -KILL "$pid"
finish
unset CANP_TEST_CRASH
left=1
for _ in $(seq 200); do
	left=0
	for w in $all; do
		# A process that has ended and is not reaped yet is none.
		case $(sed 's/.*) //' /proc/"$w"/stat 2>/dev/null) in '' | Z* | X*) ;; *) left=$((left + 1)) ;; esac
	done
	[ $left = 0 ] && break
	sleep 0.05
done
eq "I05 kill -9 of the job: no process is left" "$left" 0
check "I05 kill -9 of the job: it had begun" test -f k2/_canp/job.json
eq "I05 kill -9 of the job: no mark of completion" "$(find k2 -name run.json | wc -l)" 0
eq "I05 kill -9 of the job: what is visible is whole" "$(strangers k2 | grep -vc '/\.[^/]*$')" 0

echo "-- where workers only die, and where they cannot start"
mkdir small
for i in $(seq 100 189); do echo "canp small/s$i.canp seed=$i frames=50 src=$i"; done >lines2
logs make <lines2
CANP_TEST_CRASH="abort@0:s1" canp 1 "I05 a crash loop ends the job" run -q -o loop -d m.dbc --cores 2 --isolate process small
has "I05 a crash loop: the reason is told" err "worker process.*(dying|died)"
(
	ulimit -v 150000
	timeout -k 5 60 "$APP" run -o nowhere -d m.dbc --cores 2 --isolate process in >out 2>err
	echo $? >rc
)
eq "I05 without memory for the lanes: an error, no dataset" "$(cat rc) $(find nowhere 2>/dev/null | wc -l)" "1 0"
has "I05 without memory for the lanes: clearly told" err "isolate=process: cannot start the worker processes"
canp 0 "I05 caps tells whether it works" caps --json
eq "I05 caps: worker processes can be had here" "$(field isolation)" True
canp 64 "I05 --isolate of an unknown kind" run -o x --isolate thread in/f12.canp

e2e_end
