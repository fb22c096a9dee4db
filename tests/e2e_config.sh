#!/bin/bash
# e2e_config.sh [BIN]: every configuration of kconfig/configs writes a run profile that the program
# accepts, by the make targets that people use; a job runs with the profile of the default and with
# that of `latency`. Building each of them is tests/lint/defconfigs.sh (make soak-configs).
. "$(dirname "$0")/e2e_lib.sh"
MAKE=${MAKE:-make}
unset MAKEFLAGS MFLAGS MAKELEVEL BUILD FLAVOUR KCONFIG_CONFIG

have=
for p in ${CANP_PYTHON:-} /usr/bin/python3 python3; do
	"$p" -c 'import kconfiglib' 2>/dev/null && { have=1; break; }
done
if [ -z "$have" ]; then
	echo "skip $E2E_NAME: python3-kconfiglib is not installed"
	exit 77
fi
cd "$E2E_ROOT" || exit 1
timeout 60 "$BIN/canp-gen" --container canp --files 2 --size 300k --workload dense --seed 9 \
	--dbc "$T/v.dbc" "$T/logs" >/dev/null 2>&1 || fail "sample logs"

# small NAME: a job with its profile and little memory; its dataset is $T/NAME.
small() {
	timeout 120 "$APP" run -q --config "$T/$1.d/canp.conf" --mem-per-core 128m --writer-mem 256m \
		-d "$T/v.dbc" -o "$T/$1" "$T/logs" && test -f "$T/$1/_canp/run.json"
}

accepted=
for c in kconfig/configs/*_defconfig; do
	n=$(basename "$c" _defconfig)
	mk="$MAKE -s --no-print-directory BUILD=$T/$n.d KCONFIG_CONFIG=$T/$n.config"
	check "$n: make ${n}_defconfig" $mk "${n}_defconfig"
	check "$n: its header and profile" $mk "$T/$n.d/include/autoconf.h"
	canp 0 "$n: the program accepts the profile" --config-check "$T/$n.d/canp.conf" &&
		accepted="$accepted $n"
	eq "$n: the profile sets what the configuration says" "$(grep -c '^[a-z]' "$T/$n.d/canp.conf")" \
		"$(grep -c '^CONFIG_CANP_RT_' "$c")"
	check "$n: make savedefconfig" $mk savedefconfig SAVEDEFCONFIG="$T/$n.saved"
	eq "$n: it comes back as it was" "$(sort "$T/$n.saved")" "$(grep -v '^#$\|^# [^C]' "$c" | sort)"
done
eq "C31 H01 the profiles of three sizes of machines are accepted" \
	"$(echo "$accepted" | tr ' ' '\n' | grep '^hw_' | sort | tr '\n' ' ')" "hw_extreme hw_min hw_rec "
check "a job with the default profile" small canp
check "a job with the profile of latency" small latency

e2e_end
