#!/bin/bash
# e2e_observe.sh [BIN]: watching a running job: canp-top, status, metrics, traces, what the service
# manager hears, and the report. Watching must change nothing in what the job writes.
. "$(dirname "$0")/e2e_lib.sh"
cd "$T" || exit 1
TOP=$BIN/canp-top
export XDG_RUNTIME_DIR=$T/live
mkdir live

timeout 100 "$BIN/canp-gen" --files 60 --size 48k --seed 7 --dbc v.dbc logs 2>/dev/null ||
	fail "canp-gen"
# Sixty units of at least 20 ms each, so that there is something to watch.
slow() {
	CANP_TEST_SLOW_SHARD=0 start run --cores=1 --unit=4k -d v.dbc "$@"
}

running() {
	"$TOP" --once --json >look 2>/dev/null && "$PY" - <<-'END'
		import json, sys
		j = json.load(open("look"))["jobs"]
		sys.exit(not (len(j) == 1 and j[0]["state"] == "running" and j[0]["files"] >= 2))
	END
}

# get ADDRESS PATH [ACCEPT]: one HTTP request; the body on standard output, the status on error.
get() {
	"$PY" - "$@" <<-'END'
		import http.client, socket, sys
		where, path = sys.argv[1:3]
		accept = sys.argv[3] if len(sys.argv) > 3 else "text/plain"
		if where.startswith("unix:"):
		    c = http.client.HTTPConnection("localhost")
		    c.sock = socket.socket(socket.AF_UNIX)
		    c.sock.connect(where[5:])
		else:
		    c = http.client.HTTPConnection(where[4:])
		c.request("GET", path, headers={"Accept": accept})
		r = c.getresponse()
		sys.stdout.write(r.read().decode())
		sys.stderr.write(str(r.status))
	END
}

echo "-- a job that nobody watches, for comparison"
job 0 plain --no-live --cores=1 --unit=4k -d v.dbc logs
eq "--no-live leaves no page" "$(ls live)" ""
plain=$(dataset_hash plain)

echo "-- while a job runs"
slow -o d --metrics=tcp:127.0.0.1:0 logs
check "A35 canp-top --json sees the job and its files" until_true 30 running
eq "the page is for its owner only" "$(stat -c %a live/canp-$pid.live)" 600
check "B19 D41 F23 the page counts tasks, units and each operator" "$PY" - <<'END'
import json
j = json.load(open("look"))["jobs"][0]
s = j["shards"][0]
ops = {o["name"]: o for o in s["operators"]}
assert j["alive"] and j["files_total"] == 60 and len(j["job"]) == 32
assert len(j["shards"]) == 1 and s["units"] >= 2 and 0 <= s["load"] <= 1
assert list(ops)[0] == "read" and list(ops)[-1] == "write"
assert ops["decode"]["rows_out"] > 0 and ops["decode"]["batches_out"] > 0
assert ops["read"]["polls"] >= ops["read"]["idle_polls"] > 0
assert {p["name"] for p in s["pools"]} >= {"pages", "staging"}
assert j["rss_bytes"] > 0 and j["threads"] >= 2
END
timeout 20 "$TOP" --once --pid "$pid" >top.txt
has "canp-top shows the job" top.txt "^job .* pid $pid  running"
has "canp-top shows a line for the core" top.txt '^0 .*\[[| ]{20}\]'
has "canp-top shows the stages" top.txt '^decode '
has "canp-top shows the memory" top.txt '^pages '
"$APP" status --stall-after=1h >status.txt
eq "G22 status of a running job is 0" $? 0
has "G22 status says how far it is" status.txt "^ok: pid $pid, running: .* of 60 files"
"$APP" status --job d --quiet --stall-after=1h
eq "G22 status finds the job by its dataset" $? 0
where=$(sed -n 's/^canp-appliance: metrics at //p' err)
get "$where" /metrics 'application/openmetrics-text;version=1.0.0' >om 2>code
eq "G18 a scrape over loopback is answered" "$(cat code)" 200
eq "G18 OpenMetrics ends with EOF" "$(tail -n 1 om)" "# EOF"
has "G18 it counts frames" om '^canp_frames_total [1-9]'
has "G18 it has a line for each operator" om '^canp_operator_rows_out_total\{shard="0",operator="decode"\} [1-9]'
get "$where" /metrics >prom 2>/dev/null
has "G19 durations of files are a histogram" prom '^canp_file_duration_seconds_bucket\{le="\+Inf"\} [1-9]'
get "$where" /healthz >/dev/null 2>code
eq "G22 /healthz answers 200" "$(cat code)" 200
get "$where" /readyz >/dev/null 2>code
eq "G22 /readyz answers 200" "$(cat code)" 200
kill -STOP "$pid"
sleep 1.3
"$APP" status --pid "$pid" --stall-after=1s >status.txt
eq "G22 a job that gives no sign of life is 3" $? 3
has "G22 and it is called stalled" status.txt '^stalled: '
kill -CONT "$pid"
finish
eq "the watched job ends well" "$rc" 0
eq "the page is gone after the job" "$(ls live)" ""
eq "the watched dataset is the unwatched one" "$(dataset_hash d)" "$plain"

