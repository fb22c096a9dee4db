#!/bin/sh
# e2e_install.sh [BIN]: `make install` into an empty DESTDIR, as a packager does it: the installed
# programs start, the configuration is one the program accepts, the man pages render and list
# exactly the options of --help, every program has a page, canp.conf(5) lists every key, bash, zsh and
# fish complete commands and options, a changed configuration survives, and `make uninstall` leaves nothing else behind (the library: tests/e2e_lib_install.sh). BIN is the folder of the programs (default build/bin).
name=e2e_install
bin=${1:-build/bin}
build=$(dirname "$bin")
passed=0
failed=0
T=$(mktemp -d "${TMPDIR:-/tmp}/$name.XXXXXX") || exit 1
trap 'rm -rf "$T"' EXIT
D=$T/root
MAKE=${MAKE:-make}
unset MAKEFLAGS MFLAGS MAKELEVEL DESTDIR prefix PREFIX

# check TEXT COMMAND...
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

[ -x "$bin/canp-appliance" ] || {
	echo "$name: $bin/canp-appliance is not built (make)"
	exit 1
}

# Option names that begin a line of a text: "-d, --dbc=FILE" gives dbc. Descriptions stand further
# to the right.
options() {
	sed -n 's/^ \{0,8\}\(-., \)\{0,1\}--\(\[no-\]\)\{0,1\}\([a-z0-9][-a-z0-9]*\).*/\3/p' "$1" | sort
}

# Names of the commands in the overview of a program.
commands() {
	"$D/usr/bin/$1" --help | sed -n 's/^  \([a-z]*\)  .*/\1/p'
}

installed() {
	(cd "$D" && find . -type f -o -type l | sort)
}

run_make() {
	"$MAKE" --no-print-directory BUILD="$build" DESTDIR="$D" "$@" >"$T/make.out" 2>&1 ||
		{ sed 's/^/     | /' "$T/make.out"; return 1; }
}

check "D60 make install" run_make prefix=/usr install
installed >"$T/list"
check "the program is there" [ -x "$D/usr/bin/canp-appliance" ]
check "it starts and says its version" \
	sh -c "'$D/usr/bin/canp-appliance' --version | grep -Eqx 'canp-appliance [0-9]+\.[0-9]+\.[0-9]+'"
check "the configuration is in /etc for prefix=/usr" [ -f "$D/etc/canp/canp.conf" ]
check "the program accepts it" \
	sh -c "'$D/usr/bin/canp-appliance' config --config '$D/etc/canp/canp.conf' >'$T/config'"
check "every program that was built is installed" sh -c \
	"for p in '$bin'/canp-*; do cmp -s \"\$p\" '$D/usr/bin/'\${p##*/} || exit 1; done"

for f in lib/libcanp.so lib/libcanp.a lib/pkgconfig/canp.pc include/canp/canp.h; do
	check "the library comes with it: $f" [ -s "$D/usr/$f" ]
done

if ! command -v scdoc >/dev/null; then
	check "without scdoc it says that there are no pages" grep -q 'no man pages: scdoc' "$T/make.out"
	echo "skip man pages: scdoc is not installed"
