/*
 * bytesink.h - where a file writer puts its bytes: an append-only output that may be full for now.
 *
 * Writers never block: before each piece they ask how much fits, put the piece only if all of it
 * fits, and otherwise tell their caller to come back. The reactor's staging buffers, a memory
 * buffer in the tests and a plain stream all implement it.
 */
#ifndef CANP_SINK_BYTESINK_H
#define CANP_SINK_BYTESINK_H

#include <stddef.h>

struct canp_bytesink {
	/* Bytes that can be put now. Once everything put before has been written it must reach
	 * CANP_BYTESINK_ROOM, or a writer could wait for ever. */
	size_t (*room)(void *arg);
	/* Takes len <= room() bytes; copies them. */
	void (*put)(void *arg, const void *data, size_t len);
	void *arg;
};

/* The largest piece a writer puts at once: one page or one dictionary with its header. */
#define CANP_BYTESINK_ROOM (1024u * 1024u)

#endif
