#!/bin/bash
# e2e_perf_pmu.sh [BIN]: perf/mem, c2c, topdown and caps on machines with hardware counters, which most
# virtual machines lack: a perf of our own answers as the real one does there (the layout is that of
# perf 6.1, on AMD of later ones; the numbers are made up), and the reports must say what is in them.
. "$(dirname "$0")/e2e_lib.sh"
cd "$T" || exit 1
P=$E2E_ROOT/perf
export PYTHONDONTWRITEBYTECODE=1 FAKE=$T/fake FAKE_CPU=intel

# pmu WANTED-RC TEXT SCRIPT ARGUMENT...: output in out and err.
pmu() {
	local want=$1 text=$2 rc
	shift 2
	PATH=$FAKE:$PATH timeout -k 5 "$E2E_TIMEOUT_S" "$P/$1" "${@:2}" >out 2>err </dev/null
	rc=$?
	eq "$text" "$rc" "$want"
	[ "$rc" -eq "$want" ] || head -n 8 err | sed 's/^/     | /'
}

# py TEXT PROGRAM [ARGUMENT...]: ok when the Python program ends well; d is the JSON in out.
py() {
	local text=$1 program=$2
	shift 2
	if "$PY" -c "import json, sys
d = json.load(open('out'))
$program" "$@" >pyout 2>&1; then ok "$text"; else
		fail "$text"
		tail -n 4 pyout | sed 's/^/     | /'
	fi
}

# ---- a perf with counters ------------------------------------------------------------------------
# As the real one, it runs the command behind the options, and -p means physical addresses to
# `perf mem record`, so that the process id behind it would be taken for the command.
mkdir fake
cat >fake/perf <<'END'
#!/bin/bash
echo "$*" >>"$FAKE/calls"
sub=$1 verb=${2:-}
out= group= kind=txt words=()
shift
while [ $# -gt 0 ]; do
	case $1 in
	-o) out=$2; shift ;;
	-M) group=$2; shift ;;
	-x) kind=csv; shift ;;
	-p) [ "$sub $verb" != "mem record" ] || { echo "Workload failed: No such file or directory" >&2; exit 255; }; shift ;;
	--) shift; words=("$@"); break ;;
	esac
	shift
done
case $sub in
--version) echo "perf version 6.1.0" ;;
stat)
	case $FAKE_CPU.$group in
	amd.TopdownL1) echo "Cannot find metric or group \`TopdownL1'" >&2; exit 129 ;;
	old.?*) group= ;;
	esac
	"${words[@]}"
	rc=$?
	text=$FAKE/${group:-counters}.csv
	if [ -n "$out" ]; then cat "$text" >"$out"; else cat "$text" >&2; fi
	exit $rc
	;;
record) exec "${words[@]}" ;;
mem | c2c)
	case $verb in
	record)
		[ "$out" = /dev/null ] || echo data >"$out"
		exec "${words[@]}"
		;;
	report) cat "$FAKE/$sub.$FAKE_CPU.$kind" ;;
	esac
	;;
esac
END
chmod +x fake/perf
echo '812345;;cycles;100000;100.00;;' >fake/counters.csv
cat >fake/TopdownL1.csv <<'END'
# started on Mon Jan  1 00:00:00 2024

8000000000;;TOPDOWN.SLOTS;1000000000;100.00;28.4;%  tma_retiring
;;;;;8.2;%  tma_bad_speculation
2272000000;;topdown-retiring;1000000000;100.00;;
656000000;;topdown-bad-spec;1000000000;100.00;;
1120000000;;topdown-fe-bound;1000000000;100.00;14.1;%  tma_frontend_bound
3952000000;;topdown-be-bound;1000000000;100.00;49.3;%  tma_backend_bound
512000;;INT_MISC.UOP_DROPPING;1000000000;100.00;;
END
cat >fake/PipelineL1.csv <<'END'
9000000;;ex_ret_ops;500000000;80.00;55.0;%ops  retiring
100000;;de_src_op_disp.all;500000000;80.00;5.0;%ops  bad_speculation
100000;;de_no_dispatch_per_slot.no_ops_from_frontend;500000000;80.00;10.0;%slots  frontend_bound
100000;;de_no_dispatch_per_slot.backend_stalls;500000000;80.00;20.0;%slots  backend_bound
100000;;de_no_dispatch_per_slot.smt_contention;500000000;80.00;10.0;%slots  smt_contention
END

