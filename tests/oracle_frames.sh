#!/bin/sh
# oracle_frames.sh [-v]: every BLF and candump file of the corpus, frame by frame, against the
# reference walker, python-can and tshark. CANP_BIN: programs, CANP_CORPUS: corpus.
exec timeout -k 10 "${CANP_ORACLE_TIMEOUT_S:-300}" \
	/usr/bin/python3 "$(dirname "$0")/oracle_frames.py" "$@"
