#!/bin/bash
# e2e_doctor.sh [BIN]: `canp-appliance doctor` where something is missing: limits that are low, a
# kernel that refuses io_uring, and metrics judged by rules (--alerts). Also what the programs and the
# library need of the system.
. "$(dirname "$0")/e2e_lib.sh"
cd "$T" || exit 1

echo "-- what is needed"
needed() {
	readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' |
		grep -vE '^(libc|libm|libnuma|libhugetlbfs|libpthread|librt|libdl|libz|libzstd|libisal|ld-linux-.*)\.so' |
		grep -vE '^lib(asan|ubsan|tsan)\.so'
}
for p in "$BIN"/canp-appliance "$BIN"/canp-exec "$BIN"/../release/lib/libcanp.so; do
	[ -e "$p" ] || continue
	eq "D62 ${p##*/} needs the packages of the card and no others" "$(needed "$p")" ""
done

echo "-- features"
timeout 60 "$APP" doctor --json >all 2>err
check "D64 doctor judges this machine (exit $?)" test -s all
eq "D62 everything that is no hard need names what happens without it" \
	"$(json all '[c["check"] for c in d if c["verdict"] != "ok" and not c["fix"]]')" "[]"
for f in io_uring hugepages memlock nofile memory simd pidfd_open clone3 close_range membarrier statx \
	perf_event cgroup2 numa; do
	eq "D62 D64 doctor looks at $f" "$(json all "sum(c['check'] == '$f' for c in d)")" 1
done
(ulimit -Sn 256 && "$APP" doctor >out 2>err)
has "D64 a low limit of descriptors is seen" out "^hint +nofile +256 "
has "D64 and how to raise it" out "fix: ulimit -n"
(ulimit -Sl 64 && "$APP" doctor >out 2>err)
has "D64 so is one of locked memory" out "^hint +memlock +64"
"$APP" doctor --mem-per-core 4g --cores 64 --writer-mem 2g >out 2>err
has "D64 a job that memory cannot hold is seen" out "^(hint|BAD) +memory "

echo "-- alerts"
cat >rules <<'END'
# damage, and how full the pool is
canp_faults_total > 0
canp_queue_ratio{pool="b"} >= 0.9   # of one pool
canp_up != 1
END
cat >well.prom <<'END'
# TYPE canp_faults counter
canp_faults_total 0
canp_queue_ratio{pool="a"} 0.95
canp_queue_ratio{pool="b"} 0.2
canp_up 1
# EOF
END
sed 's/^canp_faults_total 0/canp_faults_total 3/; s/"b"} 0.2/"b"} 0.9/' well.prom >ill.prom
canp 0 "D48 no rule holds" doctor --alerts rules well.prom
has "D48 it says so" out "^3 rules, 0 alerts$"
canp 2 "D48 rules that hold are told by the exit status" doctor --alerts rules ill.prom
has "D48 and named with value and limit" out "^ALERT ill.prom: canp_faults_total is 3, the rule says > 0$"
has "D48 with the labels of the sample" out '^ALERT .*pool="b".* is 0.9, the rule says >= 0.9$'
eq "D48 no other" "$(grep -c ^ALERT out)" 2
canp 2 "D48 several sources" doctor --alerts rules well.prom ill.prom
echo "gone > 1" >more
canp 2 "D48 what is nowhere measured is an alert" doctor --alerts more well.prom
has "D48 it is called absent" out "gone is absent"
canp 2 "D48 --json" doctor --json --alerts rules ill.prom
eq "D48 events with all fields" "$(json out \
	'[(a["event"], a["metric"], a["value"], a["op"], a["limit"]) for a in d["alerts"]][0]')" \
	"alert canp_faults_total 3 > 0"
for bad in 'x >' 'x => 1' 'x > many' 'x > 1 2'; do
	echo "$bad" >none
	canp 64 "D48 '$bad' is no rule" doctor --alerts none well.prom
	has "D48 its line is named" err "none:1: "
done
canp 1 "D48 rules that are not there" doctor --alerts nowhere well.prom
canp 1 "D48 metrics that are not there" doctor --alerts rules nowhere

"$BIN/canp-gen" --container canp --files 2 --size 300k --dbc v.dbc logs >gen.out 2>&1 || fail "sample logs"
canp 0 "a job writes its metrics" run -o data -d v.dbc --metrics "file:$T/job.prom" logs
printf 'canp_faults_total > 0\ncanp_files_total < 2\n' >job.rules
canp 0 "D48 a job's own metrics" doctor --alerts job.rules job.prom
echo "canp_files_total >= 2" >job.rules
canp 2 "D48 and a rule about them that holds" doctor --alerts job.rules job.prom
e2e_end
