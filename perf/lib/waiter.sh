#!/bin/sh
# waiter.sh READY PID [SEC]: makes the file READY, then lives until process PID is gone or SEC seconds
# are over. perf starts it as its workload after all events are attached.
: >"$1"
if [ -n "$3" ]; then
	exec timeout "$3" tail --pid="$2" -s 0.05 -f /dev/null
fi
exec tail --pid="$2" -s 0.05 -f /dev/null
