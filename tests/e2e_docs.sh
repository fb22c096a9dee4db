#!/bin/bash
# e2e_docs.sh [BIN]: what is promised about texts: guidance in the README and from `tune`, code style,
# licence, changes, versions, and a description of each public function.
. "$(dirname "$0")/e2e_lib.sh"
cd "$E2E_ROOT" || exit 1

for what in workers queue 'task timeout' pools; do
	has "D66 the README says how to choose: $what" README.md "^\| $what \| .+ \| .+ \|$"
done
"$BIN/canp-gen" --container canp --files 2 --size 300k "$T/logs" >"$T/gen.out" 2>&1 || fail "sample logs"
(cd "$T" && timeout 60 "$APP" tune --budget 1s logs >out 2>err)
has "D66 tune recommends from a measured rate" "$T/out" "^reading .*files"
has "D66 and says why" "$T/out" "^  (keep|CHANGE) +depth = "
for what in 'short' 'keep no state' 'return an error' 'give back'; do
	check "D67 the README says how a task should be: $what" grep -q "$what" README.md
done
has "D67 and who tells when one is not" README.md "FLAVOUR=debug"

for l in tidy fmt; do
	sh tests/lint/$l.sh >"$T/lint" 2>&1
	rc=$?
	eq "D68 the sources keep the style ($l)" $rc 0
	[ $rc -eq 0 ] || head -n 5 "$T/lint"
done
eq "D68 every source file begins with a comment" "$(find core io numa simd tools -name '*.[ch]' |
	while read -r f; do [ "$(head -c 2 "$f")" = '/*' ] || echo "$f"; done)" ""

has "D69 the licence is MIT" LICENSE "^MIT License$"
version=$(sed -n 's/^#define CANP_VERSION "\(.*\)"/\1/p' core/base/version.h)
check "D69 versions are MAJOR.MINOR.PATCH ($version)" sh -c \
	"echo '$version' | grep -Eqx '[0-9]+\.[0-9]+\.[0-9]+'"
for p in "$BIN"/canp-*; do
	[ -x "$p" ] && eq "D69 ${p##*/} --version" "$("$p" --version | head -n 1)" "${p##*/} $version"
done
has "D69 the version is in the list of changes" README.md "^### $version$"

sh tests/lint/docs.sh gcc >"$T/lint" 2>&1
eq "D70 every function of the library is described" $? 0
cat "$T/lint"
{
	echo '/* Described. */'
	echo 'int canp_a(void);'
	echo
	echo 'int canp_b(void);'
} >"$T/x.h"
printf 'global:\n\tcanp_a;\n\tcanp_b;\n' >"$T/x.map"
eq "D70 one that is not would be found" "$(cd "$T" && "$PY" "$E2E_ROOT/tests/lint/docs.py" gcc x.map x.h)" \
	"x.h: canp_b"
e2e_end
