#!/bin/sh
# gate.sh FIFO COMMAND...: becomes COMMAND when a line comes through FIFO, so that recorders can attach
# to its process id before it runs.
fifo=$1
shift
read -r _ <"$fifo" || exit 125
exec "$@"
