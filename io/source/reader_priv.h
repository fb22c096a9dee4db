/*
 * reader_priv.h - inside of the reader: slices and streams, shared by reader.c (files through the
 * ring) and reader_mem.c (files that are memory). Included only from this folder.
 */
#ifndef CANP_SOURCE_READER_PRIV_H
#define CANP_SOURCE_READER_PRIV_H

#include "core/base/list.h"
#include "core/runtime/ring.h"
#include "io/format/format.h"
#include "io/source/mapfile.h"
#include "io/source/reader.h"

struct reader_slice {
	struct canp_list link; /* reader's free list, or stream's slices in file order */
	struct canp_ring_op op;
	struct canp_stream *stream;
	uint8_t *data;  /* behind the head room */
	uint64_t off;   /* of data[0] in the file */
	uint32_t want;  /* bytes of the file that belong here */
	uint32_t got;   /* of these, contiguous from data[0] */
	uint32_t high;  /* most that got ever was: only what goes beyond is progress */
	uint32_t pos;   /* where the running operation lands */
	uint32_t piece; /* most bytes per operation */
	uint32_t stalls;
	enum canp_io_policy policy; /* the running operation was submitted with */
	int err;
	bool busy;
};

struct canp_stream {
	struct canp_list link; /* reader's open streams in open order, or its free ones */
	struct canp_reader *reader;
	int fd;
	enum canp_io_policy policy;
	bool open, stop, more, eof;
	unsigned busy; /* slices with an operation in flight */
	uint64_t size; /* where reading ends */
	uint64_t next; /* first byte not requested yet */
	const uint8_t *win;
	size_t len;
	uint64_t base;            /* file offset of win[0] */
	const uint8_t *mem;       /* the whole file, not read; NULL: the file is open as fd */
	struct canp_mapfile map;  /* what mem points to, unless it is the caller's */
	struct reader_slice *cur; /* holds win; NULL: none */
	struct canp_list slices;
	struct canp_fault fault;
	struct canp_fault torn; /* what it is when the mapping turns out to be torn */
};

struct canp_reader {
	struct canp_ring *ring;
	struct canp_reader_opts opts;
	struct canp_list free_slices, streams, free_streams;
	unsigned inflight;
	unsigned nr_open; /* closing ones included */
	struct canp_reader_stats stats;
	struct canp_stream *stream_tab;
	struct reader_slice *slice_tab;
};

/* Says why reading ends at `end`; the first reason stays. */
void canp_reader_end_fault(struct canp_stream *s, uint64_t end, int err);
/* A free stream, open and empty; there must be one. */
struct canp_stream *canp_reader_stream_take(struct canp_reader *r);
/* reader_mem.c: maps the open file. 0, or -errno: it cannot be mapped. */
int canp_reader_map(struct canp_stream *s, int fd);
/* The window of a stream that is memory grows by what would have been a slice. */
void canp_reader_advance_mem(struct canp_stream *s);

#endif