cat >fake/mem.intel.csv <<'END'
# To display the perf.data header info, please use --header/--header-only options.
#
#
# Total Lost Samples: 0
#
# Samples: 0  of event 'cpu/mem-loads-aux/'
# Total weight : 0
# Sort order   : mem,snoop,tlb,sym,dso
#
# Overhead;     Samples;Memory access;Snoop;TLB access;Symbol;Shared Object
#
# Samples: 200  of event 'cpu/mem-loads,ldlat=30/P'
# Total weight : 20000
# Sort order   : mem,snoop,tlb,sym,dso
#
# Overhead;     Samples;Memory access                        ;Snoop ;TLB access  ;Symbol                ;Shared Object
 48.00% ; 30         ;Local RAM or RAM hit                 ;Miss  ;L2 miss     ;[.] canp_runs_scatter ;canp-appliance
 16.00% ; 40         ;L3 or L3 hit                         ;None  ;L1 or L2 hit;[.] canp_runs_scatter ;canp-appliance
 10.00% ; 10         ;L3 or L3 hit                         ;HitM  ;L1 or L2 hit;[k] _raw_spin_lock    ;[kernel.kallsyms]
 9.00%  ; 6          ;Remote RAM (1 hop) or Remote RAM hit ;Miss  ;L1 or L2 hit;[.] canp_inflate_fast ;canp-appliance
 7.00%  ; 4          ;Remote Cache (1 hop) hit             ;HitM  ;L1 or L2 hit;[.] canp_inflate_fast ;canp-appliance
 4.00%  ; 20         ;LFB/MAB or LFB/MAB hit               ;None  ;L1 or L2 hit;[.] canp_inflate_fast ;canp-appliance
 3.50%  ; 25         ;L2 or L2 hit                         ;None  ;L1 or L2 hit;[.] canp_inflate_fast ;canp-appliance
 2.50%  ; 65         ;L1 or L1 hit                         ;None  ;L1 or L2 hit;[.] canp_inflate_fast ;canp-appliance


#
# (Tip: Show individual samples with: perf script)
#
# Samples: 40  of event 'cpu/mem-stores/P'
# Total weight : 40
# Sort order   : mem,snoop,tlb,sym,dso
#
# Overhead;     Samples;Memory access           ;Snoop       ;TLB access            ;Symbol        ;Shared Object
 75.00% ; 30         ;L1 or L1 hit            ;N/A         ;L1 hit                ;[.] put_bits  ;canp-appliance
 25.00% ; 10         ;L1 or L1 miss           ;N/A         ;L1 hit                ;[.] put_bits  ;canp-appliance


END
cat >fake/mem.amd.csv <<'END'
# Samples: 1K of event 'ibs_op//'
# Total weight : 50000
# Sort order   : mem,snoop,tlb,sym,dso
#
# Overhead;     Samples;Memory access                        ;Snoop;TLB access;Symbol       ;Shared Object
 52.00% ; 100        ;Remote core, same node Any cache hit ;HitM ;L1 hit    ;[.] ring_push;canp-appliance
 30.00% ; 300        ;L2 hit                               ;N/A  ;L1 hit    ;[.] ring_push;canp-appliance
 12.00% ; 100        ;N/A                                  ;N/A  ;N/A       ;[.] ring_push;canp-appliance
 6.00%  ; 500        ;L1 hit                               ;N/A  ;L1 hit    ;[.] ring_pop ;canp-appliance
END
echo '# as perf shows it' | tee fake/mem.intel.txt fake/mem.amd.txt fake/mem.none.txt >/dev/null
printf "# Samples: 0  of event 'cpu/mem-loads,ldlat=30/P'\n# Total weight : 0\n#\n" >fake/mem.none.csv

