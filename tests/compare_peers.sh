#!/bin/sh
# compare_peers.sh [BIN]: files/s, MB/s and frames/s of a whole job on one core beside isal_inflate
# alone on the same bytes, and CPU time beside python-can and tshark. For make soak.
# What can be changed is listed in compare_peers.py.
exec /usr/bin/python3 "$(dirname "$0")/compare_peers.py" "${1:-build/bin}"
