#!/bin/bash
# soak.sh [BIN]: the long runs, for `make soak`; nothing of this is part of `make check`.
#
#  - 200 CANP files and 200 BLF files of 15 MB: peak memory at 100 and at 200 files within 5 % on one core, and
#    files/s, MB/s, frames/s of the large run
#  - interrupts at random times: what is published is whole and in order
#  - bit flips by many seeds: never a crash, never a hang
#
# CANP_SOAK_DIR (default /var/tmp/canp-soak) keeps the logs between runs (6 GB); CANP_SOAK_FILES,
# CANP_SOAK_SIZE, CANP_SOAK_SEEDS and CANP_SOAK_CORES make it shorter or longer.
. "$(dirname "$0")/e2e_lib.sh"
SOAK=${CANP_SOAK_DIR:-/var/tmp/canp-soak}
FILES=${CANP_SOAK_FILES:-200}
SIZE=${CANP_SOAK_SIZE:-15M}
SEEDS=${CANP_SOAK_SEEDS:-200}
CORES=${CANP_SOAK_CORES:-0}
E2E_TIMEOUT_S=${CANP_SOAK_TIMEOUT_S:-1800}
few=$(((FILES + 1) / 2)) # enough that every table has filled a row group once
need "$GEN"
mkdir -p "$SOAK" || exit 1
cd "$T" || exit 1
logs dbc m.dbc 8
OUT=$SOAK/out.$$ # two soaks may share the logs
trap 'rm -rf "$OUT"; e2e_cleanup' EXIT

say_speed() {
	"$PY" - <<-'END'
		import json
		d = json.load(open("out"))
		s = d["elapsed_s"]
		print("     %d files, %d frames, %.1f s, %d cores, simd %s, ring %s, pages %s" % (
		    d["files"], d["frames"], s, d["cores"], d["simd"], d["ring"], d["hugepages"]))
		print("     %.1f files/s  %.1f MB/s in  %.1f MB/s inflated  %.2f M frames/s  peak %.0f MiB" % (
		    d["files"] / s, d["bytes_in"] / s / 1e6, d["bytes_inflated"] / s / 1e6,
		    d["frames"] / s / 1e6, d["peak_mem_bytes"] / 1048576))
	END
}

echo "-- memory and speed: $FILES files of $SIZE"
for c in canp blf; do
	dir=$SOAK/$c-$FILES-$SIZE
	if [ ! -e "$dir/.done" ]; then
		echo "     generating $dir"
		new=$dir.$$
		rm -rf "$new" && mkdir -p "$new"
		"$GEN" --container $c --files "$FILES" --size "$SIZE" --workload dense --seed 15 --dbc "$new/.dbc" "$new" >gen.log 2>&1 ||
			{ fail "canp-gen: $(tail -n 1 gen.log)"; rm -rf "$new"; continue; }
		touch "$new/.done"
		# Another soak may have been quicker.
		[ -e "$dir/.done" ] || { rm -rf "$dir" && mv "$new" "$dir"; }
		rm -rf "$new"
	fi
	# Paths by list, so that the small job is the first files of the large one.
	find "$dir" -type f ! -name '.*' ! -name '*.dbc' | sort >all
	head -n $few all >some
	# How far several cores run ahead of one another, and so how many pages wait for their turn,
	# depends on timing: one core tells whether memory grows with the job, all of them whether
	# the promise is kept.
	for list in some all; do
		rm -rf "$OUT"
		job 0 "$OUT" -d "$dir/.dbc" --cores 1 @$list || continue 2
		[ $list = all ] || small=$(field peak_mem_bytes)
	done
	large=$(field peak_mem_bytes)
	check "$c: peak memory of $few and $FILES files within 5 % ($small, $large)" \
		test $((large * 100)) -le $((small * 105))
	rm -rf "$OUT"
	job 0 "$OUT" -d "$dir/.dbc" --cores "$CORES" @all || continue
	say_speed
	check "$c: peak memory keeps the promise ($(field peak_mem_bytes))" \
		test "$(field peak_mem_bytes)" -le $((($(field cores) * 256 + 1024) * 1024 * 1024))
	check "$c: every part is whole" logs pqcheck "$OUT"
	eq "$c: frames are accounted for" "$(json out 'd["frames"] - d["frames_decoded"] - d["frames_unknown"] - d["error_frames"] - d["remote_frames"]')" 0
	first=$(dataset_hash "$OUT")
	rm -rf "$OUT"
	CANP_TEST_DELAY_SEED=5 job 0 "$OUT" -d "$dir/.dbc" --cores 3 --ring sync @all
	eq "$c: the same bytes with 3 cores, sync ring and delays" "$(dataset_hash "$OUT")" "$first"
	rm -rf "$OUT"

	echo "-- interrupts at random times: $c"
	RANDOM=15
	total=$(wc -l <all)
	for i in $(seq 1 20); do
		start run --json -d "$dir/.dbc" --cores "$CORES" -o "$OUT" @all
		sleep "$((RANDOM % 6)).$((RANDOM % 10))"
		kill -INT "$pid" 2>/dev/null
		finish
		if [ ! -e "$OUT/_canp/run.json" ]; then
			# Before the job began: nothing may be there.
			if [ $rc -eq 130 ] && [ -z "$(find "$OUT" -name 'part-*' 2>/dev/null)" ]; then
				passed=$((passed + 1))
			else
				fail "interrupt $i of $c: no run.json (exit $rc)"
			fi
		elif ! "$PY" - "$OUT" "$rc" "$total" <<-'END'
			import json, sys
			d, rc, total = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
			run = json.load(open(d + "/_canp/run.json"))
			rep = [json.loads(l) for l in open(d + "/_canp/report.jsonl")]
			status = [r["status"] for r in rep]
			done = status.index("pending") if "pending" in status else len(status)
			assert len(status) == total, "lines of report.jsonl"
			assert rc in (0, 130) and run["complete"] == (rc == 0), "exit %d, complete %s" % (rc, run["complete"])
			assert status == ["ok"] * done + ["pending"] * (total - done), "files in order"
			assert run["rows"] == sum(r["frames_decoded"] for r in rep[:done]), "rows"
		END
		then
			fail "interrupt $i of $c (exit $rc): $(tail -n 2 err)"
		elif ! logs pqcheck "$OUT" >/dev/null || [ -n "$(strangers "$OUT")" ]; then
			fail "interrupt $i of $c: parts"
		else
			passed=$((passed + 1))
		fi
		rm -rf "$OUT"
	done
	echo "     20 interrupts"
done

echo "-- $SEEDS seeds of bit flips"
cat >lines <<END
canp in/a.canp seed=1 frames=4000
blf in/b.blf seed=2 frames=4000
candump in/c.log seed=3 frames=4000
candump in/d.log.gz seed=4 frames=4000 gz=1
END
logs make <lines
E2E_TIMEOUT_S=60
bad=0
for seed in $(seq 1 "$SEEDS"); do
	rm -rf o z && cp -r in z
	for f in z/*; do logs flip "$f" "$seed" $((1 + seed % 40)); done
	timeout -k 5 60 "$APP" run --json --raw -d m.dbc -o o z >out 2>err
	rc=$?
	if [ $rc -ne 0 ] && [ $rc -ne 2 ]; then
		bad=$((bad + 1))
		fail "seed $seed: exit $rc: $(tail -n 1 err)"
	elif ! logs pqcheck o >/dev/null; then
		bad=$((bad + 1))
		fail "seed $seed: broken part"
	fi
done
eq "seeds with a crash, a hang or a broken part" $bad 0
e2e_end
