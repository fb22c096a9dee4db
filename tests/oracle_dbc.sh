#!/bin/sh
# oracle_dbc.sh [-v]: signal values of whole jobs against what cantools computed from the same
# frames. CANP_BIN: programs, CANP_CORPUS: corpus.
exec timeout -k 10 "${CANP_ORACLE_TIMEOUT_S:-300}" \
	/usr/bin/python3 "$(dirname "$0")/oracle_dbc.py" "$@"
