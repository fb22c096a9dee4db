#!/bin/bash
# e2e_bench_job.sh [BIN]: `canp-bench job` with logs so small that the figures mean nothing: every
# range of stages runs and counts the same frames, the logs are kept and checked, the report holds
# what it promises, mistakes are answered precisely, and a job allocates nothing per file.
. "$(dirname "$0")/e2e_lib.sh"
cd "$T" || exit 1
need "$BENCH"
BENCH_ARGS=(job "--bench-dir=$T/data" --files=3 --size=100k --rounds=1)
alone="--no-breakdown --no-scaling --no-calls --against=none"

echo "-- mistakes"
bench 64 "no such stage" --stages=read,inflat
has "it is named, and what there is" err "'inflat'.*read,inflate,crc,decode,signals,encode,write"
bench 64 "a stage left out" --stages=read,crc
has "both are named" err "'crc' does not follow 'read'"
bench 64 "stages backwards" --stages=decode,crc
has "both are named" err "'crc' does not follow 'decode'"
bench 64 "no stage" --stages=
has "the stages are told" err "none given.*read,inflate"
bench 64 "--against=fio beside more than reading" --against=fio
has "it says what fio needs" err "--stages=read"
bench 64 "--against=isal without inflate" --stages=decode --against=isal
has "it says what ISA-L needs" err "stages with inflate"
bench 64 "--output" -o o
has "it says where to" err "--bench-dir"
bench 64 "a CPU that is not there" --cpu=1023
has "the CPU is named" err "--cpu=1023"
bench 1 "inputs that are not there" none
has "it is said" err "no logs"
check "nothing was made by refused runs" test ! -e data
canp 64 "canp-appliance has no --stages" run --stages=read -o o "$T"
timeout 60 "$BENCH" job --bench-dir="$T/data" --files=100000 --size=64g >out 2>err
eq "logs larger than a quarter of the free space" $? 1
has "sizes and ways out are told" err "quarter of the free space.*--bench-dir"

echo "-- the report"
bench 0 "everything, as JSON" --json
has "the logs are made" err "making 3 logs"
eq "the figures" "$(json out 'all(d[k] > 0 for k in
	("files_per_s_per_core", "ratio_to_isal_inflate", "ns_per_frame", "ns_per_frame_normalised",
	 "bytes_per_value", "peak_mem_bytes"))')" True
eq "the stages" "$(json out '" ".join(d["stages"])')" "read inflate crc decode signals encode write"
eq "cumulative and own figures agree" "$(json out 'abs(sum(s["ns_per_frame"]
	for s in d["stages"].values()) - d["ns_per_frame"]) < 1e-6')" True
eq "environment" "$(json out '"steal" in d["environment"], "load_before" in d["environment"]')" \
	"True True"
if [ "$(nproc)" -gt 1 ]; then
	eq "scaling" "$(json out 'd["scaling"]["cores"] > 1, d["scaling"]["wall_efficiency"] > 0')" \
		"True True"
else
	skip "scaling: one CPU"
fi
eq "no calls per file" "$(json out 'set((d["calls_per_file"] or {}).values()) <= {0}')" True
eq "calls of the start are counted" "$(json out 'd["calls_per_file"] is None or d["run"]["mmap_calls"] > 0')" True
eq "options and where they come from" "$(json out \
	'" ".join(d["options"][k]["origin"] for k in ("files", "depth"))')" "cli default"
frames=$(json out 'd["dataset"]["frames"]')
sum=$(json out 'd["dataset"]["crc32"]')
folder=$(json out 'd["dataset"]["folder"]')
values=$(json out 'd["run"]["values"]')
eq "the dataset is removed, the logs stay" "$(ls data | wc -l)" 1

