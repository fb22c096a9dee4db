#!/bin/bash
# e2e_pipeline.sh [BIN]: the file scheduler and the three stages of whole jobs: what is read ahead,
# what is in flight at once, what a slow device or a slow core holds up. Devices are slowed down by
# CANP_RING_SLOW (core/runtime/ring_slow.c); checks look at counters and datasets, times are only
# told.
. "$(dirname "$0")/e2e_lib.sh"
cd "$T" || exit 1
need "$GEN"
"$GEN" --files 40 --size 200k --seed 5 --dbc m.dbc small >gen.log 2>&1 &&
	"$GEN" --files 6 --size 3m --seed 6 --dbc m2.dbc large >>gen.log 2>&1 || {
	fail "canp-gen: $(tail -n 1 gen.log)"
	e2e_end
}

# slow SPEC COMMAND..: on a slow device.
slow() {
	CANP_RING_SLOW=$1 "${@:2}"
}

# same TEXT DIR: the dataset is the one of the plain job, `plain`.
same() {
	eq "$1" "$(dataset_hash "$2")" "$(dataset_hash plain)"
	rm -rf "$2"
}

echo "-- all layers, any order, any number of cores"
job 0 plain -d m.dbc --cores 1 --unit 1 small
eq "C01 the scheduler cut and gave out units, the pipeline moved them, the data layer made rows" \
	"$(json plain/_canp/run.json '(d["units"] > 0 and d["frames"] > 0 and d["rows"] > 0 and
	"read -> decode" in d["pipeline"]["graph"] and all(o["rows_in"] + o["rows_out"] > 0
	for o in d["pipeline"]["operators"]))')" True
for layer in core io simd numa; do
	has "C01 the README says what is in $layer/" "$E2E_ROOT/README.md" "[^a-z]$layer[^a-z]"
done
for cores in 1 2 3; do
	job 0 by-size.$cores -d m.dbc --order size --cores $cores small large
done
eq "C02 --order=size: two cores give the same dataset as one" "$(dataset_hash by-size.2)" "$(dataset_hash by-size.1)"
eq "C02 --order=size: so do three" "$(dataset_hash by-size.3)" "$(dataset_hash by-size.1)"
rm -rf by-size.*

echo "-- reading ahead"
for ahead in 0 1 4 16; do
	slow read:10000:0 job 0 o -d m.dbc --cores 1 --unit 1 --io direct --prefetch $ahead --depth 8 small
	reads=$(json out 'd["in_flight_max"]["reads"]')
	files=$(field files_ahead)
	took[$ahead]=$(field elapsed_s)
	# A file of 200 KB is one read: what is more in flight belongs to files behind it.
	case $ahead in
	0) eq "C04 --prefetch=0: nothing is in flight but the file at hand" "$reads $files" "1 0" ;;
	*) eq "C04 --prefetch=$ahead: reads of the next files are in flight before this one ends" \
		"$([ "$reads" -gt 1 ] && [ "$reads" -le $((ahead + 1)) ] && [ "$files" -ge 30 ] && echo yes)" yes ;;
	esac
	same "C04 --prefetch=$ahead: the same dataset" o
done
echo "     C04 40 files, 10 ms a read: ${took[0]} s one by one, ${took[4]} s with 4 ahead, ${took[16]} s with 16"

echo "-- small files together in the decoder"
if "$GEN" --files 200 --size 30k --seed 7 --dbc m3.dbc --member-bytes 64k tiny >>gen.log 2>&1; then
	job 0 t-isal -d m3.dbc --cores 1 --inflate isal tiny
	job 0 t-alone -d m3.dbc --cores 1 --prefetch 0 tiny
	job 0 t-lanes -d m3.dbc --cores 1 --log-level debug tiny
	if grep -q "lanes busy" err; then
		# Calls of the decoder with 1 to 5 members in flight: three members a file, five lanes.
		full=$(sed -n 's/.*lanes busy: //p' err | awk '{ print ($5 > $1 + $2 + $3 + $4 ? "yes" : "no") }')
		eq "files of three members keep five lanes busy" "$full" yes
	fi
	eq "and give what ISA-L gives" "$(dataset_hash t-lanes)" "$(dataset_hash t-isal)"
	eq "and what they give one by one" "$(dataset_hash t-lanes)" "$(dataset_hash t-alone)"
	rm -rf t-isal t-alone t-lanes
else
	fail "canp-gen: $(tail -n 1 gen.log)"
fi


