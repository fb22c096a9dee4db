#!/bin/bash
# e2e_determinism.sh [BIN]: the dataset is the same bytes whatever the cores, the instruction set, the
# ring, the pages, the sizes of buffers and the timing. Timing is made bad on purpose: random delays
# of units by seed, and one shard that is always late; the run must then show that units were
# claimed by other shards and that page runs had to wait for their turn.
. "$(dirname "$0")/e2e_lib.sh"
cd "$T" || exit 1

# 200 messages on 64 logical writers; most files are small, some fill page runs, one is damaged.
logs dbc m.dbc 200
{
	for i in $(seq 10 29); do
		echo "canp in/canp/$i.canp seed=$i frames=1200 messages=200 serial=LOG-$((i % 3)) member=150"
		echo "blf in/blf/$i.blf seed=1$i frames=1200 messages=200 bus=$((i % 4)) errors=90"
		echo "candump in/dump/$i.log seed=2$i frames=900 messages=200 bus=$((i % 2)) remote=80"
		echo "candump in/dump/$i.log.gz seed=3$i frames=900 messages=200 gz=1 unknown=40"
	done
	for i in 1 2 3 4; do
		echo "canp in/big/$i.canp seed=9$i frames=9000 messages=3 member=2700 serial=BIG"
		echo "blf in/big/$i.blf seed=8$i frames=7000 messages=4 member=2700"
	done
} >lines
logs make <lines
logs flip in/blf/17.blf 5 12
files=$(find in -type f | wc -l)
# The same files, made in another order: names equal, inodes and directory order not.
(cd in && find . -type f | sort -r) | while read -r f; do
	mkdir -p "other/$(dirname "$f")" && cp "in/$f" "other/$f"
done
mv other/blf/17.blf other/last && mv other/last other/blf/17.blf
mv in orig

base=
units=0
# same TEXT ARGUMENT...: runs on ./in with the common options and compares with the first run.
same() {
	local text=$1 h
	shift
	rm -rf out.d
	job 2 out.d -d m.dbc --unit 1 --rowgroup-rows 2048 "$@" in || return
	h=$(dataset_hash out.d)
	if [ -z "$base" ]; then
		base=$h
		ok "$text: the reference"
		return
	fi
	eq "$text" "$h" "$base"
	[ "$h" = "$base" ] || { ls -d "$T/first" >/dev/null && diff -rq "$T/first" out.d | grep -v _canp | head -5; }
}

ln -s orig in
same "--cores 1" --cores 1
cp -r out.d first
units=$(field units)
check "at least 64 units ($units of $files files)" test "$units" -ge 64
eq "one file is damaged" "$(field files_damaged)" 1
check "at least 192 tables, 3 for each writer ($(field messages))" test "$(field messages)" -ge 192
check "page runs that fill pages and row groups: a table with several row groups" test \
	"$(stat -c %s out.d/Msg000/part-00000.parquet)" -gt 50000
eq "nothing but parts and reports" "$(strangers out.d)" ""
same "--cores 1 again" --cores 1
same "--cores 2" --cores 2
same "--cores 8" --cores 8

echo "-- instruction sets"
for isa in scalar avx2 avx512; do
	if timeout 20 "$APP" caps --simd $isa >/dev/null 2>&1; then
		same "--simd $isa" --cores 2 --simd $isa
		eq "--simd $isa was used" "$(field simd)" $isa
	else
		skip "--simd $isa: this processor or build cannot"
	fi
done

echo "-- inflate"
# A scalar processor has no interleaving: the lanes are then decoded one after the other.
same "--inflate isal" --cores 2 --inflate isal
eq "--inflate isal was used" "$(field inflate)" isal
same "--inflate interleaved --simd scalar" --cores 2 --inflate interleaved --simd scalar
eq "--inflate interleaved without AVX2 is scalar" "$(field inflate)" scalar
same "--inflate auto --simd scalar" --cores 2 --inflate auto --simd scalar
if timeout 20 "$APP" caps --simd avx2 >/dev/null 2>&1; then
	same "--inflate interleaved --simd avx2" --cores 2 --inflate interleaved --simd avx2
	eq "--inflate interleaved was used" "$(field inflate)" interleaved
	same "--inflate interleaved, small windows" --cores 2 --inflate interleaved --slice 128k
else
	skip "--inflate interleaved: this processor or build has no AVX2"
fi
# Members of all sizes, over several windows, sound, damaged, cut and in gzip: rows and every word
# of the report are the same.
{
	for i in 1 2 3 4; do
		echo "canp torn/$i.canp seed=5$i frames=60000 messages=40 member=$((i * 900))"
		echo "blf torn/$i.blf seed=6$i frames=30000 messages=40 member=$((i * 1100))"
	done
	echo "canp torn/z.canp.gz seed=59 frames=20000 messages=40 member=500 gz=1"
	echo "blf torn/z.blf.gz seed=69 frames=20000 messages=40 member=500 gz=1"
} >lines
logs make <lines
for i in 2 3; do
	logs flip torn/$i.canp $i 30
	logs flip torn/$i.blf $i 30
