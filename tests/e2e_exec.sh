#!/bin/bash
# e2e_exec.sh [BIN]: canp-exec as a user meets it, beside GNU parallel and xargs where they are
# installed: the same arguments must give the same output, the same exit status and the same job log.
. "$(dirname "$0")/e2e_lib.sh"
cd "$T" || exit 1
X=$BIN/canp-exec
export TMPDIR=$T
PAR=$(command -v parallel)
[ -z "$PAR" ] || "$PAR" --version 2>/dev/null | grep -q '^GNU parallel' || PAR=
mkdir home && [ -z "$PAR" ] || HOME=$T/home "$PAR" --will-cite --version >/dev/null 2>&1

x() { timeout 120 "$X" "$@"; }

# same TEXT INPUT ARGUMENT...: output and exit status as GNU parallel with the same arguments.
same() {
	local text=$1 input=$2 have want rc1 rc2
	shift 2
	if [ -z "$PAR" ]; then
		skip "E39 $text: GNU parallel not found"
		return
	fi
	have=$(printf "$input" | x "$@" 2>/dev/null; echo "rc $?")
	want=$(printf "$input" | HOME=$T/home timeout 120 "$PAR" --no-notice "$@" 2>/dev/null; echo "rc $?")
	eq "E39 as GNU parallel: $text" "$have" "$want"
}

