#!/bin/sh
# compare_fio.sh [BIN]: one job file for reading in fio and in canp-bench, by turns, and how far their
# bandwidths are apart. For make soak; what can be changed is listed in compare_fio.py.
exec /usr/bin/python3 "$(dirname "$0")/compare_fio.py" "${1:-build/bin}"