else
	for page in "$D"/usr/share/man/man1/*.1; do
		tool=$(basename "$page" .1)
		check "$tool(1) has name, synopsis, options, exit status" sh -c \
			"[ \$(grep -Ec '^\.SH (NAME|SYNOPSIS|OPTIONS|EXIT STATUS)' '$page') -eq 4 ]"
		if command -v man >/dev/null; then
			LC_ALL=C.UTF-8 MANWIDTH=400 man --warnings -l "$page" >"$T/$tool.txt" 2>"$T/$tool.err"
			check "$tool(1) renders without a warning" [ ! -s "$T/$tool.err" -a -s "$T/$tool.txt" ]
		else
			echo "skip rendering of $tool(1): man is not installed"
			sed 's/\\fB//g; s/\\fR//g; s/\\//g' "$page" >"$T/$tool.txt"
		fi
		[ -x "$D/usr/bin/$tool" ] || { echo "skip options of $tool: not built"; continue; }
		case $tool in
		# The options of a job are those of most commands, so each is counted once.
		canp-appliance) for c in run status tune config doctor; do "$D/usr/bin/$tool" $c --help; done ;;
		# Each command has options of its own; the page lists them one command after the other.
		canp-bench) for c in $(commands "$tool"); do "$D/usr/bin/$tool" "$c" --help; done ;;
		*) "$D/usr/bin/$tool" --help ;;
		esac >"$T/$tool.help"
		options "$T/$tool.help" >"$T/$tool.want"
		options "$T/$tool.txt" >"$T/$tool.have"
		if [ "$tool" = canp-appliance ]; then
			sort -u -o "$T/$tool.want" "$T/$tool.want"
			sort -u -o "$T/$tool.have" "$T/$tool.have"
		fi
		check "$tool --help lists options" [ "$(wc -l <"$T/$tool.want")" -ge 7 ]
		check "$tool(1) lists the options of --help" diff "$T/$tool.want" "$T/$tool.have"
	done
	for p in "$bin"/canp-*; do
		check "${p##*/} has a page" [ -s "$D/usr/share/man/man1/${p##*/}.1" ]
	done
	for page in "$D"/usr/share/man/man[57]/*; do
		n=$(basename "$page")
		check "$n has name, synopsis, description" sh -c \
			"[ \$(grep -Ec '^\.SH (NAME|SYNOPSIS|DESCRIPTION)' '$page') -eq 3 ]"
		command -v man >/dev/null || { cp "$page" "$T/$n.txt"; continue; }
		LC_ALL=C.UTF-8 MANWIDTH=400 man --warnings -l "$page" >"$T/$n.txt" 2>"$T/$n.err"
		check "$n renders without a warning" [ ! -s "$T/$n.err" -a -s "$T/$n.txt" ]
	done
	if command -v man >/dev/null && [ -x "$build/release/rows" ]; then
		"$build/release/rows" profile | sort >"$T/keys.want"
		sed -n 's/^ \{7\}\([a-z0-9-]*\) = .*/\1/p' "$T/canp.conf.5.txt" | sort >"$T/keys.have"
		check "there are keys" [ "$(wc -l <"$T/keys.want")" -ge 30 ]
		check "H01 canp.conf(5) lists every key of a profile" diff "$T/keys.want" "$T/keys.have"
	else
		echo "skip keys of canp.conf(5): no man or no rows"
	fi
	for tool in canp-appliance canp-bench; do
		commands "$tool" >"$T/cmds"
		check "$tool(1) names every command of the overview" sh -c \
			"[ -s '$T/cmds' ] && while read -r c; do grep -qx \" *\$c\" '$T/$tool.txt' ||
			{ echo \"\$c\"; exit 1; }; done <'$T/cmds'"
	done
fi

# complete TOOL WORD...: what bash offers for the last word, sorted, one a line.
complete() {
	bash -c '. "$0" && COMP_WORDS=("$@") && COMP_CWORD=$(($# - 1)) && set -- $(complete -p "$1") &&
		while [ "$1" != -F ]; do shift; done && { "$2"; printf "%s\n" "${COMPREPLY[@]}"; }' \
		"$D/usr/share/bash-completion/completions/$1" "$@" 2>/dev/null | LC_ALL=C sort
}

# offers WORDS TOOL WORD...: bash offers exactly these.
offers() {
	want=$1
	shift
	have=$(complete "$@" | tr '\n' ' ')
	[ "$have" = "$want " ] || { echo "     | $*: $have"; return 1; }
}

if command -v bash >/dev/null; then
	for p in "$bin"/canp-*; do
		tool=${p##*/}
		check "bash parses the completion of $tool" \
			bash -n "$D/usr/share/bash-completion/completions/$tool"
	done
	check "bash completes commands" offers "inspect" canp-appliance i
	check "bash completes options of a command" offers "--kernel=" canp-bench kernels --k
	check "of that command only" offers "--against=" canp-bench job --ag
	check "bash completes choices, before and behind =" eval \
		'offers "scalar" canp-bench kernels --simd s && offers "scalar" canp-appliance run --simd = s'
	check "bash completes a program without commands" offers "dense" canp-gen --workload = d
else
	echo "skip completion: bash is not installed"
fi

zdir=$D/usr/share/zsh/vendor-completions
fdir=$D/usr/share/fish/vendor_completions.d
# long FILE TOOL: every long option that --help of the commands tells is in the file.
long() {
	{
		"$D/usr/bin/$2" --help
		for c in $(commands "$2"); do "$D/usr/bin/$2" "$c" --help; done
	} >"$T/help"
	options "$T/help" | sort -u | while read -r o; do
		grep -Eq -- "(--| -l )$o([ ='{},]|\$)" "$1" || { echo "     | --$o"; exit 1; }
	done
}
for p in "$bin"/canp-*; do
	tool=${p##*/}
	check "zsh: $tool is completed by its file" grep -qx "#compdef $tool" "$zdir/_$tool"
	check "zsh: every option of $tool is in it" long "$zdir/_$tool" "$tool"
	check "fish: every option of $tool is in its file" long "$fdir/$tool.fish" "$tool"
done
if command -v zsh >/dev/null; then
	for p in "$bin"/canp-*; do
		check "zsh parses the completion of ${p##*/}" zsh -n "$zdir/_${p##*/}"
	done
	# What the functions hand to zsh, by a stand-in: the specifications, one a line.
	zspec() {
		zsh -fc 'f=$1; shift; words=("$@"); CURRENT=$#
			_arguments() { print -rl -- "$@" }
			_describe() { print -rl -- ${(P)2} }
			. $f' zsh "$zdir/_$1" "$@" >"$T/zspec"
	}
	zspec canp-appliance t
	check "zsh offers commands with their text" grep -qx 'tune:measure .*' "$T/zspec"
	zspec canp-appliance run --simd
	check "zsh knows the choices of an option" grep -q '^--simd=\[.*:(auto scalar ' "$T/zspec"
	check "zsh knows files" grep -q '^\*--dbc=\[.*:_files$' "$T/zspec"
	check "zsh knows folders" grep -q -- '--output=\[.*:_files -/$' "$T/zspec"
	check "zsh: an option of another command is not there" sh -c "! grep -q -- --budget '$T/zspec'"
	zspec canp-appliance tune --
	check "zsh: it is there where it belongs" grep -q '^--budget=' "$T/zspec"
	zspec canp-gen --
	check "zsh completes a program without commands" grep -q '^--workload=.*dense' "$T/zspec"
else
	echo "skip zsh: it is not installed"
fi
if command -v fish >/dev/null; then
	for p in "$bin"/canp-*; do
		check "fish parses the completion of ${p##*/}" fish --no-config -n "$fdir/${p##*/}.fish"
	done
	# fish_offers WANT LINE: what fish offers for the line, sorted, is exactly this.
	fish_offers() {
		have=$(HOME=$T fish --no-config -c "source '$fdir/${2%% *}.fish'; complete -C '$2'" \
			2>/dev/null | cut -f1 | LC_ALL=C sort | tr '\n' ' ')
		[ "$have" = "$1 " ] || { echo "     | $2: $have"; return 1; }
	}
	check "fish completes commands" fish_offers inspect "canp-appliance in"
	check "fish completes options of a command" fish_offers --budget "canp-appliance tune --bud"
	check "of that command only" fish_offers --bus "canp-appliance run --bu"
	check "fish completes choices" fish_offers "--workload=dense" "canp-gen --workload=d"
else
	echo "skip fish: it is not installed"
fi

echo "cores = 1" >>"$D/etc/canp/canp.conf"
check "make install over a changed configuration" run_make prefix=/usr install
check "keeps it" grep -qx 'cores = 1' "$D/etc/canp/canp.conf"
check "and puts the new one beside it" [ -f "$D/etc/canp/canp.conf.new" ]
check "make uninstall" run_make prefix=/usr uninstall
check "leaves the changed configuration only" [ "$(installed)" = ./etc/canp/canp.conf ]
rm -rf "$D"

check "make install with the default prefix" run_make install
installed | sed 's#^\./usr/local/etc/#./etc/#; s#^\./usr/local/#./usr/#
	s#/zsh/site-functions/#/zsh/vendor-completions/#' | sort >"$T/local"
check "puts the same files below /usr/local" diff "$T/list" "$T/local"
check "make uninstall with the default prefix" run_make uninstall
check "leaves nothing" [ -z "$(installed)" ]

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