# c2c_text LOADS LOCAL REMOTE: its totals; the tables come behind them.
c2c_text() {
	local rule==================================================
	cat <<-END
		$rule
		            Trace Event Information
		$rule
		  Total records                     :      50000
		  Locked Load/Store Operations      :        120
		  Load Operations                   :      $1
		  Load LLC hit                      :       2000
		  Load Local HITM                   :        $2
		  Load Remote HITM                  :         $3
		  LLC Misses to Local DRAM          :       90.0%
		  Store Operations                  :      10000

		$rule
		                 c2c details
		$rule
		  Events                            : cpu/mem-loads,ldlat=30/P
		                                    : cpu/mem-stores/P
		  Cachelines sort on                : Total HITMs

		$rule
		           Shared Data Cache Line Table
		$rule
		#
		#        ----------- Cacheline ----------      Tot  ------- Load Hitm -------    Total    Total    Total  --------- Stores --------  ----- Core Load Hit -----  - LLC Load Hit --  - RMT Load Hit --  --- Load Dram ----
		# Index             Address  Node  PA cnt     Hitm    Total  LclHitm  RmtHitm  records    Loads   Stores    L1Hit   L1Miss      N/A       FB       L1       L2    LclHit  LclHitm    RmtHit  RmtHitm       Lcl       Rmt
		# .....  ..................  ....  ......  .......  .......  .......  .......  .......  .......  .......  .......  .......  .......  .......  .......  .......  ........  .......  ........  .......  ........  ........
		#
	END
}
{
	c2c_text 40000 720 80
	cat <<'END'
      0      0x7f12a0001040     0    3100   75.00%      600      540       60     9000     7000     2000     1900      100        0      100     6000      200       100      540        40       60         0         0
      1  0xffff888100a3c780     1     200   25.00%      200      180       20     1000      900      100      100        0        0        0      700        0         0      180         0       20         0         0

=================================================
      Shared Cache Line Distribution Pareto
=================================================
#
#        ----- HITM -----  ------- Store Refs ------  --------- Data address ---------                      ---------- cycles ----------    Total       cpu                                Shared
#   Num  RmtHitm  LclHitm   L1 Hit  L1 Miss      N/A              Offset  Node  PA cnt        Code address  rmt hitm  lcl hitm      load  records       cnt              Symbol          Object       Source:Line  Node
# .....  .......  .......  .......  .......  .......  ..................  ....  ......  ..................  ........  ........  ........  .......  ........  ..................  ..............  ................  ....
#
  ----------------------------------------------------------------------
      0       60      540     1900      100        0      0x7f12a0001040
  ----------------------------------------------------------------------
          20.00%   30.00%    0.00%    0.00%    0.00%                 0x8     0       1      0x55d0c0f41a20       300       110        60     2000         2  [.] canp_lane_pop   canp-appliance  lane.c:71         0
          50.00%   60.00%    0.00%    0.00%    0.00%                0x10     0       1      0x55d0c0f41b90       310       120        62     3000         4  [.] canp_lane_push  canp-appliance  lane.c:42         0  1
          30.00%   10.00%  100.00%    0.00%    0.00%                0x10     0       1      0x55d0c0f41b98       310       120        62     2000         4  [.] canp_lane_push  canp-appliance  lane.c:42         0  1

  ----------------------------------------------------------------------
      1       20      180      100        0        0  0xffff888100a3c780
  ----------------------------------------------------------------------
         100.00%  100.00%  100.00%    0.00%    0.00%                 0x0     1       1  0xffffffff822016f9       320       130        70     1000         8  [k] _raw_spin_lock  [kernel]        spinlock.h:12     0  1
END
} >fake/c2c.intel.txt
c2c_text 40000 0 0 >fake/c2c.none.txt
echo 'failed to open c2c.data: no data' >fake/c2c.broken.txt

# ---- the scripts ---------------------------------------------------------------------------------
svg='import xml.dom.minidom as m
for p in sys.argv[1:]:
    assert m.parse(p).documentElement.tagName == "svg", p'

echo "-- topdown"
pmu 0 "topdown on Intel" topdown -o td --json -- sleep 0.1
py "the four shares add up, the largest is named" '
r = d["result"]
assert d["capability"] == "TopdownL1" and d["pictures"] == ["topdown.svg"], d
assert r["percent"] == {"retiring": 28.4, "bad_speculation": 8.2, "frontend_bound": 14.1,
                        "backend_bound": 49.3}, r
