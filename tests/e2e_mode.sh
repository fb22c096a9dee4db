#!/bin/bash
# e2e_mode.sh [BIN]: --mode changes what it says: latency publishes parts while the job runs, memory
# needs half the memory of throughput; both give the same rows, the same bytes on one core and on
# several, and give way to an option given by name.
. "$(dirname "$0")/e2e_lib.sh"
cd "$T" || exit 1

mkdir in
timeout 120 "$BIN/canp-gen" --container canp --files 48 --size 3m --workload dense --seed 11 --dbc v.dbc in \
	>/dev/null 2>&1 || {
	echo "$E2E_NAME: canp-gen cannot make the logs"
	exit 1
}
# report KEY: of the run in ./$m
report() {
	json "$m/_canp/run.json" "d[\"$1\"]"
}
# origin MODE OPTION ARGUMENT...: value and origin of an option.
origin() {
	local mode=$1 o=$2
	shift 2
	timeout 20 "$APP" config --json --mode="$mode" "$@" >cfg 2>/dev/null
	json cfg "d[\"$o\"][\"value\"], d[\"$o\"][\"origin\"]"
}

echo "-- the presets"
canp 64 "a mode that is not there" run --mode=turbo -o x in
has "the modes are told" err 'throughput.*latency.*memory'
eq "throughput is the defaults" "$(origin throughput depth)" "4 default"
eq "latency sets the read window" "$(origin latency depth)" "2 preset"
eq "latency sets the size of parts" "$(origin latency part-size)" "1048576 preset"
eq "memory sets the arena" "$(origin memory mem-per-core)" "67108864 preset"
eq "an option of the command line wins" "$(origin memory depth --depth=7)" "7 cli"
eq "an option of the environment wins" "$(CANP_DEPTH=9 origin memory depth)" "9 env"
echo 'depth = 5' >own.conf
sed -i '1i [global]' own.conf
eq "an option of a file wins" "$(origin memory depth --config own.conf)" "5 file"

echo "-- the same rows, and what each mode is for"
for m in throughput latency memory; do
	for c in 1 2; do
		rm -rf "$m"
		job 0 "$m" --mode=$m --cores $c --hugepages off -d v.dbc in
		h[c]=$(dataset_hash "$m")
		[ $c -eq 1 ] && eval "peak_$m=$(report peak_mem_bytes)"
	done
	eq "$m: the same bytes on 1 core and on 2" "${h[2]}" "${h[1]}"
	eval "rows_$m=$(report rows) values_$m=$(report signals) tables_$m=$(report messages)"
	eval "parts_$m=$(report parts)"
done
eq "latency: as many rows" "$rows_latency" "$rows_throughput"
eq "memory: as many rows" "$rows_memory" "$rows_throughput"
eq "latency: as many values" "$values_latency" "$values_throughput"
eq "memory: as many values" "$values_memory" "$values_throughput"
eq "throughput: one part for each table" "$parts_throughput" "$tables_throughput"
check "latency: more parts than tables ($parts_latency, $tables_latency)" \
	test "$parts_latency" -gt "$tables_latency"
check "memory: at most half the peak of throughput (${peak_memory}, ${peak_throughput})" \
	test $((2 * peak_memory)) -le "$peak_throughput"

echo "-- parts come while the job runs"
export CANP_TEST_SLOW_SHARD=0
rm -rf early
start run --mode=latency --cores 1 -q -d v.dbc -o early in
i=0
seen=no
while kill -0 "$pid" 2>/dev/null && [ $i -lt 2000 ]; do
	set -- early/*/part-00000.parquet
	if [ -e "$1" ] && [ ! -e early/_canp/run.json ]; then
		seen=yes
		break
	fi
	sleep 0.01
	i=$((i + 1))
done
finish
unset CANP_TEST_SLOW_SHARD
eq "latency: the job ends well" "$rc" 0
eq "latency: a part was there before the job was complete" "$seen" yes
m=throughput
rm -rf $m
job 0 $m --cores 1 --part-size=256k --rowgroup-rows=4096 -d v.dbc in
check "part-size works alone ($(report parts) parts)" test "$(report parts)" -gt "$parts_throughput"
eq "part-size changes no row" "$(report rows)" "$rows_throughput"
if timeout 20 "$APP" run --help | grep -q 'csv'; then
	few=$(find in -type f | sort | head -n 4)
	for c in 1 2; do
		rm -rf csv
		job 0 csv --cores $c --sink csv --part-size 64k -d v.dbc $few
		h[c]=$(dataset_hash csv)
	done
	eq "CSV in many parts: the same bytes on 1 core and on 2" "${h[2]}" "${h[1]}"
	m=csv
	parts=$(find csv -path '*canp_*' -prune -o -name '*.csv' -print | wc -l)
	check "CSV: many parts ($parts)" test "$parts" -gt 81
	eq "CSV: no row is lost or doubled where a part ends" \
		$(($(find csv -path '*canp_*' -prune -o -name '*.csv' -print0 | xargs -0 cat | wc -l) - parts)) \
		"$(report rows)"
fi
e2e_end
