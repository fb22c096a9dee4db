#!/bin/bash
# e2e_faults.sh [BIN]: whole jobs under bad input, full disks, signals, bombs and tight limits. What is
# not hit must arrive unchanged, what is published must be whole, and nothing may hang.
. "$(dirname "$0")/e2e_lib.sh"
cd "$T" || exit 1
chmod 755 "$T"

logs dbc m.dbc 8
cat >lines <<END
canp in/a.canp seed=1 frames=4000 serial=LOG-A src=0
blf in/b.blf seed=2 frames=4000 src=1
candump in/c.log seed=3 frames=4000 src=2
candump in/d.log.gz seed=4 frames=4000 gz=1 src=3
END
logs make <lines

# sound TEXT DIR: every visible part is whole, nothing else is visible.
sound() {
	if ! logs pqcheck "$2" >/dev/null; then fail "$1: broken part"; return; fi
	eq "$1: nothing but whole parts and reports" "$(strangers "$2")" ""
}

# others TEXT DIR: the rows of src 0..3 in a csv dataset are those of the undamaged files.
others() {
	"$PY" - "$2" good <<-'END'
		import csv, glob, os, sys
		def rows(d):
		    out = {}
		    for t in sorted(os.listdir(d)):
		        if t.startswith("Msg"):
		            for p in sorted(glob.glob("%s/%s/part-*.csv" % (d, t))):
		                out.setdefault(t, []).extend(
		                    r for r in list(csv.reader(open(p, newline="")))[1:] if int(r[1]) < 4)
		    return out
		a, b = rows(sys.argv[1]), rows(sys.argv[2])
		sys.exit(a != b)
	END
	local rc=$?
	if [ $rc -eq 0 ]; then ok "$1: the other files' rows are unchanged"; else fail "$1: rows of the other files changed"; fi
}