assert abs(r["sum"] - 100) < .01 and r["largest"] == "backend_bound" and r["counters_running"] == 100
assert len(d["hints"]) == 1 and "perf/mem" in d["hints"][0], d["hints"]'
has "in words" td/report.txt '^Most slots waited for data or for a unit: 49\.3 % \(backend_bound\)'
py "and drawn" "$svg" td/topdown.svg
cp fake/TopdownL1.csv per-cent
awk -F ';' -v OFS=';' 'sub(/%  tma_/, "tma_", $7) { $6 /= 100 } { print }' per-cent >fake/TopdownL1.csv
pmu 0 "parts of 1 instead of per cent" topdown -o td2 --json -- true
py "mean the same" 'assert abs(d["result"]["percent"]["backend_bound"] - 49.3) < .01, d["result"]'
sed 's/49\.3;/79.3;/' per-cent >fake/TopdownL1.csv
pmu 0 "shares that do not add up" topdown -o td5 --json -- true
py "are pointed out" 'assert "add up to 130 %" in d["hints"][0], d["hints"]'
sed 's/49\.3;/nan;/; s/14\.1;/;/' per-cent >fake/TopdownL1.csv
pmu 1 "what was not counted is no report" topdown -o td3 -- true
has "and says so" err 'no report: see'
cp per-cent fake/TopdownL1.csv
pmu 7 "the exit status of the command is handed on" topdown -o td4 -- sh -c 'exit 7'
FAKE_CPU=amd pmu 0 "topdown on AMD" topdown -o ta --json -- true
py "has a fifth share, and the names that AMD uses" '
r = d["result"]
assert d["capability"] == "PipelineL1" and r["largest"] == "retiring", d
assert abs(r["sum"] - 100) < .01 and r["percent"]["smt_contention"] == 10, r
assert any("took turns and saw 80 %" in h for h in d["hints"]), d["hints"]
assert any("useful work" in h for h in d["hints"]), d["hints"]'
FAKE_CPU=old pmu 77 "a perf that does not know the processor" topdown -o none -- true
has "has no such metrics" err 'perf has no metrics TopdownL1'

echo "-- mem"
pmu 0 "mem on Intel" mem -o m --json -- sleep 0.1
py "by level, in the order of the time they cost" '
l = d["result"]["loads"]
assert list(l["levels"]) == ["RAM", "L3", "RAM of another node", "cache of another node",
                             "on its way to L1", "L2", "L1"], l["levels"]
assert abs(sum(x["percent"] for x in l["levels"].values()) - 100) < .01
assert abs(sum(x["percent_of_samples"] for x in l["levels"].values()) - 100) < .01
assert l["samples"] == sum(x["samples"] for x in l["levels"].values()) == 200
assert l["levels"]["RAM"]["mean_weight"] == 320 and l["levels"]["L3"]["percent"] == 26
assert l["hitm_percent"] == 17 and l["page_walk_percent"] == 48'
py "by function" '
f = d["result"]["loads"]["functions"]
assert list(f.items())[0] == ("canp_runs_scatter (canp-appliance)", 64), f
assert abs(sum(f.values()) - 100) < .01'
py "stores apart, by their number" '
s = d["result"]["stores"]
assert s["samples"] == 40 and s["levels"]["beyond L1"]["percent"] == 25, s
assert set(d["result"]) == {"loads", "stores"} and d["pictures"] == ["loads.svg"]'
py "with a hint for each thing that stands out" '
h = " ".join(d["hints"])
assert len(d["hints"]) == 4, d["hints"]
for text in ("48 % of the waiting is for RAM", "16 % of the waiting is for another node",
             "17 % of the waiting is for lines", "missed the TLB"):
    assert text in h, text'
has "and in words" m/report.txt '^Of the time that loads took, 48\.0 % went to those answered by: RAM\.'
has "also for stores" m/report.txt '^Of the stores, 75\.0 % were answered by: L1\.'
py "and drawn" "$svg" m/loads.svg
eq "perf's own table is kept" "$(cat m/mem.txt)" "# as perf shows it"
FAKE_CPU=amd pmu 0 "mem on AMD" mem -o ma --json -- true
py "has one kind of accesses, and other words for the levels" '
a = d["result"]["accesses"]
assert list(a["levels"]) == ["cache of another core", "L2", "unknown", "L1"], a["levels"]
assert a["samples"] == 1000 and a["hitm_percent"] == 52 and a["page_walk_percent"] == 0
assert len(d["hints"]) == 1 and "perf/c2c" in d["hints"][0], d["hints"]'
FAKE_CPU=none pmu 0 "mem without a sample" mem -o mn -- true
has "says so" mn/report.txt 'No access was sampled'
sleep 5 &
pmu 0 "mem attaches to a process" mem -o mp -d 0.2 -p $!
kill $! 2>/dev/null
has "by the long option" fake/calls '^mem record .*--pid=[0-9]+ '