echo "-- after a job"
"$APP" status --job d >status.txt
eq "G22 status of a dataset that is done is 0" $? 0
has "G22 and it says so" status.txt '^ok: the job is done'
"$APP" status --pid 1 >/dev/null
eq "G22 no such job is 3" $? 3
"$APP" status --job logs >/dev/null
eq "G22 a folder without a job is 3" $? 3
"$TOP" --once >top.txt
has "canp-top without jobs says so" top.txt 'no job is running'
"$TOP" --once --json >look
eq "canp-top --json without jobs is an empty list" "$(cat look)" '{"jobs":[]}'

echo "-- a job that dies"
slow -o killed logs
until_true 30 running
kill -KILL "$pid"
finish
"$APP" status --job killed >status.txt
eq "G22 a dataset whose job died is 1" $? 1
"$APP" status --pid "$pid" >status.txt
eq "G22 a process that died in its job is 1" $? 1
has "G22 and it says so" status.txt '^failed: .*died'
"$TOP" --once >top.txt
has "canp-top leaves dead jobs out" top.txt 'no job is running'
rm -f live/*
slow -o stopped logs
until_true 30 running
kill -INT "$pid"
finish
eq "an interrupted job leaves no page" "$(ls live)" ""
"$APP" status --job stopped >/dev/null
eq "G22 a dataset that was interrupted is 1" $? 1

echo "-- metrics in a file and on a unix socket"
slow -o f --metrics=file:canp.prom logs
until_true 30 grep -q '^canp_files_total [1-9]' canp.prom
finish
has "G18 the last state is in the file" canp.prom '^canp_job_state\{state="done"\} 1'
has "G18 all files are counted" canp.prom '^canp_files_total 60'
eq "G18 nothing else is left beside it" "$(ls canp.prom*)" canp.prom
slow -o u --metrics=unix:"$T"/m.sock --restrict-ops logs
check "G18 a scrape over a unix socket is answered" until_true 30 get unix:m.sock /metrics
finish
eq "G18 the socket is removed" "$(ls m.sock 2>/dev/null)" ""
for bad in tcp:0.0.0.0:1 tcp:x udp:1 unix: file: file:/nowhere/x 9090; do
	canp 1 "G18 --metrics=$bad is refused" run -o never -d v.dbc --metrics=$bad logs
done
eq "before any work is done" "$(ls -d never 2>/dev/null)" ""

echo "-- traces"
chrome='
import json, sys
ev = json.load(open("t.json"))["traceEvents"]
spans = [e for e in ev if e["ph"] == "X"]
names = [e["name"] for e in spans]
assert names.count("unit") == names.count("file") == 60, names
assert {"job", "boot", "run", "finish"} <= set(names)
tracks = {e["args"]["name"] for e in ev if e["name"] == "thread_name"}
assert "control" in tracks and any(t.startswith("shard 0") for t in tracks), tracks
parts = {}
for e in ev:
    if e["ph"] in "be":
        parts.setdefault((e["name"], e["id"]), []).append(e["ph"])
assert parts and all(v.count("b") == v.count("e") for v in parts.values())
units = [e for e in spans if e["name"] == "unit"]
for f in (e for e in spans if e["name"] == "file"):
    assert any(u["tid"] == f["tid"] and u["ts"] <= f["ts"] + 1e-3 and
               f["ts"] + f["dur"] <= u["ts"] + u["dur"] + 1e-3 for u in units), f
assert any(e["ph"] == "C" for e in ev)
'
job 0 t1 --cores=1 --unit=4k -d v.dbc --trace=t.json logs
check "G21 a Chrome trace holds units, files in them, parts and tracks" "$PY" -c "$chrome"
eq "a traced job writes the same dataset" "$(dataset_hash t1)" "$plain"
otlp='
import json
spans = []
for line in open("t.otlp"):
    for rs in json.loads(line)["resourceSpans"]:
        assert any(a["key"] == "service.name" for a in rs["resource"]["attributes"])
        for ss in rs["scopeSpans"]:
            spans += ss["spans"]
assert sum(s["name"] == "file" for s in spans) == 60
ids = set()
for s in spans:
    assert s["traceId"] == "0af7651916cd43dd8448eb211c80319c", s
    assert len(s["spanId"]) == 16 and int(s["spanId"], 16) and s["spanId"] not in ids
    ids.add(s["spanId"])
    assert int(s["endTimeUnixNano"]) >= int(s["startTimeUnixNano"]) > 1600000000 * 10**9
    assert s["kind"] == 1 and s["name"]
parents = {s["parentSpanId"] for s in spans}
assert "b7ad6b7169203331" in parents and parents <= ids | {"b7ad6b7169203331"}
'
TRACEPARENT=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 \
	job 0 t2 --cores=1 --unit=4k -d v.dbc --trace=t.otlp logs
check "G21 an OTLP trace has all fields and continues the caller's trace" "$PY" -c "$otlp"
slow -o t3 --trace=t3.json --trace-paused logs
until_true 30 running
eq "G21 a paused trace records nothing" "$("$PY" -c '
import json; j = json.load(open("look"))["jobs"][0]; print(j["tracing"], j["trace_events"])')" "False 0"
kill -USR2 "$pid"
check "G21 SIGUSR2 switches it on at run time" until_true 30 eval \
	'"$TOP" --once --json | grep -q "\"tracing\":true"'
finish
eq "G21 the job goes on" "$rc" 0
n=$("$PY" -c 'import json; print(sum(e["name"] == "unit" for e in json.load(open("t3.json"))["traceEvents"]))')
check "G21 what came later is in the trace ($n units)" [ "$n" -ge 1 -a "$n" -lt 60 ]
canp 1 "a trace that cannot be written is refused before any work" run -o never -d v.dbc \
	--trace=/nowhere/t.json logs

echo "-- the service manager"
cat >manager.py <<'END'
import os, socket, subprocess, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind("notify")
env = dict(os.environ, NOTIFY_SOCKET=os.path.abspath("notify"), WATCHDOG_USEC="2000000",
           CANP_TEST_SLOW_SHARD="0")
rc = subprocess.run(sys.argv[1:], env=env, timeout=100).returncode
s.setblocking(False)
heard = []
try:
    while True:
        heard.append(s.recv(4096).decode())
except BlockingIOError:
    pass
print(rc, *heard, sep="\n")
END
"$PY" manager.py "$APP" run -q -o n --cores=1 --unit=4k -d v.dbc logs >heard 2>err
eq "G22 the job under a manager ends well" "$(head -n 1 heard)" 0
eq "G22 the manager hears READY once" "$(grep -c '^READY=1$' heard)" 1
check "G22 the watchdog is fed ($(grep -c '^WATCHDOG=1$' heard) times)" grep -q '^WATCHDOG=1$' heard
eq "G22 STOPPING comes once" "$(grep -c '^STOPPING=1$' heard)" 1
has "G22 the status is told" heard '^STATUS=.*files'
check "G22 READY comes before STOPPING" awk '/^READY/ { r = 1 } /^STOPPING/ { exit !r }' heard

echo "-- the report"
check "G23 run.json has the statistics of tasks, pool, memory, operators and shards" "$PY" - <<'END'
import json
d = json.load(open("d/_canp/run.json"))
p = d["performance"]
t, pool, m = p["tasks"], p["pool"], p["memory"]
assert t["total_tasks"] == t["completed_tasks"] == 60 and t["failed_tasks"] == 0
assert t["completed_percent"] == 100 and t["avg_execution_time_ms"] > 0
assert t["p50_execution_time_ms"] <= t["p99_execution_time_ms"] <= t["max_execution_time_ms"]
assert pool["tasks_completed"] == 60 and pool["avg_task_time_ms"] >= 20
assert 0 <= pool["queue_utilization"] <= 100 and 0 < pool["worker_utilization"] <= 100
for k in ("total_allocations", "total_deallocations", "peak_memory_usage", "total_memory_blocks"):
    assert m[k] > 0, k
assert m["current_memory_usage"] == 0 and m["total_allocations"] == m["total_deallocations"]
assert 0 <= m["block_pool_hit_rate"] <= 1 and 0 <= m["memory_reuse_rate"] <= 1
assert m["recycled_memory_blocks"] <= m["total_allocations"]
ops = {o["name"]: o for o in p["operators"]}
assert [o["kind"] for o in p["operators"]][0] == "source"
assert ops["decode"]["items_out"] == ops["write"]["items_in"] == d["rows"], (ops, d["rows"])
for o in p["operators"]:
    for k in ("items_in", "batches_in", "busy_ns", "wait_ns", "busy_percent", "queue_depth"):
        assert o[k] >= 0, k
assert ops["read"]["busy_ns"] > 0 and ops["write"]["busy_ns"] > 0
s = p["shards"]
assert len(s) == 1 and s[0]["files_percent"] == 100 and s[0]["frames"] == d["frames"]
assert s[0]["parts"] > 0
END
printf 'no log' >bad.canp
job 2 r2 --cores=1 -d v.dbc logs/*1.* bad.canp
eq "G23 a failed file is a failed task" \
	"$(json r2/_canp/run.json "d['performance']['tasks']['failed_tasks']")" 1

echo "-- canp-top on a terminal"
cat >window.py <<'END'
import os, pty, select, signal, sys, termios, time, fcntl, struct
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 20, 60, 0, 0))
out = b""
def take(s):
    global out
    end = time.time() + s
    while time.time() < end:
        if select.select([fd], [], [], 0.05)[0]:
            try:
                out += os.read(fd, 65536)
            except OSError:
                return
while b"q quits" not in out and b"pages" not in out:
    take(0.2)
mark = len(out)
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 6, 30, 0, 0))
take(1.5)
small = out[mark:]
os.write(fd, b"q")
take(1)
_, status = os.waitpid(pid, 0)
assert os.WEXITSTATUS(status) == 0, status
assert out.startswith(b"\x1b[?1049h") and out.rstrip().endswith(b"\x1b[?1049l")
# The pictures that were drawn whole, without what the terminal adds.
pictures = small.split(b"\x1b[H")[1:-1]
assert pictures, small
lines = pictures[-1].replace(b"\x1b[K", b"").replace(b"\x1b[J", b"").replace(b"\r", b"").split(b"\n")
assert 1 < len(lines) <= 6 and all(len(l) <= 30 for l in lines), lines
END
slow -o tty logs
until_true 30 running
check "canp-top follows the window and quits with q" timeout 60 "$PY" window.py "$TOP" -i 200ms
finish
eq "the job goes on" "$rc" 0
e2e_end