echo "-- arguments and replacement strings"
files='a.txt\nb/c.d.txt\nx y\n/abs/.hid\nno\n'
same "{} {.} {/} {//} {/.}" "$files" -k echo {} {.} {/} {//} {/.}
same "{#} {%} with one job" "$files" -j1 echo {#} {%}
same "arguments are appended" 'a b\n$HOME\nit'"'"'s\n"q"\n' -k echo
same "quoting inside a command line" 'a b\n*\n' -k 'echo pre{}post | cat'
same "::: on the command line" '' -k echo ::: 1 2 3
same "two sources make all combinations" '' -k echo {1}-{2} ::: a b c ::: 1 2
same "-n with positions" '' -k -n2 echo {2} {1} ::: 1 2 3 4
same "-N" '' -k -N3 echo ::: 1 2 3 4 5 6 7
same "-L" '1\n2\n3\n4\n5\n' -k -L2 echo
same "-X spreads over the jobs" '' -k -X -j2 echo ::: 1 2 3 4 5
same "-X repeats a word" '' -k -X -j1 echo a{}b ::: 1 2 3
same "-0" 'a\nb\0c d\0' -k -0 echo
same "-d" 'a,b c,d' -k -d, echo
same "-I" 'a\nb\n' -k -I@ echo x@y
same "commands from standard input" 'echo one\nexit 3\necho two | tr o 0\n' -k
same "no input, no command" '' echo
same "an empty line is an argument" 'a\n\nb\n' -k echo x{}x
same "--tag" '' -k --tag echo ::: q r
same "--dry-run" '' -k --dry-run echo '{} and {.}' ::: 'a b.c' "it's"
same "number of failures is the exit status" '' -j1 'exit {}' ::: 0 3 1
same "--halt soon,fail=1" '' -j1 --halt soon,fail=1 'echo {}; exit {}' ::: 0 3 1
same "--halt now,fail=2" '' -j1 --halt now,fail=2 'echo {}; exit {}' ::: 1 0 7 3
same "--halt now,fail=30%" '' -j1 --halt now,fail=30% 'exit {}' ::: 5 0 7 0 1
same "--halt now,done=2" '' -j1 --halt now,done=2 'exit {}' ::: 5 0 7 0 1
same "--halt soon,success=1" '' -j1 --halt soon,success=1 'echo {}; exit {}' ::: 1 0 7
same "--halt never" '' -j1 --halt never 'echo {}; exit {}' ::: 1 0 7
same "more than 100 failures" '' -j4 'false #' $(seq 0 | sed 's/.*//') ::: $(seq 120)
same "a signal" '' -j1 'kill -9 $$ #' ::: 1
same "-a" '' -k -a /etc/hostname echo
seq 3 >three && seq 7 8 >two
same "::::" '' -k echo {1}{2} :::: three :::: two
same "large output keeps order" '' -k -j2 'seq {} 60000' ::: 1 2 3
same "stdout and stderr are apart" '' -k 'echo out; echo err >&2' ::: 1

if command -v xargs >/dev/null; then
	eq "E39 as xargs -n1" "$(seq 100 | x -k echo a)" "$(seq 100 | xargs -n1 echo a)"
	eq "E39 as xargs -0 -I" "$(printf 'a b\0c' | x -k -0 -I% --shell=never echo %-%)" \
		"$(printf 'a b\0c' | xargs -0 -I% echo %-%)"
	eq "E39 as xargs: all of it once" "$(seq 5000 | x -X -j1 -k echo | wc -w)" 5000
else
	skip "E39 xargs not found"
fi
eq "E39 {%} is a free slot number" \
	"$(x -j3 'echo {%}; sleep 0.05' ::: $(seq 12) | sort -u | tr '\n' ' ')" "1 2 3 "
eq "E01 without a shell words are exact" "$(x -k --shell=never printf '%s|' '$HOME *' {} ::: 'a  b' '"')" \
	'$HOME *|a  b|$HOME *|"|'
eq "E39 an endless input is used as it comes" "$(yes 2>/dev/null | x -j2 echo 2>/dev/null | head -n 20 | sort -u)" y
{ echo first; sleep 1; echo second; } | x --line-buffer echo | { read -r l; echo "$l"; } >early
eq "E39 a command starts before the input ends" "$(cat early)" first

echo "-- exit status, time-outs, retries"
x --timeout 0.2 sleep ::: 100 2>err
eq "E21 --timeout fails the job" $? 1
has "E21 --timeout is told" err "timed out: sleep 100"
x --timeout 0.3 'sleep 333 & setsid sleep 334 & sleep 335' ::: 1 2>/dev/null
n=$(ps -eo args | grep -c '^sleep 33[345]')
eq "E21 --timeout ends everything it started" "$n" 0
x -j1 --timeout 500% 'sleep {}' ::: 0.05 0.05 0.05 0.05 100 2>err
eq "E21 --timeout in percent of the median" $? 1
x --retries 3 "echo try >>tries; false" ::: 1
eq "E39 --retries" "$? $(wc -l <tries)" "1 3"
x --retries 5 "echo >>tries2; [ \$(wc -l <tries2) -ge 3 ] #" ::: 1
eq "E39 --retries ends with success" "$? $(wc -l <tries2)" "0 3"
x --shell=never ./nothing-here ::: 1 2>err
eq "E37 a program that does not exist" $? 1
has "E37 it is named, with the reason" err "cannot execute './nothing-here'.*errno 2"
PATH=/usr/bin:/bin:/nowhere x --shell=never nosuchprogram ::: 1 2>err
has "E37 PATH is told" err "PATH=/usr/bin:/bin:/nowhere"
x --frobnicate ::: 1 2>err
eq "E39 unknown option" $? 64
x --halt sometimes echo ::: 1 2>err
eq "E39 bad --halt" $? 64
x --resume echo ::: 1 2>err
eq "E39 --resume without --joblog" $? 64
x -a none echo 2>err
eq "E39 an input that is not there" $? 255
x --help >out
eq "E39 --help" "$? $(grep -c keep-order out)" "0 1"
start=$(date +%s%N)
x -j4 --delay 0.1 true ::: 1 2 3 4
check "E39 --delay" test $((($(date +%s%N) - start) / 1000000)) -ge 300

echo "-- job log and resume"
x -k --joblog log 'exit {}' ::: 0 4 0
x --joblog log2 'kill -15 $$ #' ::: 1
eq "E39 job log: header" "$(head -n1 log)" \
	"$(printf 'Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand')"
eq "E39 job log: status and command" "$(tail -n +2 log | sort -n | cut -f1,2,5-)" \
	"$(printf '1\t:\t0\t0\t0\t0\texit 0\n2\t:\t0\t0\t4\t0\texit 4\n3\t:\t0\t0\t0\t0\texit 0')"
eq "E39 job log: signal" "$(tail -n 1 log2 | cut -f7,8)" "$(printf '0\t15')"
if [ -n "$PAR" ]; then
	cols='{ $3 = $4 = ""; print }'
	HOME=$T/home "$PAR" --no-notice -k --joblog plog 'echo "{}"; exit {#}' ::: 'a b' c >/dev/null
	x -k --joblog xlog 'echo "{}"; exit {#}' ::: 'a b' c >/dev/null
	eq "E39 job log as GNU parallel's" "$(sort -n xlog | awk -F'\t' "$cols")" \
		"$(sort -n plog | awk -F'\t' "$cols")"
	HOME=$T/home "$PAR" --no-notice -k --joblog xlog --resume echo ::: 1 2 3 >out
	eq "E39 GNU parallel resumes from our job log" "$(cat out)" 3
else
	skip "E39 job log as GNU parallel's: not found"
fi
eq "E39 --resume leaves out what was done" "$(x -k --joblog log --resume 'echo {}; exit {}' ::: 0 4 0 5)" 5
x --joblog log --resume-failed -k 'echo again {}' ::: 0 4 0 5 >out
eq "E39 --resume-failed does what failed again" "$(tr '\n' ' ' <out)" "again 4 again 5 "
printf '5\t:\t1.0\t0.1\t0\t0\t0\t0' >>log
eq "E39 a torn line of the job log does not count" "$(x --joblog log --resume -k echo ::: 1 2 3 4 5)" 5

echo "-- output"
x -k --results res 'echo o{}; echo e{} >&2' ::: a 'b/c'
eq "E39 --results" "$(cat res/1/a/stdout res/1/a/stderr res/1/a/seq 'res/1/b\_c/stdout')" \
	"$(printf 'oa\nea\n1ob/c')"
eq "E39 groups are never mixed" "$(x -j8 'for i in 1 2 3 4 5; do echo {}; sleep 0.01; done' ::: $(seq 8) |
	uniq -c | awk '{ print $1 }' | sort -u)" 5
x --line-buffer -j2 'for i in 1 2 3; do printf {}; sleep 0.02; printf "{}\n"; done' ::: a b >out
eq "E39 --line-buffer never splits a line" "$(sort -u out | tr '\n' ' ')" "aa bb "
eq "E39 -u writes straight through" "$(x -u -j1 echo ::: 1 2 | tr '\n' ' ')" "1 2 "
eq "E39 -k --line-buffer" "$(x -k --line-buffer -j4 'sleep 0.0$((5 - {})); echo {}; echo {}' ::: 1 2 3 4 | tr -d '\n')" 11223344
x --bar -j2 true ::: 1 2 3 2>err
has "E39 --bar" err "100% 3:0 \[#{40}\]"
eq "E39 --tag with long output" "$(x --tag 'seq 100000 #' ::: t | grep -vc '^t	[0-9]*$')" 0
x 'head -c 300000 /dev/zero #' ::: 1 2 | wc -c >out
eq "E39 output beyond memory goes through a file" "$(cat out)" 600000
eq "E39 nothing is left behind" "$(find "$T" -maxdepth 1 -name 'canp*' | wc -l)" 0

echo "-- signals"
"$X" -j1 'echo {}; sleep 0.2' ::: $(seq 100) >sig &
p=$!
sleep 1
kill -TERM $p
wait $p
eq "E39 SIGTERM: exit status" $? 143
lines=$(wc -l <sig)
check "E39 SIGTERM starts no more, lets the running one end" test "$lines" -ge 1 -a "$lines" -lt 90
"$X" -j1 'echo {%}; sleep 0.1' ::: $(seq 40) >sig &
p=$!
sleep 0.5
kill -USR1 $p
sleep 0.5
kill -USR2 $p
wait $p
eq "E39 SIGUSR1 runs one more at once" "$? $(sort -u sig | tr '\n' ' ')" "0 1 2 "
"$X" -j2 'sleep 777 #' ::: 1 2 3 &
p=$!
sleep 0.7
kill -INT $p
wait $p
eq "E39 SIGINT ends running jobs" "$? $(ps -eo args | grep -c '^sleep 777')" "130 0"
"$X" -j2 -u sleep ::: 778 778 &
p=$!
sleep 0.7
kill -KILL $p
wait $p 2>/dev/null
sleep 0.5
eq "E39 killed itself, it takes its commands along" "$(ps -eo args | grep -c '^sleep 778')" 0

e2e_end
