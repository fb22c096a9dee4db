#!/bin/sh
# prometheus.sh [BIN]: the metrics of a running job through Prometheus itself.
#
#  - `promtool check metrics` and the OpenMetrics parser of python3-prometheus-client read the text
#  - a Prometheus server scrapes the job over loopback, and its query interface answers with the
#    job's values
#
# An installed prometheus is used; otherwise the package is fetched and unpacked outside the system
# (installing it would start a server on port 9090). Skips with the reason where that cannot be done.
here=$(cd "$(dirname "$0")" && pwd)
bin=$(cd "${1:-${CANP_BIN:-build/bin}}" && pwd) || exit 1
py=/usr/bin/python3
[ -x "$py" ] || py=python3
passed=0
failed=0
job=
server=
tmp=

finish() {
	echo "prometheus: $passed passed, $failed failed, ${1:-0} skipped"
	[ "$failed" -eq 0 ]
	exit
}

skip() {
	echo "SKIP prometheus: $1"
	finish 1
}

clean() {
	[ -z "$job" ] || kill -KILL "$job" 2>/dev/null
	[ -z "$server" ] || kill -KILL "$server" 2>/dev/null
	[ -z "$tmp" ] || rm -rf "$tmp"
}

# check TEXT COMMAND...: shows the output when it fails.
check() {
	text=$1
	shift
	if timeout -k 5 120 "$@" >"$tmp/log" 2>&1; then
		passed=$((passed + 1))
		echo "ok   $text"
	else
		echo "FAIL $text (status $?):"
		cut -c1-300 "$tmp/log" | tail -n 20
		failed=$((failed + 1))
	fi
}

# The programs: installed, or unpacked into a folder that stays for the next time.
stage() {
	command -v prometheus >/dev/null && command -v promtool >/dev/null && return
	dir=${CANP_INTEROP_DIR:-/var/tmp/canp-interop-cache}/prometheus
	if [ ! -x "$dir/usr/bin/prometheus" ]; then
		command -v apt-get >/dev/null || skip "no prometheus here and no apt-get"
		mkdir -p "$dir.new.$$" || exit 1
		(cd "$dir.new.$$" && timeout 300 apt-get download -qq prometheus &&
			dpkg -x prometheus_*.deb . && rm -f prometheus_*.deb) >/dev/null 2>&1 || {
			rm -rf "$dir.new.$$"
			skip "the package prometheus cannot be had (apt-get download)"
		}
		mv -T "$dir.new.$$" "$dir" 2>/dev/null || rm -rf "$dir.new.$$"
	fi
	PATH=$dir/usr/bin:$PATH
}

stage
prometheus --version >/dev/null 2>&1 || skip "prometheus does not run here"
tmp=$(mktemp -d) || exit 1
trap clean EXIT
trap 'exit 143' INT TERM
export XDG_RUNTIME_DIR="$tmp"

"$bin/canp-gen" --files 400 --size 32k --seed 3 --dbc "$tmp/v.dbc" "$tmp/logs" 2>/dev/null || exit 1
# One core and units of 20 ms each: some eight seconds to look at.
CANP_TEST_SLOW_SHARD=0 "$bin/canp-appliance" run --cores=1 --unit=4k --metrics=tcp:127.0.0.1:0 \
	-d "$tmp/v.dbc" -o "$tmp/d" "$tmp/logs" >"$tmp/out" 2>"$tmp/err" &
job=$!
i=0
until grep -q '^canp-appliance: metrics at tcp:' "$tmp/err" || [ $i -gt 600 ]; do
	sleep 0.05
	i=$((i + 1))
done
where=$(sed -n 's/^canp-appliance: metrics at tcp://p' "$tmp/err")
[ -n "$where" ] || { echo "FAIL the job serves no metrics:"; cat "$tmp/err"; exit 1; }

