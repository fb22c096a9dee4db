#!/bin/sh
# jobs.sh [BIN]: datasets of whole jobs through other people's Parquet readers.
#
#  - logs of canp-gen (dense as CANP, sparse as BLF, gzip'd candump) and logs with every kind of
#    column (features.py), codecs none and gzip, with and without ts_ns, device and label columns
#  - every file of them, side tables included, through the strict checks of verify.mjs
#  - the same rows whatever the codec, and the same as the CSV of the same job
#  - a range of time and a range of a signal each make DuckDB read one row group of several
#
# Ends with a line of passed, failed, skipped. CANP_INTEROP_ENGINES: the readers (verify.mjs).
here=$(cd "$(dirname "$0")" && pwd)
bin=${1:-${CANP_BIN:-build/bin}}
engines=${CANP_INTEROP_ENGINES:-duckdb,hyparquet}
py=/usr/bin/python3
[ -x "$py" ] || py=python3
passed=0
failed=0
tmp=

finish() {
	echo "$passed passed, $failed failed, ${1:-0} skipped"
	[ "$failed" -eq 0 ]
	exit
}

skip() {
	echo "SKIP interop: $1"
	finish 1
}

# check TEXT COMMAND...: runs it, shows its output when it fails.
check() {
	text=$1
	shift
	if timeout -k 5 150 "$@" >"$tmp/log" 2>&1; then
		passed=$((passed + 1))
	else
		echo "FAIL $text (status $?):"
		grep -v '^OK ' "$tmp/log" | cut -c1-400 | tail -n 20
		failed=$((failed + 1))
	fi
}

# job NAME ARG...: one job into $tmp/NAME.
job() {
	name=$1
	shift
	check "job $name" "$bin/canp-appliance" run --quiet --mem-per-core 64m --writer-mem 128m \
		-o "$tmp/$name" "$@"
}

# strict NAME OPTION...: all Parquet files of a dataset.
strict() {
	name=$1
	shift
	check "files of $name" node "$dir/verify.mjs" --strict --quiet --engines="$engines" "$@" \
		$(find "$tmp/$name" -name '*.parquet' | sort)
}


[ -x "$bin/canp-appliance" ] && [ -x "$bin/canp-gen" ] || skip "$bin is not built"
dir=$(sh "$here/stage.sh")
case $? in
0) ;;
77) skip "$dir" ;;
*) failed=1 && finish ;;
esac
tmp=$(mktemp -d "${TMPDIR:-/tmp}/canp-interop-XXXXXX") || exit 1
trap 'rm -rf "$tmp"' EXIT
trap 'exit 143' INT TERM

gen() {
	check "canp-gen $*" "$bin/canp-gen" --ids 8 --seed 5 "$@"
}
gen --container canp --files 4 --size 300k --workload dense --dbc "$tmp/dense.dbc" "$tmp/dense"
gen --container blf --files 4 --size 200k --workload sparse --dbc "$tmp/sparse.dbc" "$tmp/sparse"
gen --container candump --files 2 --size 100k --workload dense --gz --dbc "$tmp/text.dbc" \
	"$tmp/text"
check "features.py" "$py" "$here/features.py" "$tmp/features" 150000
fdbc=$tmp/features/features.dbc
fin=$tmp/features/in

job dense-none -d "$tmp/dense.dbc" --codec none --ts-ns --rowgroup-rows 4096 "$tmp/dense"
job sparse-gzip -d "$tmp/sparse.dbc" --codec gzip --device-column --device path:1 "$tmp/sparse"
job text-none -d "$tmp/text.dbc" --raw --enum both --rowgroup-rows 16384 "$tmp/text"
set -- -d "$fdbc" --ts-ns --device-column --enum both --unknown keep --rowgroup-rows 2048
job features-none "$@" --codec none "$fin"
job features-gzip "$@" --codec gzip "$fin"
job features-csv "$@" --sink csv "$fin"
job features-plain -d "$fdbc" --enum code --raw --codec gzip "$fin"
[ "$failed" -eq 0 ] || finish

strict dense-none
strict features-none
# Same tables, other codec or columns: what the pruned scans find is proved above.
strict sparse-gzip --no-pushdown
strict text-none --no-pushdown
strict features-gzip --no-pushdown
strict features-plain --no-pushdown
check "gzip has the rows of none" node "$dir/same.mjs" "$tmp/features-none" "$tmp/features-gzip"
check "CSV has the rows of Parquet" node "$dir/same.mjs" "$tmp/features-none" "$tmp/features-csv"
check "ranges read one row group" node "$dir/pushdown.mjs" \
	"$tmp/features-none/Still/part-00000.parquet" ts Ramp
grep '^[A-Za-z]*: EXPLAIN' "$tmp/log" | cut -c1-200
check "ranges read one row group, gzip" node "$dir/pushdown.mjs" \
	"$tmp/features-gzip/Still/part-00000.parquet" ts Ramp
echo "interop: $(find "$tmp" -name '*.parquet' | wc -l) files, readers $engines"
finish