echo "-- c2c"
pmu 0 "c2c" c2c -o c --json -- sleep 0.1
py "totals and lines" '
r = d["result"]
assert (r["records"], r["loads"], r["stores"]) == (50000, 40000, 10000), r
assert (r["local_hitm"], r["remote_hitm"], r["hitm_percent_of_loads"]) == (720, 80, 2), r
assert [x["percent"] for x in r["lines"]] == [75, 25] and r["lines"][0]["loads"] == 7000
assert sum(x["local_hitm"] + x["remote_hitm"] for x in r["lines"]) == 800'
py "and whose code takes them" '
a = d["result"]["lines"][0]["accesses"]
assert [x["function"] for x in a] == ["canp_lane_push", "canp_lane_pop"], a
assert (a[0]["offset"], a[0]["where"], a[0]["object"]) == (16, "lane.c:42", "canp-appliance"), a
assert abs(a[0]["percent"] - 71) < .01 and abs(sum(x["percent"] for x in a) - 100) < .01
assert d["result"]["lines"][1]["accesses"][0]["object"] == "[kernel]"'
py "with hints" '
assert len(d["hints"]) == 2 and "2 different offsets" in d["hints"][0], d["hints"]
assert "between nodes" in d["hints"][1], d["hints"]'
has "in words" c/report.txt '^2\.0 % of 40000 loads found their line changed by another core \(720 here, 80 on another'
has "with line and function" c/report.txt 'offset 16 +71\.0 % +canp_lane_push \(canp-appliance\) lane\.c:42'
py "and drawn" "$svg" c/c2c.svg
FAKE_CPU=none pmu 0 "c2c where nothing is shared" c2c -o cn --json -- true
py "has no lines, no hint and no picture" '
assert not d["result"]["lines"] and not d["hints"] and not d["pictures"], d'
has "and says so" cn/report.txt 'do not fight for cache lines: none of 40000 loads'
FAKE_CPU=broken pmu 1 "what perf could not read is no report" c2c -o cb -- true

echo "-- caps and all"
pmu 0 "caps on a machine with counters" caps -o caps --json
py "has all three" '
for t in ("mem", "c2c", "topdown"):
    assert d["tools"][t]["available"] and not d["tools"][t]["degraded"], d["tools"][t]
    assert d["features"][t]["available"] and not d["features"][t]["why"], d["features"][t]
assert d["features"]["hw"]["available"] and not d["tools"]["stat"]["degraded"]
assert "TopdownL1" in d["tools"]["topdown"]["text"]'
has "in its table" caps/caps.txt '^perf/topdown +yes'
FAKE_CPU=amd pmu 0 "caps with AMD's counters" caps -o caps2 --json
py "names the other metrics" '
assert d["features"]["topdown"]["available"] and "PipelineL1" in d["tools"]["topdown"]["text"], d'
FAKE_CPU=old pmu 0 "caps where the processor is not known" caps -o caps3 --json
py "says why" '
t = d["tools"]["topdown"]
assert not t["available"] and "no metrics TopdownL1" in d["features"]["topdown"]["why"], t'
pmu 0 "all with the three" all --tools mem,c2c,topdown -o a --json -- sleep 0.2
py "has them on one page, with their hints" '
r = d["result"]
assert set(r["scripts"]) == {"mem", "c2c", "topdown"} and not r["skipped"], r["skipped"]
assert any(h.startswith("topdown: ") for h in d["hints"]) and len(d["hints"]) == 7, d["hints"]
t = open("a/index.html").read()
for p in ("mem/loads.svg", "c2c/c2c.svg", "topdown/topdown.svg"):
    assert p in t, p'
e2e_end