echo "-- the logs"
canp 0 "a real job on the same logs" run --json -d "$folder/data.dbc" -o o --glob 'log_*' "$folder"
eq "has the same frames and values" "$(json out 'd["frames"], d["signals"]')" "$frames $values"
bench 0 "the second time" --json --stages=decode $alone
check "nothing is made" test ! -s err
eq "the checksum is the same" "$(json out 'd["dataset"]["crc32"], d["dataset"]["reused"]')" \
	"$sum True"
printf x | dd of="$folder/log_00001.canp" bs=1 seek=5000 conv=notrunc 2>dd.err
bench 0 "after a byte was changed" --json --stages=decode $alone
has "that is noticed" err "was changed"
eq "the checksum is the same again" "$(json out 'd["dataset"]["crc32"]')" "$sum"

echo "-- every range of stages"
set -- read inflate crc decode signals encode write
bad=
while [ $# -gt 0 ]; do
	range=
	for s in "$@"; do
		range=$range${range:+,}$s
		timeout "$E2E_TIMEOUT_S" "$BENCH" "${BENCH_ARGS[@]}" $alone --json --stages="$range" >out 2>err || {
			fail "$range: $(head -n 1 err)"
			continue
		}
		want="$frames 0 True"
		case $s in
		read | inflate | crc) want="0 0 True" ;;
		encode | write) want="$frames $values True" ;;
		esac
		have=$(json out 'd["run"]["frames"], d["run"]["values"], d["ns_per_frame"] > 0')
		[ "$have" = "$want" ] || bad="$bad $range: $have."
	done
	shift
done
eq "all ranges run, and those that decode see the same frames and values" "$bad" ""

echo "-- other logs"
for c in blf candump; do
	bench 0 "$c" --json --container=$c --stages=read,inflate,crc,decode --no-scaling --no-calls
	eq "$c: frames" "$(json out 'd["run"]["frames"] == d["dataset"]["frames"] > 0')" True
done
eq "text is not compressed" "$(json out 'd["isal"]')" None
bench 0 "gzip'd text, given" --json --input="$folder" --glob='log_*' -d "$folder/data.dbc" \
	--stages=inflate,crc,decode --no-scaling --no-calls
eq "given logs are counted" "$(json out 'd["dataset"]["frames"], d["dataset"]["folder"]')" \
	"$frames None"
bench 0 "gzip'd text" --json --container=candump --gz --stages=inflate,crc,decode --no-scaling --no-calls
eq "ISA-L inflates the same bytes" "$(json out 'd["ratio_to_isal_inflate"] > 0')" True
bench 64 "a gzip'd container beside ISA-L" --gz --against=isal --stages=inflate
has "it says why not" err "inflated twice"
bench 0 "text report" --simd=scalar --ring=sync --inflate=isal --no-breakdown --no-scaling
has "the table" out "isal_inflate alone"
has "the options are in force" out "ring sync"
if command -v fio >/dev/null && bench 0 "beside fio" --json --stages=read --against=fio --size=4m; then
	eq "fio's ratio" "$(json out 'd["ratio_to_fio"] > 0')" True
else
	skip "fio: not installed"
fi

echo "-- calls per file"
if command -v strace >/dev/null; then
	for n in 4 40; do
		timeout "$E2E_TIMEOUT_S" strace -f -qq -c -o calls.$n -e trace=mmap,munmap,brk,mremap \
			"$APP" run -q --cores 1 -d "$folder/data.dbc" -o o.$n \
			"$folder/log_00000.canp" $(for i in $(seq $n); do
				cp "$folder/log_00002.canp" "copy_$i.canp" && echo "copy_$i.canp"
			done) 2>err
		calls[$n]=$(awk '/ (mmap|munmap|brk|mremap)$/ { n += $4 } END { print n }' calls.$n)
	done
	# The heap moves a little with what is told meanwhile and at the end; one call a file would be 36.
	more=$((calls[40] - calls[4]))
	check "strace sees no memory calls for each file: $more more for 41 files than for 5" \
		test $more -le 8 -a $more -ge -8
else
	skip "memory calls: strace is missing (make deps-test)"
fi
e2e_end
