#!/bin/sh
# compare_power.sh [BIN]: does `canp-bench compare` see a job that is 5 % slower, and stay silent when
# nothing changed, with the noise of this machine? For make soak; see compare_power.py.
exec /usr/bin/python3 "$(dirname "$0")/compare_power.py" "${1:-build/bin}"
