#!/bin/sh
# e2e_menuconfig.sh: `make menuconfig` as a person uses it, in a terminal made by tmux: it opens, `/`
# finds symbols by name and by text, `?` shows the help, a value out of range is refused, values are
# changed and saved, and the next build and profile have the change; what savedefconfig writes of it
# gives the same configuration again. Without a terminal it must end at once. Skips (77) without tmux
# or python3-kconfiglib. Usage: e2e_menuconfig.sh [BIN], BIN with a canp-appliance to check profiles.
name=e2e_menuconfig
MAKE=${MAKE:-make}
bin=${1:-build/bin}
unset MAKEFLAGS MFLAGS MAKELEVEL TMUX BUILD FLAVOUR KCONFIG_CONFIG
passed=0
failed=0

skip() {
	echo "skip $name: $1"
	exit 77
}
command -v tmux >/dev/null || skip "tmux is not installed"
for p in $CANP_PYTHON /usr/bin/python3 python3; do
	"$p" -c 'import menuconfig' 2>/dev/null && { have=1; break; }
done
[ -n "$have" ] || skip "python3-kconfiglib is not installed"

T=$(mktemp -d "${TMPDIR:-/tmp}/$name.XXXXXX") || exit 1
S="tmux -f /dev/null -S $T/tmux"
trap '$S kill-server 2>/dev/null; rm -rf "$T"' EXIT
mk="$MAKE --no-print-directory BUILD=$T/build KCONFIG_CONFIG=$T/config"

check() {
	text=$1
	shift
	if "$@"; then
		passed=$((passed + 1))
		echo "ok   $text"
	else
		failed=$((failed + 1))
		echo "FAIL $text"
	fi
}

# sees PATTERN: waits until the screen shows it; 20 s at most.
sees() {
	n=0
	while [ $n -lt 100 ]; do
		$S capture-pane -p >"$T/screen" 2>/dev/null
		grep -Eq -- "$1" "$T/screen" && return 0
		sleep 0.2
		n=$((n + 1))
	done
	echo "     | no '$1' on the screen:"
	grep . "$T/screen" | head -n 12 | sed 's/^/     | /'
	return 1
}

keys() {
	$S send-keys "$@"
}

# set_value SEARCH SHOWN VALUE: jump to a symbol with a value that is typed, and change it.
set_value() {
	keys /
	sees 'Jump to symbol' && keys "$1" && sees "$2" || return 1
	keys Enter
	sees "$3" && keys Enter || return 1
	# The edit box opens with the present value, the cursor behind it.
	sees '\[Enter\]|Enter|\(int\)|\(string\)' && keys C-u && keys -l "$4" && keys Enter
}

check "without a terminal it ends at once with a text" sh -c \
	"timeout 20 $mk menuconfig </dev/null 2>&1 | grep -q 'menuconfig needs a terminal'"
check "the default configuration" $mk -s defconfig
cp "$T/config" "$T/before"

$S new-session -d -x 100 -y 40 "LC_ALL=C.UTF-8 TERM=screen $mk menuconfig; echo \"rc=\$?\" | tee $T/rc; sleep 60"
check "it opens" sees 'canp-appliance configuration'
keys / && keys 'no such symbol at all'
check "/ says when there is nothing" sees 'No matches'
keys Escape
check "Escape leads back" sees 'Toggle show-help'
keys / && sees 'Jump to symbol' && keys 'probe points'
check "/ finds a symbol by a word of its text" sees 'CANP_USDT'
keys Enter
sees 'Static probe points' >/dev/null
keys '?'
check "? shows the help, with effect and when to change" sees 'When to change: say Y on'
keys Escape
check "/ finds a symbol by its name and it can be set" \
	set_value MAX_CORES 'CANP_MAX_CORES' 'Most shards of a job' 16
check "the new value is shown" sees '\(16\) Most shards of a job'
keys Enter && sees 'Most shards' && keys C-u && keys -l 99999 && keys Enter
check "a value out of range is refused with the range" sees '99999 is outside the range 1-256'
keys Escape && keys Escape
check "and the value stays" sees '\(16\) Most shards of a job'
check "/ finds a run option" set_value RT_DEPTH 'CANP_RT_DEPTH' '\) depth' 9
check "the new value is shown" sees '\(9\) depth'
keys s
check "s asks where to save" sees 'config'
keys Enter
check "it says that it saved" sees 'saved to|Configuration saved|No change'
# Any key takes the message away; then q leaves.
keys Enter
sees 'Toggle show-help'
keys q
sees 'rc=' >/dev/null
n=0
while [ ! -s "$T/rc" ] && [ $n -lt 50 ]; do
	sleep 0.2
	n=$((n + 1))
done
check "it ends well" grep -qx rc=0 "$T/rc"
check "the configuration has both values" sh -c \
	"grep -qx CONFIG_CANP_MAX_CORES=16 $T/config && grep -qx CONFIG_CANP_RT_DEPTH=9 $T/config"
check "and nothing else changed" [ "$(diff "$T/before" "$T/config" | grep -c '^>')" -eq 2 ]
check "the run profile has the option" grep -qx 'depth = 9' "$T/build/canp.conf"
check "the header has the limit" grep -qx '#define CONFIG_CANP_MAX_CORES 16' \
	"$T/build/include/autoconf.h"
check "the next build" $mk -s "$T/build/release/rows"
check "knows the new limit" sh -c \
	"'$T/build/release/rows' markdown canp-appliance | grep -q -- '--cores=N.*0\.\.16 '"

if [ -x "$bin/canp-appliance" ]; then
	check "the program accepts the profile" "$bin/canp-appliance" --config-check "$T/build/canp.conf"
else
	echo "skip the program accepts the profile: $bin/canp-appliance is not built"
fi
check "savedefconfig" $mk -s savedefconfig SAVEDEFCONFIG="$T/saved"
check "it writes what was changed and nothing else" sh -c \
	"[ \"\$(sort '$T/saved' | tr '\n' ' ')\" = 'CONFIG_CANP_MAX_CORES=16 CONFIG_CANP_RT_DEPTH=9 ' ]"
cp "$T/saved" "$T/again"
check "olddefconfig completes it" $mk -s olddefconfig KCONFIG_CONFIG="$T/again"
check "to the same configuration" cmp "$T/config" "$T/again"

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
