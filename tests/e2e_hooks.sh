#!/bin/bash
# e2e_hooks.sh [BIN]: commands that a job starts for what it publishes and for what is damaged.
. "$(dirname "$0")/e2e_lib.sh"
cd "$T" || exit 1
export T

logs dbc m.dbc 8
cat >lines <<END
canp in/a.canp seed=1 frames=3000 serial=LOG-A src=0
blf in/b.blf seed=2 frames=3000 src=1
candump in/c.log seed=3 frames=3000 bus=2 src=2
END
logs make <lines
size=$(stat -c %s in/a.canp)
head -c $((size * 2 / 3)) in/a.canp >in/cut.canp
: >empty.canp

echo "-- published parts"
job 2 plain -d m.dbc in empty.canp
job 2 ds -d m.dbc in empty.canp \
	--on-publish 'echo "$CANP_EVENT|$CANP_OUT|$CANP_FILE|$CANP_PART|$CANP_TABLE|$CANP_ROWS|$CANP_BYTES" >>"$T/pub"' \
	--on-quarantine 'echo "$CANP_EVENT|$CANP_FILE|$CANP_STATUS|$CANP_REASON|$CANP_FAULTS" >>"$T/quar"'
eq "E39 hook: one for each published part" "$(wc -l <pub)" "$(field parts)"
bad=0
while IFS='|' read -r event dir file part table rows bytes; do
	[ "$event" = publish ] && [ "$dir" = ds ] && [ "$file" = "ds/$part" ] && [ -f "$file" ] &&
		[ "${part%%/*}" = "$table" ] && [ "$rows" -gt 0 ] && [ "$bytes" = "$(stat -c %s "$file")" ] ||
		bad=$((bad + 1))
done <pub
eq "E39 hook: its environment names the part, which is there" "$bad" 0
eq "E39 hook: one for each damaged or failed input" "$(sort -t"|" -k2 quar | cut -d'|' -f1-3 | tr '\n' ' ')" \
	"quarantine|empty.canp|failed quarantine|in/cut.canp|damaged "
has "E39 hook: the reason is told" quar "cut.canp.damaged.TRUNCATED.1"
eq "E39 hooks change nothing about the dataset" "$(dataset_hash ds)" "$(dataset_hash plain)"
eq "E39 run.json counts the hooks" "$(json ds/_canp/run.json \
	'[d["hooks"]["publish"][k] for k in ("run", "failed", "lost")] + [d["hooks"]["quarantine"]["run"]]')" \
	"[$(wc -l <pub), 0, 0, 2]"
eq "E39 run.json without hooks says nothing of them" "$(json plain/_canp/run.json '"hooks" in d')" False

echo "-- hooks that fail, hang or are many"
job 2 fails -d m.dbc in empty.canp --on-publish 'echo broken >&2; exit 3' --hook-jobs 1
eq "E39 a failing hook is counted" "$(json fails/_canp/run.json 'd["hooks"]["publish"]["failed"] == d["hooks"]["publish"]["run"] > 0')" True
has "E39 a failing hook is told" err "hook on-publish: exit code 3: broken"
eq "E39 a failing hook does not change the dataset" "$(dataset_hash fails)" "$(dataset_hash plain)"
job 2 hangs -d m.dbc in empty.canp --on-quarantine 'sleep 991 & sleep 992' --hook-timeout 500ms
eq "E39 a hook that hangs is ended" "$(json hangs/_canp/run.json 'd["hooks"]["quarantine"]["failed"]') $(ps -eo args | grep -c '^sleep 99[12]')" "2 0"
job 2 many -d m.dbc in empty.canp --hook-jobs 3 --on-publish \
	'mkdir "$T/now.$$"; ls -d "$T"/now.* | wc -l >>"$T/seen"; sleep 0.05; rmdir "$T/now.$$"'
check "E39 never more hooks at once than asked for" test "$(sort -n seen | tail -n1)" -le 3
eq "E39 all of them ran" "$(wc -l <seen)" "$(json many/_canp/run.json 'd["hooks"]["publish"]["run"]')"
job 0 quiet -d m.dbc in/b.blf --on-publish 'echo to stdout'
check "E39 what a hook prints stays out of the report" json out 'd["parts"]'
canp 64 "E39 --hook-jobs out of range" run -o x --hook-jobs 0 in empty.canp

e2e_end