echo "-- damage beside good files"
job 0 good --sink csv -d m.dbc in
check "the good files alone give what they hold" logs verify good <lines
mkdir z
for kind in a.canp b.blf c.log d.log.gz; do
	for seed in 1 2 3 4 5; do
		cp in/$kind z/x.${kind#*.}
		logs flip z/x.${kind#*.} $seed $((seed * seed))
		rm -rf o
		timeout -k 5 60 "$APP" run --json --sink csv -d m.dbc -o o in z >out 2>err
		rc=$?
		# A flipped digit of a text log may well be another valid log.
		case $kind:$rc in
		c.log:0 | *:2) others "bits flipped in $kind, seed $seed, exit $rc" o ;;
		*) fail "bits flipped in $kind, seed $seed: exit $rc" ;;
		esac
		rm -f z/*
	done
	size=$(stat -c %s in/$kind)
	for part in 1 3 5 7; do
		head -c $((size * part / 8 - 1)) in/$kind >z/x.${kind#*.}
		rm -rf o
		timeout -k 5 60 "$APP" run --json --sink csv -d m.dbc -o o in z >out 2>err
		rc=$?
		frames=$(($(field frames) - 16000))
		# The last line of a text may end anywhere and still be a frame.
		case $kind:$rc in
		c.log:0 | *:2) others "cut at $part/8 of $kind ($frames frames before the cut)" o ;;
		*) fail "cut at $part/8 of $kind: exit $rc, want 2" ;;
		esac
		check "cut at $part/8 of $kind: frames before the cut arrive" test "$frames" -ge $((500 * part - 450))
		rm -f z/*
	done
done
head -c 100000 /dev/urandom >z/x.bin
cat in/a.canp in/b.blf >z/mix.canp
{ echo "(1.0) can0 123#00"; head -c 3000000 /dev/zero | tr '\0' 'x'; echo; echo "(2.0) can0 123#00"; } >z/longline.log
rm -rf o
timeout -k 5 60 "$APP" run --json --sink csv -d m.dbc -o o in z >out 2>err
eq "noise, a file glued from two formats and a line of 3 MB: exit" $? 2
others "noise" o
eq "noise is skipped, glue and the line are damaged" "$(field files_skipped) $(field files_damaged)" "1 2"
rm -rf z/*

echo "-- bombs"
for fmt in canp blf candump; do
	logs bomb $fmt z/bomb.$fmt 320
	rm -rf o
	start=$(date +%s%N)
	timeout -k 5 60 "$APP" run --json --cores 1 --sink csv -d m.dbc -o o in z >out 2>err
	rc=$?
	ms=$((($(date +%s%N) - start) / 1000000))
	eq "$fmt bomb of 320 MB: exit" $rc 2
	has "$fmt bomb: the limit is told" err "bomb.$fmt.*limit"
	others "$fmt bomb" o
	check "$fmt bomb: cut off early ($ms ms, $(field bytes_inflated) bytes inflated)" test "$(field bytes_inflated)" -lt 100000000
	rm -f z/*
done
rm -rf o
echo "candump z/t.log.gz seed=9 frames=60000 gz=1" | logs make
rm -rf o
job 2 o --sink csv -d m.dbc --limit-file-inflated 1m in z
has "--limit-file-inflated is told" err "t.log.gz.*limit"
others "--limit-file-inflated" o
rm -f z/*

echo "-- full disk"
for i in $(seq 10 40); do echo "candump many/$i.log seed=$i frames=12000"; done | logs make
job 0 ref -d m.dbc many
need=$(du -sk ref | cut -f1)
mkdir -p mnt
if [ "$(id -u)" -eq 0 ] && mount -t tmpfs -o size=$((need / 2))k none mnt 2>/dev/null; then
	E2E_MOUNTS="$T/mnt"
	canp 1 "--on-enospc=stop on a full disk" run --json -d m.dbc --on-enospc stop -o mnt/o many
	has "the full disk is told" err "[Nn]o space"
	check "parts on the full disk are whole ($(logs pqcheck mnt/o 2>&1))" logs pqcheck mnt/o
	eq "no stranger on the full disk" "$(strangers mnt/o | grep -v '/\.part-.*\.tmp$')" ""
	rm -rf mnt/o
	mount -o remount,size=$((need * 3))k mnt
	dd if=/dev/zero of=mnt/filler bs=1k count=$((need * 3 - need / 3)) status=none
	start run --json -d m.dbc --on-enospc wait -o mnt/o many
	sleep 4
	check "--on-enospc=wait waits" kill -0 $pid
	check "nothing counts as finished while it waits" test ! -e mnt/o/_canp/run.json
	rm mnt/filler
	finish
	eq "--on-enospc=wait goes on when there is room: exit" $rc 0
	eq "and the dataset is the same bytes" "$(dataset_hash mnt/o)" "$(dataset_hash ref)"
	umount mnt && E2E_MOUNTS=
else
	skip "full disk: mounting a small tmpfs needs root and the right to mount"
fi
if [ "$(id -u)" -eq 0 ] && mount -t tmpfs -o size=4m,ro none mnt 2>/dev/null; then
	E2E_MOUNTS="$T/mnt"
	canp 1 "an output on a read-only file system" run -d m.dbc -o mnt/o in
	has "the read-only output is named" err "mnt/o.*[Rr]ead-only"
	umount mnt && E2E_MOUNTS=
else
	skip "read-only file system: cannot mount here"
fi
canp 1 "an output below a file" run -d m.dbc -o lines/o in
has "the output below a file is named" err "lines/o"

echo "-- without privileges"
nobody="setpriv --reuid=65534 --regid=65534 --clear-groups"
if [ "$(id -u)" -ne 0 ]; then nobody=; fi
if [ -z "$nobody" ] || $nobody true 2>/dev/null; then
	mkdir own && chmod 777 own && cp "$APP" app && chmod 755 app
	job 0 rootref -d m.dbc in
	timeout 60 $nobody ./app run --json -d m.dbc -o own/o in >out 2>err
	eq "an unprivileged user: exit" $? 0
	eq "an unprivileged user gets the same bytes" "$(dataset_hash own/o)" "$(dataset_hash rootref)"
	for kb in 64 0; do
		(ulimit -l $kb && timeout 60 $nobody ./app run --json -d m.dbc -o own/l$kb in >out 2>err)
		eq "RLIMIT_MEMLOCK of $kb KiB: exit" $? 0
		eq "RLIMIT_MEMLOCK of $kb KiB: the same bytes" "$(dataset_hash own/l$kb)" "$(dataset_hash rootref)"
	done
	(ulimit -n 64 && timeout 60 $nobody ./app run --json --cores 2 -d m.dbc -o own/n in >out 2>err)
	rc=$?
	check "64 file descriptors: works, or says so (exit $rc)" test $rc -eq 0 -o -s err
	mkdir locked && chmod 555 locked
	timeout 60 $nobody ./app run -d m.dbc -o locked/o in >out 2>err
	eq "an output that may not be written: exit" $? 1
	has "the output that may not be written is named" err "locked/o.*Permission denied"
else
	skip "unprivileged user: cannot drop privileges here"
fi
job 0 sync --ring sync -d m.dbc in
eq "--ring sync gives the same bytes" "$(dataset_hash sync)" "$(dataset_hash rootref)"

echo "-- many tables"
logs dbc huge.dbc 400
echo "candump wide/w.log seed=1 frames=30000 messages=400" | logs make
timeout -k 5 60 "$APP" run --json -d huge.dbc -o huge wide >out 2>err
rc=$?
if [ $rc -eq 0 ]; then
	eq "400 tables: all rows" "$(field frames_decoded)" 30000
	sound "400 tables" huge
else
	eq "400 tables do not fit: exit" $rc 1
	has "and the way out is told" err "writer-mem"
fi
timeout -k 5 60 "$APP" run --json -d huge.dbc --writer-mem 64m -o huge2 wide >out 2>err
rc=$?
check "400 tables in 64 MiB: done, or refused with the way out (exit $rc)" \
	eval '[ $rc -eq 0 ] || { [ $rc -eq 1 ] && grep -q -- --writer-mem err; }'

E2E_TIMEOUT_S=60
echo "-- signals"
for i in $(seq 1000 2499); do echo "candump slow/$i.log seed=$i frames=30 step=900"; done | logs make
# interrupted SIGNAL DIR ARGUMENT...: interrupts a job that is under way; exit code in rc.
interrupted() {
	local sig=$1 dir=$2
	shift 2
	export CANP_TEST_SLOW_SHARD=0 CANP_TEST_DELAY_SEED=3
	start run --json --progress always -d m.dbc --unit 1 -o "$dir" "$@" slow
	unset CANP_TEST_SLOW_SHARD CANP_TEST_DELAY_SEED
	started
	kill -"$sig" $pid
	finish
}
# kept TEXT DIR: the rows of a csv dataset are those of the files that count as processed, and those
# are a run from the first on: everything below the frontier.
kept() {
	"$PY" - "$2" "$E2E_DIR" <<-'END'
		import json, sys
		sys.path.insert(0, sys.argv[2])
		import e2e_logs as e
		d = sys.argv[1]
		rep = [json.loads(l) for l in open(d + "/_canp/report.jsonl")]
		status = [r["status"] for r in rep]
		done = status.index("pending") if "pending" in status else len(status)
		if status != ["ok"] * done + ["pending"] * (len(status) - done):
		    sys.exit("files behind the first unprocessed one count as processed: %s" % status)
		rows = sum(len(e.read_table(d, t)[1]) for t in e.tables(d))
		srcs = {int(r[1]) for t in e.tables(d) for r in e.read_table(d, t)[1]}
		if rows != 30 * done or srcs != set(range(done)):
		    sys.exit("%d files processed, %d rows of %d files" % (done, rows, len(srcs)))
		print("%d of %d" % (done, len(status)))
	END
}
for cores in 1 2; do
	interrupted INT "int$cores" --cores $cores --sink csv
	eq "SIGINT, $cores cores: exit" $rc 130
	eq "SIGINT, $cores cores: run.json says incomplete" "$(json "int$cores/_canp/run.json" 'd["complete"], d["exit"]')" "False 130"
	check "SIGINT, $cores cores: some files are left" test "$(field files_pending)" -gt 0
	check "SIGINT, $cores cores: some files are done" test "$(field files_ok)" -gt 0
	check "SIGINT, $cores cores: everything below the frontier is published" kept x "int$cores"
	eq "SIGINT, $cores cores: no strangers" "$(strangers "int$cores")" ""
done
# A signal while the shards boot: sent as soon as the folder of the job exists, which is just before.
# Without a handler by then the process dies and leaves no run.json.
for i in 1 2 3 4 5; do
	start run -q --json -d m.dbc --unit 1 --cores 2 -o "early$i" slow
	for _ in $(seq 20000); do
		[ -e "early$i/_canp/job.json" ] && break
	done
	kill -TERM $pid
	finish
	eq "SIGTERM during the boot, try $i: exit" $rc 143
	check "SIGTERM during the boot, try $i: run.json" test -e "early$i/_canp/run.json"
done
interrupted TERM term --cores 2
eq "SIGTERM: exit" $rc 143
eq "SIGTERM: run.json says incomplete" "$(json term/_canp/run.json 'd["complete"]')" False
sound "SIGTERM" term
canp 64 "an interrupted dataset is not continued by accident" run -d m.dbc -o term in
export CANP_TEST_SLOW_SHARD=0
start run --json --progress always -d m.dbc --unit 1 --cores 1 -o twice slow
started
kill -INT $pid
kill -INT $pid
finish
check "a second signal aborts (exit $rc after $ms ms)" test $rc -eq 130 -a $ms -lt 3000
check "nothing broken is visible after the abort" logs pqcheck twice
start run --json --progress always -d m.dbc --unit 1 --cores 2 -o killed slow
started
kill -KILL $pid
finish
unset CANP_TEST_SLOW_SHARD
check "nothing broken is visible after SIGKILL" logs pqcheck killed
check "no run.json after SIGKILL" test ! -e killed/_canp/run.json
canp 64 "a killed job's folder is refused" run -d m.dbc -o killed in
has "and the text names --resume" err "--resume"
(timeout -k 5 60 "$APP" run --json -d m.dbc -o pipe in | head -c 1 >/dev/null) 2>err
check "a closed stdout does not break the dataset" logs pqcheck pipe
e2e_end
