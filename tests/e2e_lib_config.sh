#!/bin/bash
# e2e_lib_config.sh [BIN]: the options of the library's objects (io/lib.def) in all the places they
# have: a Kconfig symbol each, the profile canp.conf, the environment, the command line, the dump;
# and the presets of the source documents as configurations.
. "$(dirname "$0")/e2e_lib.sh"
cd "$E2E_ROOT" || exit 1

# Name, kind and default of each row.
sed -n 's/^X(\([A-Z]*\), [a-z_]*, "\([-a-z]*\)", 0, "\([^"]*\)".*/\2 \1 \3/p' io/lib.def >"$T/rows"
check "there are rows" [ "$(wc -l <"$T/rows")" -ge 40 ]

# missing ORIGIN: rows that the last dump does not have with this origin.
missing() {
	json "$T/out" "'\n'.join(k for k in d if d[k]['origin'] == '$1')" 2>&1 | sort >"$T/origin"
	cut -d' ' -f1 "$T/rows" | sort | comm -23 - "$T/origin"
}

# A value for each row that is not its default.
while read -r name kind def; do
	case $kind in
	STR) v=64,128 ;;
	SIZE) v=3m ;;
	DOUBLE) v=0.5 ;;
	DURATION) v=77s ;;
	BOOL) [ "$def" = yes ] && v=no || v=yes ;;
	ENUM) v=$(sed -n "s/^X(ENUM, [a-z_]*, \"$name\", 0, \"[a-z]*\", \"[a-z]*|\([a-z0-9]*\)|.*/\1/p" io/lib.def) ;;
	*) v=$((def ? def * 2 : 1)) ;;
	esac
	case $kind,$v in
	BOOL,no) arg=--no-$name ;;
	BOOL,yes) arg=--$name ;;
	*) arg=--$name=$v ;;
	esac
	key=$(echo "$name" | tr a-z- A-Z_)
	grep -qE "^(config|choice) CANP_RT_$key\$" kconfig/Kconfig.run || echo "$name" >>"$T/no_symbol"
	echo "CANP_$key=$v" >>"$T/env"
	echo "$arg" >>"$T/args"
done <"$T/rows"
eq "H01 each has a Kconfig symbol" "$(cat "$T/no_symbol" 2>/dev/null)" ""

canp 0 "config dumps as JSON" config --json
eq "H01 A27 B14 B15 B16 B17 B18 it dumps each option" "$(missing default)" ""
set -a
. "$T/env"
set +a
canp 0 "all of them from the environment" config --json
eq "H01 each can be set in the environment" "$(missing env)" ""
unset $(cut -d= -f1 "$T/env")
canp 0 "all of them on the command line" config --json $(cat "$T/args")
eq "H01 each can be set on the command line" "$(missing cli)" ""
canp 0 "but help does not show them" run --help
eq "for a job has no use for them" "$(grep -cE -- '--(\[no-\])?(pool|task|pipe|process|command|event|monitor)-' "$T/out")" 0

# ---- presets ----
if ! "$PY" -c 'import kconfiglib' 2>/dev/null; then
	skip "A28 A29 presets as configurations: no python3-kconfiglib"
	e2e_end
fi

# preset NAME: its profile, read by the program; $T/out is the dump.
preset() {
	"$PY" kconfig/gen.py --config "kconfig/configs/$1_defconfig" --header "$T/h" --conf "$T/mk" \
		--profile "$T/canp.conf"
	canp 0 "the profile of $1_defconfig is accepted" config -c "$T/canp.conf"
	sed -n 's/^\([a-z-]*\) = \(.*[^ ]\) *# [a-z]*$/\1=\2/p' "$T/out" |
		grep -E '^(pool-(.*-classes|max|warning|mmap|block-cache|cache)|pipe-mode)' |
		tr '\n' ' ' >"$T/have"
}

preset throughput
eq "A28 throughput_defconfig gives the high-performance pool" "$(cat "$T/have")" \
	"pool-block-classes=512,1024,2048,4096,8192,16384 \
pool-decompress-classes=1024,2048,4096,8192,16384,32768 \
pool-frame-classes=256,512,1024,2048,4096,8192 pool-max-memory=2g pool-warning-threshold=0.85 \
pool-mmap-cache=2000 pool-block-cache=1000 pool-cache-ttl=10m pipe-mode=throughput "
preset memory
eq "A29 F20 memory_defconfig gives the memory-constrained pool" "$(cat "$T/have")" \
	"pool-block-classes=256,512,1024,2048 pool-decompress-classes=512,1024,2048,4096 \
pool-frame-classes=128,256,512,1024 pool-max-memory=512m pool-warning-threshold=0.7 \
pool-mmap-cache=100 pool-block-cache=50 pool-cache-ttl=5m pipe-mode=memory "
preset latency
eq "F19 latency_defconfig gives pipelines of low latency" "$(grep -o 'pipe-mode=[a-z]*' "$T/have")" \
	pipe-mode=latency
preset canp
eq "A02 A03 A04 A21 A22 A23 A25 A26 canp_defconfig gives the defaults" "$(cat "$T/have")" \
	"pool-block-classes=512,1024,2048,4096,8192 pool-decompress-classes=1024,2048,4096,8192,16384 \
pool-frame-classes=256,512,1024,2048,4096 pool-max-memory=1g pool-warning-threshold=0.8 \
pool-mmap-cache=1000 pool-block-cache=500 pool-cache-ttl=5m pipe-mode=throughput "
e2e_end
