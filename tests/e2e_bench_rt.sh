#!/bin/bash
# e2e_bench_rt.sh [BIN]: `canp-bench runtime` with rounds so short that the figures mean nothing:
# which figures there are, what the report says, that other libraries may be missing, how mistakes
# are answered.
. "$(dirname "$0")/e2e_lib.sh"
cd "$T" || exit 1
need "$BENCH"
BENCH_ARGS=(runtime)
quick="--rounds=2 --round-ms=1 --items=20000"

echo "-- mistakes"
bench 64 "an unknown section" --only=mem,tasks
has "it is named, and what there is" err "'tasks'; there are: mem,task"
bench 64 "an operand" fast
has "it is named" err "'fast'"
bench 64 "no round" --rounds=0
bench 64 "a CPU that is not there" --cpu=1023
has "the CPU is named" err "--cpu=1023"
bench 0 "--help" --help
for o in only items round-ms peers rounds json; do
	has "--help lists --$o" out "--(\[no-\])?$o"
done

echo "-- all figures"
bench 0 "runtime --json" $quick --json
eq "nothing on stderr" "$(cat err)" ""
eq "one object with what was promised" "$(json out 'sorted(d)')" \
	"['environment', 'figures', 'rounds', 'tool', 'version']"
# The tables of the sections are the truth.
sed -n 's/^[ \t{]*\(\.name = \|PAIR(\)"\([a-z0-9_]*\)",.*/\2/p' "$E2E_ROOT"/tools/bench_rt_{mem,task,pairs,flows,observe,cmd}.c | sort >names
eq "every row of the tables is there, and no other" \
	"$(json out '"\n".join(sorted(f["figure"].split(".")[1] for f in d["figures"]))')" "$(cat names)"
eq "figures have different names" \
	"$(json out 'len({f["figure"] for f in d["figures"]}) == len(d["figures"])')" True
eq "each has text, unit, a verdict and contenders" \
	"$(json out 'all(f["text"] and f["unit"] and f["verdict"] in ("aim", "floor", "missed", "no goal", "not installed") and f["forms"] for f in d["figures"])')" True
eq "every contender has its numbers or is not installed" \
	"$(json out 'all((r["median"] is not None and r["best"] is not None and r["spread"] is not None) if r["installed"] else r["median"] is None for f in d["figures"] for r in f["forms"])')" True
[ "$(nproc)" -lt 2 ] || eq "the first contender is ours and always there" \
	"$(json out '[f["figure"] for f in d["figures"] if not f["forms"][0]["installed"]]')" "[]"
eq "a value that is judged is that of the first contender" \
	"$(json out 'all(f["result"] == f["forms"][0]["median"] for f in d["figures"] if f["judged"] == "value")')" True
eq "a ratio that is judged is one of those to the others" \
	"$(json out 'all(f["result"] in [r["ratio"] for r in f["forms"][1:]] for f in d["figures"] if f["judged"] == "ratio" and f["result"] is not None)')" True
eq "the verdict follows from result and goals" "$(json out '[f["figure"] for f in d["figures"]
	if f["floor"] is not None and f["result"] is not None and f["verdict"] != (
		"aim" if (f["result"] <= f["aim"] if f["aim"] < f["floor"] else f["result"] >= f["aim"]) else
		"floor" if (f["result"] <= f["floor"] if f["aim"] < f["floor"] else f["result"] >= f["floor"]) else
		"missed")]')" "[]"
eq "no event is unaccounted for" \
	"$(json out '[f["result"] for f in d["figures"] if f["figure"] == "event.unaccounted"]')" "[0]"
eq "a period of 16 sessions reads what one sampler reads" \
	"$(json out '[f["verdict"] for f in d["figures"] if f["figure"] == "monitor.reads"]')" "['aim']"
eq "the environment is there" "$(json out '"load_before" in d["environment"]')" True

echo "-- choices"
bench 0 "--only" $quick --json --only=monitor,mem
eq "only those, in the order of the tables" \
	"$(json out 'sorted({f["figure"].split(".")[0] for f in d["figures"]})')" "['mem', 'monitor']"
bench 0 "text" $quick --only=event
has "text: a figure with its goal" out "^event.emit: .*; goal 10, aim 5: (aim|floor|missed)"
has "text: the environment" out "^load +[0-9.]+ before"

case $BIN in
*/asan/* | */tsan/*) skip "F27 10^8 items: minutes with a sanitizer" ;;
*)
	bench 0 "F27 10^8 items stream, each once and in order" --json --only=pipe --rounds=1 --items=100000000 \
		--round-ms=1
	eq "F27 F26 and the memory stays what it is" "$(json out '[f["verdict"] in ("aim", "floor")
		for f in d["figures"] if f["figure"] == "pipe.stream_rss"]')" "[True]"
	;;
esac

echo "-- other libraries"
bench 0 "without the program that runs them" $quick --json --only=mem,task --peers="$T/none"
eq "they are not installed" \
	"$(json out 'sorted({r["name"] for f in d["figures"] for r in f["forms"] if not r["installed"]})')" \
	"['OpenMP tasks', 'jemalloc', 'malloc', 'mimalloc', 'oneTBB task_group']"
[ "$(nproc)" -lt 2 ] || eq "and figures against them cannot be told" \
	"$(json out '{f["figure"]: f["verdict"] for f in d["figures"] if f["verdict"] == "not installed"}')" \
	"{'task.empty': 'not installed', 'task.one_us': 'not installed'}"
cat >fake <<'END'
#!/bin/sh
case $1 in
alloc:malloc) echo 10 ;;
alloc:mallctl) echo "$LD_PRELOAD" >>"${0%/*}/preload" && echo 20 ;;
*) echo missing ;;
esac
END
chmod +x fake
bench 0 "a program that has some of them" $quick --json --only=mem --peers="$T/fake"
eq "its numbers are taken" \
	"$(json out '[(r["name"], r["median"] and int(r["median"])) for r in d["figures"][0]["forms"][1:]]')" \
	"[('malloc', 10), ('mimalloc', None), ('jemalloc', 20)]"
eq "what is to be preloaded is, in every run" "$(sort -u preload) $(wc -l <preload)" "libjemalloc.so.2 3"
printf '#!/bin/sh\nexit 3\n' >fake
bench 1 "a program that fails ends the command" $quick --only=mem --peers="$T/fake"
has "contender and figure are named" err "mem.alloc_free: malloc"
e2e_end