echo "-- stages side by side"
slow read:20000:0,write:100000:0 job 0 o -d m2.dbc --cores 1 --slice 128k --depth 8 --rowgroup-rows 8192 \
	--io direct large
eq "C05 reading and writing go on in 80 % of the turns that decode" \
	"$(json out 'd["overlap"]["turns"] >= 20 and d["overlap"]["both"] >= 0.8 * d["overlap"]["turns"]')" True
echo "     C05 $(json out 'd["overlap"]')"
rm -rf o
export CANP_TEST_SLOW_SHARD=0
slow read:20000:0,write:100000:0 job 0 o -d m2.dbc --cores 2 --slice 128k --depth 32 --window 8 \
	--write-depth 8 --prefetch 16 --unit 1 --rowgroup-rows 8192 --io direct small large
unset CANP_TEST_SLOW_SHARD
eq "C06 32 reads, 16 units and 8 writes are reached and never exceeded" \
	"$(json out '" ".join(str(d["in_flight_max"][k]) for k in ("reads", "units", "writes"))')" "32 16 8"
rm -rf o
job 0 o -d m.dbc --cores 2 --depth 3 --window 2 --write-depth 2 --unit 1 --io direct small
eq "C06 smaller limits hold as well" "$(json out '(d["in_flight_max"]["reads"] <= 3 and
	d["in_flight_max"]["units"] <= 4 and d["in_flight_max"]["writes"] <= 2)')" True
same "C06 and change nothing" o

echo "-- a writer that is slow"
slow write:0:1 job 0 o -d m.dbc --cores 1 --write-depth 2 --rowgroup-rows 8192 small
eq "C08 a writer of 1 MB/s: never more than its two blocks in flight" \
	"$(json out 'd["in_flight_max"]["writes"]')" 2
eq "C08 reading and decoding were asked on while it wrote" "$(json o/_canp/run.json 'sum(o["idle_polls"]
	for o in d["pipeline"]["operators"] if o["name"] == "read") > 100')" True
eq "C08 memory stays what it was promised" "$(json out 'd["peak_mem_bytes"] < (256 << 20) + (1 << 30)')" True
job 0 plain8 -d m.dbc --cores 1 --rowgroup-rows 8192 small
eq "C08 nothing is lost" "$(dataset_hash o)" "$(dataset_hash plain8)"
rm -rf o plain8

echo "-- mapped files"
for cores in 1 2; do
	job 0 o -d m.dbc --io mmap --unit 1 --cores $cores small
	same "C21 C22 --io=mmap on $cores cores: the same dataset" o
done

echo "-- a slow core"
export CANP_TEST_SLOW_SHARD=0
job 0 o -d m.dbc --cores 2 --unit 1 small
unset CANP_TEST_SLOW_SHARD
# 20 ms a unit: it does one while the other does all that the window lets it.
eq "C03 C32 the other core takes units whose home is the slow one" "$(json out 'd["foreign_claims"] >= 5')" True
same "C32 the same dataset" o

echo "-- hardware profiles"
canp 0 "C31 doctor" doctor
has "C31 doctor says which profile the machine meets" out "^(ok|hint) +profile +(below minimum|minimum|recommended|extreme): [0-9]+ cores"

echo "-- figures"
if [ -x "$BENCH" ]; then
	timeout "$E2E_TIMEOUT_S" "$BENCH" job --bench-dir="$T/data" --files=4 --size=300k --rounds=1 \
		--serial --against=none --json >bench 2>err || fail "canp-bench job --serial: $(tail -n 1 err)"
	eq "C09 no malloc a file, hence none a frame" "$(json bench '(d["calls_per_file"] or {}).get("malloc", 0) == 0')" True
	eq "C10 C11 C12 C16 utilisation, speed beside one stage at a time and the time of 8000 files are told" \
		"$(json bench 'all(d[k] > 0 for k in ("cpu_utilisation", "ratio_to_serial", "files_per_s_per_core",
		"seconds_for_8000_files"))')" True
	for io in mmap buffered direct; do
		timeout "$E2E_TIMEOUT_S" "$BENCH" job --bench-dir="$T/data" --files=4 --size=300k --rounds=1 \
			--io=$io --stages=read --against=none --no-scaling --no-calls --json >bench 2>err
		eq "C14 reading by --io=$io is measured" $? 0
	done
	timeout "$E2E_TIMEOUT_S" "$BENCH" job --bench-dir="$T/data" --files=4 --size=300k --serial --stages=read >bench 2>err
	eq "--serial of one stage is refused" $? 64
else
	skip "C09 C10 C11 C12 C14 C16: canp-bench is not built"
fi
e2e_end
