#!/bin/sh
# compare_peers.sh [BIN [ISAL_ONLY]]: files/s, MB/s and frames/s of a whole job on one core beside
# isal_inflate alone on the same bytes, and CPU time beside python-can and tshark. For make soak.
# What can be changed is listed in compare_peers.py.
bin=${1:-build/bin}
isal=${2:-$(dirname "$bin")/release/tests/isal_only}
exec /usr/bin/python3 "$(dirname "$0")/compare_peers.py" "$bin" "$isal"
