#!/bin/bash
# e2e_plugin.sh [BIN]: plugins in a whole job. What a filter and a derived column give is computed
# once more from the dataset without plugins, by other code; the dataset is the same bytes for any
# number of cores and instruction set; and a plugin that is broken is answered by a line that says
# how, or, when it breaks at work, costs nothing but its own columns.
. "$(dirname "$0")/e2e_lib.sh"
cd "$T" || exit 1
ENGINE=$(dirname "$BIN")/examples/plugin_engine.so
[ -f "$ENGINE" ] || {
	echo "$E2E_NAME: $ENGINE is not built (make plugins)"
	exit 1
}
if ! timeout 20 "$APP" run --help | grep -q csv; then
	echo "$E2E_NAME: SKIP: no CSV in this build"
	exit 77
fi

mkdir in
for i in 1 2 3 4 5 6 7 8; do
	timeout 60 "$BIN/canp-gen" --container $([ $i -le 6 ] && echo canp || echo candump) --files 1 \
		--size 400k --workload dense --seed 5 --dbc v.dbc in/$i >/dev/null 2>gen.err || {
		head -3 gen.err
		echo "$E2E_NAME: canp-gen cannot make the logs"
		exit 1
	}
done

# The message with most rows that has two signals which are always there, and not one value only.
job 0 plain --sink csv --cores 2 --unit 1 -d v.dbc in
cat >pick.py <<'PY'
import csv, glob, os
best = None
for d in sorted(glob.glob("plain/*/")):
    name = os.path.basename(d[:-1])
    if name.startswith(("canp_", "_canp")):
        continue
    rows = list(csv.DictReader(open(d + "part-00000.csv")))
    cols = [c for c in rows[0] if c not in ("ts", "src", "bus", "device", "sa")] if rows else []
    good = [c for c in cols if len({r[c] for r in rows}) > 8 and all(r[c] != "" for r in rows)]
    if len(good) >= 2 and (best is None or len(rows) > best[0]):
        v = sorted(float(r[good[0]]) for r in rows)
        best = (len(rows), name, good[0], good[1], v[len(v) // 4], v[len(v) * 3 // 4])
print(*best[1:])
PY
read -r MSG SIG FACTOR LOW HIGH <<<"$($PY pick.py)"
ARG=$MSG:$SIG:$LOW:$HIGH:$FACTOR:Power:0.25
echo "   $ARG"

cat >expect.py <<'PY'
# The rows of one table with the plugin, from the table without it.
import csv, sys
msg, sig, low, high, factor, name, scale = sys.argv[1].split(":")
have = csv.reader(open(f"{sys.argv[2]}/{msg}/part-00000.csv"))
plain = csv.reader(open(f"plain/{msg}/part-00000.csv"))
head, want_head = next(have), next(plain)
assert head == want_head + [name], (head, want_head)
s, f = want_head.index(sig), want_head.index(factor)
rows = dropped = 0
for row in plain:
    v = float(row[s])
    if not float(low) <= v <= float(high):
        dropped += 1
        continue
    got = next(have)
    assert got[:-1] == row, (got, row)
    assert float(got[-1]) == v * float(row[f]) * float(scale), (got, row)
    rows += 1
assert next(have, None) is None, "more rows than kept"
assert rows > 300 and dropped > 300, (rows, dropped)
print(rows, dropped)
PY

echo "-- a filter and a derived column"
job 0 csv --sink csv --cores 2 --unit 1 -d v.dbc --plugin "$ENGINE:$ARG" in
counts=$($PY expect.py "$ARG" csv 2>py.err)
check "rows kept, their order and the new column are what other code finds ($counts)" test -n "$counts"
head -3 py.err
eq "run.json: rows the plugin dropped" \
	"$(json csv/_canp/run.json 'd["plugins"][0]["rows_dropped"], d["plugins"][0]["errors"]')" \
	"${counts#* } 0"
eq "run.json: rows of the pipeline add up" "$(json csv/_canp/run.json '[o["rows_out"] for o in
	d["pipeline"]["operators"] if o["name"] == "extract"][0]')" "$(json csv/_canp/run.json 'd["rows"]')"
eq "run.json: the graph" "$(json csv/_canp/run.json 'd["pipeline"]["graph"]')" \
	"read -> decode -> engine -> pack -> extract => write"
other=same
for d in plain/*/; do
	d=$(basename "$d")
	[ "$d" = "$MSG" ] || [ "$d" = canp_signals ] || [ "$d" = _canp ] || diff -rq "plain/$d" "csv/$d" >/dev/null || other=$d
done
eq "all other tables are the same bytes" "$other" same
has "canp_signals lists the column" csv/canp_signals/part-00000.csv "$MSG.*Power.*made by plugin engine"
canp 0 "schema" schema -d v.dbc --plugin "$ENGINE:$ARG"
has "schema shows the column and who makes it" "$T/out" 'Power DOUBLE  # made by plugin engine'
canp 0 "dry run" run -n -d v.dbc --plugin "$ENGINE:$ARG" -o x in
has "--dry-run shows the pipeline" "$T/out" 'read -> decode -> engine -> pack -> extract => write'

echo "-- twice, with columns of both"
job 0 two --sink csv --cores 1 --unit 1 -d v.dbc --plugin "$ENGINE:$ARG" \
	--plugin "$ENGINE:$MSG:$SIG:$LOW:$HIGH:$SIG:Square" in
eq "the second has a name of its own" "$(json two/_canp/run.json '[p["name"] for p in d["plugins"]]')" \
	"['engine', 'engine-2']"
eq "the first dropped what the second would have" \
	"$(json two/_canp/run.json 'd["plugins"][1]["rows_dropped"]')" 0
eq "both columns are there" "$(head -1 "two/$MSG/part-00000.csv" | grep -o 'Power,Square')" Power,Square

echo "-- determinism"
base=
for how in "--cores 1" "--cores 2" "--cores 8" "--cores 2 --simd scalar" "--cores 2 --simd avx2" \
	"--cores 2 --ring sync" "--cores 2 --inflate isal" "--cores 3 --mem-per-core 64m" "delay"; do
	[ "$how" = delay ] && export CANP_TEST_DELAY_SEED=3 && how="--cores 4"
	case $how in *avx2*) timeout 20 "$APP" caps --simd avx2 >/dev/null 2>&1 || continue ;; esac
	rm -rf pq
	job 0 pq --unit 1 --rowgroup-rows 2048 -d v.dbc --device-column --plugin "$ENGINE:$ARG" $how in
	h=$(dataset_hash pq)
	[ -n "$base" ] || base=$h
	eq "Parquet with a plugin, $how${CANP_TEST_DELAY_SEED:+, random delays}" "$h" "$base"
done
unset CANP_TEST_DELAY_SEED
if $PY -c 'import pyarrow' 2>/dev/null; then
	eq "the column is a nullable double" "$($PY -c "
import pyarrow.parquet as q
f = q.read_table('pq/$MSG/part-00000.parquet').schema.field('Power')
print(f.type, f.nullable)")" "double True"
fi

echo "-- plugins that cannot be"
canp 1 "no such file" run -d v.dbc -o x --plugin ./none.so in
has "it is named" "$T/err" 'plugin ./none.so: cannot load'
echo "no object" >text.so
canp 1 "no shared object" run -d v.dbc -o x --plugin text.so in
has "it is named" "$T/err" 'plugin text.so: cannot load'
canp 1 "no argument" run -d v.dbc -o x --plugin "$ENGINE" in
has "the plugin says what it wants" "$T/err" 'plugin engine: the argument is MESSAGE:SIGNAL'
canp 1 "a signal that is not there" run -d v.dbc -o x --plugin "$ENGINE:$MSG:NoSuch:0:1:$SIG:X" in
has "message and reason are told" "$T/err" "plugin engine: message $MSG: a signal it needs is not there"
canp 1 "a column that is there already" run -d v.dbc -o x --plugin "$ENGINE:$MSG:$SIG:0:1:$SIG:$FACTOR" in
has "the column is named" "$T/err" "message $MSG has a column $FACTOR already"
canp 0 "a message that is not there is no error" run -q -n -d v.dbc --plugin "$ENGINE:NoSuch:a:0:1:b:X" -o x in
canp 0 "but it is said" run -n -d v.dbc --plugin "$ENGINE:NoSuch:a:0:1:b:X" -o x in
has "it wants nothing" "$T/err" 'plugin engine: it wants none of the'
check "nothing was made by refused runs" test ! -e x

cc=$(command -v gcc || command -v cc)
if [ -z "$cc" ]; then
	skip "broken plugins: no C compiler"
	e2e_end
fi
# plugin NAME TEXT: a shared object from the text of a C file.
plugin() {
	{
		echo '#include <errno.h>'
		echo '#include "io/plugin.h"'
		echo "$2"
	} >"$1.c"
	$cc -O1 -fPIC -shared -I"$E2E_ROOT" -o "$1.so" "$1.c" || fail "cannot compile $1.c"
}
start='const struct canp_plugin canp_plugin = { .abi = CANP_PLUGIN_ABI, .name = "bad",'
plugin empty 'int nothing;'
canp 1 "without the symbol" run -d v.dbc -o x --plugin empty.so in
has "the symbol is named" "$T/err" 'plugin empty.so: it exports no canp_plugin'
plugin abi 'const struct canp_plugin canp_plugin = { .abi = 9 };'
canp 1 "another ABI" run -d v.dbc -o x --plugin abi.so in
has "both are named" "$T/err" 'plugin abi.so: made for plugin ABI 9, this program has 1'
plugin nobatch "$start };"
canp 1 "without batch()" run -d v.dbc -o x --plugin nobatch.so in
has "it is said" "$T/err" 'plugin nobatch.so: it has no batch'
plugin shard "static int b(void *s, struct canp_batch *b) { (void)s; (void)b; return 0; }
static int sh(void *c, unsigned i, unsigned n, void **s) { (void)c; (void)i; (void)n; (void)s; return -ENOMEM; }
$start .batch = b, .shard = sh };"
canp 1 "a core it cannot start on" run --cores 2 -d v.dbc -o y --plugin shard.so in
has "it is said" "$T/err" 'plugin bad: it cannot start on a core'
plugin fails "static int m(void *c, const struct canp_plugin_message *p, struct canp_plugin_want *w)
{ (void)c; (void)p; w->batches = true; w->nr_extra = 1; w->extra[0].name = \"more\"; return 0; }
static int b(void *s, struct canp_batch *b)
{ (void)s; for (unsigned i = 0; i < 4; i++) b->keep[i] = 0; b->extra[0][0] = 1; return -EIO; }
$start .message = m, .batch = b };"
job 0 fails --sink csv --cores 1 --unit 1 -d v.dbc --plugin ./fails.so in
eq "a plugin that always fails: all rows are there" "$(json fails/_canp/run.json 'd["rows"]')" \
	"$(json plain/_canp/run.json 'd["rows"]')"
eq "its errors are counted, and it is taken out" \
	"$(json fails/_canp/run.json 'd["plugins"][0]["errors"], d["plugins"][0]["taken_out"]')" "50 True"
eq "its column is null in every row" "$(tail -n +2 "fails/$MSG/part-00000.csv" | grep -vc ',$')" 0
has "it is said" "$T/err" 'plugin bad: 50 errors in a row'
plugin pass "static int b(void *s, struct canp_batch *b) { (void)s; (void)b; return 0; }
$start .batch = b };"
job 0 pass --sink csv --cores 2 --unit 1 -d v.dbc --plugin ./pass.so in
eq "a plugin that does nothing changes nothing" "$(dataset_hash pass)" "$(dataset_hash plain)"
e2e_end
