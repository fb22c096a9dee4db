#!/bin/sh
# api.sh: the public interface of libcanp: what the headers declare is what core/libcanp.map exports,
# and nothing of tests/lint/abi-v1.txt has vanished or changed (functions and their prototypes, sizes
# of structs, places of fields, values of enumerators). New things may come; `make abi` takes them in.
# Usage: api.sh CC
lint=api
. tests/lint/lib.sh
CC=${1:-gcc}
export CC

py=python3
command -v $py >/dev/null || py=/usr/bin/python3
if ! bad=$($py tests/lint/abi.py check core/libcanp.map tests/lint/abi-v1.txt 2>&1); then
	fail "abi.py: $bad"
else
	findings "interface" "$bad"
fi

# Nobody but a public header may be included by a public header, so the list is closed; and none
# may depend on a choice of the build, for the user's program does not know it.
headers=$($CC -MM -I. io/canp.h core/process/process_pool.h | tr -d '\\\\' | tr ' ' '\n' | grep '\.h$')
for h in $headers; do
	case $h in
	*_priv.h) fail "$h is private and reachable from canp.h" ;;
	*) pass 1 ;;
	esac
	if grep -q 'extern "C"' "$h" && [ "$h" != core/base/compiler.h ]; then
		fail "$h: use CANP_BEGIN_DECLS"
	fi
	grep -qE '^[a-z].*\(.*\)?[;,]$|^static inline' "$h" || continue
	grep -q '^CANP_BEGIN_DECLS$' "$h" && grep -q '^CANP_END_DECLS$' "$h" && pass 1 && continue
	fail "$h declares functions outside CANP_BEGIN_DECLS"
done
# CANP_DASSERT is off for who has no configuration; nothing else may ask for one.
findings "depends on the configuration" "$(grep -n 'CONFIG_CANP_' $headers |
	grep -v '^core/base/assert.h:.*CONFIG_CANP_DASSERT')"

# Every error that the library names is in the one list of them.
for e in $(find core numa io/libconfig.c io/lib_cfg.c io/source/mmapcache.c -name '*.[ch]' |
	xargs grep -hoE '[^A-Za-z_]-E[A-Z0-9]+\>' | sed 's/.*-E//' | sort -u); do
	grep -q "X($e, " core/base/err.h && pass 1 && continue
	case $e in
	OPNOTSUPP) pass 1 ;; # the same number as ENOTSUP
	*) fail "E$e is returned and not in CANP_ERRS of core/base/err.h" ;;
	esac
done
lint_end