cat >"$tmp/fetch.py" <<'END'
import sys, urllib.request
r = urllib.request.Request("http://%s/metrics" % sys.argv[1], headers={"Accept": sys.argv[2]})
with urllib.request.urlopen(r, timeout=30) as f:
    sys.stdout.write(f.read().decode())
END
"$py" "$tmp/fetch.py" "$where" text/plain >"$tmp/text"
"$py" "$tmp/fetch.py" "$where" 'application/openmetrics-text;version=1.0.0' >"$tmp/open"
check "G18 promtool check metrics accepts the text of a running job" \
	sh -c "promtool check metrics <'$tmp/text'"

if "$py" -c 'import prometheus_client' 2>/dev/null; then
	cat >"$tmp/parse.py" <<'END'
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families
f = {x.name: x for x in text_string_to_metric_families(open(sys.argv[1]).read())}
assert f["canp_job_files_planned"].samples[0].value == 400
assert f["canp_frames"].type == "counter" and f["canp_file_duration_seconds"].type == "histogram"
assert f["canp_operator_rows_out"].samples[0].labels == {"shard": "0", "operator": "read"}
assert f["canp_shard_busy_seconds"].unit == "seconds"
print(len(f))
END
	check "G18 a strict OpenMetrics parser accepts it" "$py" "$tmp/parse.py" "$tmp/open"
else
	echo "skip a strict OpenMetrics parser: no python3-prometheus-client"
fi

port=$("$py" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >"$tmp/prometheus.yml" <<END
global: {scrape_interval: 250ms, scrape_timeout: 250ms}
scrape_configs:
  - job_name: canp
    static_configs: [{targets: ['$where']}]
END
check "G18 promtool accepts the configuration" promtool check config "$tmp/prometheus.yml"
prometheus --config.file="$tmp/prometheus.yml" --storage.tsdb.path="$tmp/tsdb" \
	--web.listen-address="127.0.0.1:$port" --log.level=error >"$tmp/prometheus.log" 2>&1 &
server=$!

cat >"$tmp/query.py" <<'END'
import json, sys, time, urllib.parse, urllib.request
base = "http://127.0.0.1:%s/api/v1/query?" % sys.argv[1]

def query(q):
    try:
        with urllib.request.urlopen(base + urllib.parse.urlencode({"query": q}), timeout=10) as f:
            r = json.load(f)["data"]["result"]
    except OSError:
        return None
    return [(x["metric"], float(x["value"][1])) for x in r]

# Until the server is up and has seen the job at work.
end = time.time() + 90
while True:
    seen = query("last_over_time(canp_frames_total[5m])")
    if seen and seen[0][1] > 0 and query("count_over_time(canp_frames_total[5m])")[0][1] >= 3:
        break
    assert time.time() < end, ("no samples", seen, query("up"))
    time.sleep(0.2)
assert seen[0][0]["job"] == "canp"
assert query("last_over_time(canp_job_files_planned[5m])")[0][1] == 400
assert query("resets(canp_frames_total[5m])")[0][1] == 0
busy = query("last_over_time(canp_shard_busy_seconds_total[5m])")
assert len(busy) == 1 and busy[0][0]["shard"] == "0" and busy[0][1] > 0
ops = query("last_over_time(canp_operator_rows_out_total[5m])")
assert {"read", "decode", "extract"} <= {m["operator"] for m, _ in ops}
q = query("histogram_quantile(0.5, sum by (le) (last_over_time(canp_file_duration_seconds_bucket[5m])))")
assert 0 <= q[0][1] < 600, q
print(seen[0][1], "frames seen")
END
check "G18 a Prometheus server scrapes the job and answers with its values" \
	"$py" "$tmp/query.py" "$port"
[ "$failed" -eq 0 ] || tail -n 5 "$tmp/prometheus.log"
kill -TERM "$server" 2>/dev/null
wait "$server" 2>/dev/null
server=
# An orderly end; what was not begun is left out.
kill -INT "$job" 2>/dev/null
wait "$job"
job=
finish 0
