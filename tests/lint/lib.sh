# lib.sh - counting and reporting shared by the lints. A lint calls pass or fail per check and ends
# with lint_end, which prints "N passed, N failed" and sets the exit status.
LC_ALL=C
export LC_ALL
passed=0
failed=0

pass() {
	passed=$((passed + $1))
}

# fail "text": one finding.
fail() {
	failed=$((failed + 1))
	echo "  $1"
}

# findings LABEL TEXT: each line of TEXT is one failure; an empty TEXT is one pass.
findings() {
	if [ -z "$2" ]; then
		pass 1
		return
	fi
	# A here-document, because a pipe would count in a shell of its own.
	while IFS= read -r one; do
		fail "$1: $one"
	done <<END
$2
END
}

lint_end() {
	echo "$lint: $passed passed, $failed failed"
	[ "$failed" -eq 0 ]
}

# Our C sources; folders that do not exist yet are fine.
c_files() {
	find core io numa simd tools tests kconfig -name '*.[ch]' ! -path 'kconfig/configs/*' \
		2>/dev/null | sort
}