done
for f in torn/4.canp torn/4.blf; do truncate -s $(($(stat -c %s $f) * 2 / 3)) $f; done
logs flip torn/z.canp.gz 5 2
torn=
torn_report=
for how in "isal" "interleaved" "interleaved --simd scalar" "isal --slice 128k" \
	"interleaved --slice 128k" "interleaved --slice 256k --depth 1 --mem-per-core 64m"; do
	rm -rf out.d
	# shellcheck disable=SC2086
	job 2 out.d -d m.dbc --unit 1 --cores 2 --inflate $how torn || continue
	report=$(sha256sum <out.d/_canp/report.jsonl)
	if [ -z "$torn" ]; then
		torn=$(dataset_hash out.d)
		torn_report=$report
		check "damage was found ($(field damage_events))" test "$(field damage_events)" -ge 40
		continue
	fi
	eq "damaged files, --inflate $how" "$(dataset_hash out.d)" "$torn"
	eq "damaged files, --inflate $how: the report" "$report" "$torn_report"
done

echo "-- rings, pages, sizes"
same "--ring sync, 1 core" --cores 1 --ring sync
eq "--ring sync was used" "$(field ring)" sync
same "--ring sync, 4 cores" --cores 4 --ring sync
if timeout 20 "$APP" caps --ring uring >/dev/null 2>&1; then
	same "--ring uring" --cores 2 --ring uring
	eq "--ring uring was used" "$(field ring)" uring
else
	skip "--ring uring: refused here"
fi
same "--hugepages off" --cores 2 --hugepages off
same "--hugepages thp" --cores 2 --hugepages thp
same "--mem-per-core 64m" --cores 2 --mem-per-core 64m
same "--slice 128k --depth 1" --cores 2 --slice 128k --depth 1
same "--slice 2m --depth 8" --cores 2 --slice 2m --depth 8
same "--io buffered" --cores 2 --io buffered
same "--no-pin" --cores 2 --no-pin
same "--no-restrict-ops" --cores 2 --no-restrict-ops

echo "-- timing"
foreign=0
reordered=0
for seed in 1 2; do
	for cores in 2 8; do
		export CANP_TEST_DELAY_SEED=$seed
		same "random delays, seed $seed, --cores $cores" --cores $cores
		foreign=$((foreign + $(json out.d/_canp/run.json 'd["foreign_claims"]')))
		reordered=$((reordered + $(json out.d/_canp/run.json 'd["reordered_runs"]')))
		unset CANP_TEST_DELAY_SEED
	done
done
check "random delays made shards claim units of others ($foreign)" test "$foreign" -gt 0
check "random delays made page runs wait for their turn ($reordered)" test "$reordered" -gt 0
export CANP_TEST_SLOW_SHARD=0
for cores in 2 8; do
	same "shard 0 is slow, --cores $cores" --cores $cores
	f=$(json out.d/_canp/run.json 'd["foreign_claims"]')
	r=$(json out.d/_canp/run.json 'd["reordered_runs"]')
	check "a slow shard, $cores cores: units were claimed by others ($f)" test "$f" -gt 0
	check "a slow shard, $cores cores: page runs waited for their turn ($r)" test "$r" -gt 0
done
export CANP_TEST_DELAY_SEED=7
same "shard 0 is slow and delays, --ring sync, scalar" --cores 4 --ring sync --simd scalar
unset CANP_TEST_DELAY_SEED CANP_TEST_SLOW_SHARD

echo "-- the listing"
rm in
ln -s other in
same "files made in another order" --cores 2
check "the directory really lists in another order" test \
	"$(ls -fR orig 2>/dev/null | sha256sum)" != "$(ls -fR other 2>/dev/null | sha256sum)"
rm in
ln -s orig in

echo "-- other outputs"
# pair TEXT ARGUMENT...: one core against several with delays, other options equal.
pair() {
	local text=$1 h
	shift
	rm -rf p1 p2
	job 2 p1 -d m.dbc --unit 1 --cores 1 "$@" in || return
	export CANP_TEST_DELAY_SEED=11
	job 2 p2 -d m.dbc --unit 1 --cores 3 "$@" in
	unset CANP_TEST_DELAY_SEED
	eq "$text" "$(dataset_hash p2)" "$(dataset_hash p1)"
}
pair "csv" --sink csv
pair "gzip" --codec gzip
pair "gzip, fast" --codec gzip --gzip-level 0
if timeout 20 "$APP" config --codec zstd >/dev/null 2>&1; then
	pair "zstd" --codec zstd
else
	skip "zstd: not in this build"
fi
pair "raw, unknown, device and ns columns" --raw --unknown keep --device-column --ts-ns
pair "no row group limit, larger units" --unit 64k
pair "largest first" --order size
e2e_end
