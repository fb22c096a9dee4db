/*
 * reader_mem.c - streams whose file is memory: given by the caller (canp_reader_open_mem()), or
 * mapped (--io=mmap). Nothing is read or copied: the window is a part of the memory that grows by a
 * slice at a time, as if it had been read.
 *
 * A mapped file is brought in `depth` slices ahead and let go of behind the window, so the pages
 * that are resident are about those a reader with slots would hold. What is not there yet when its
 * turn comes is waited for on this thread: mapping is for files in the page cache.
 */
#include <errno.h>

#include "core/base/units.h"
#include "io/source/reader_priv.h"

int canp_reader_open_mem(struct canp_reader *r, const uint8_t *data, uint64_t size,
			 struct canp_stream **out)
{
	struct canp_stream *s;

	if (canp_list_empty(&r->free_streams))
		return -EAGAIN;
	s = canp_reader_stream_take(r);
	s->policy = CANP_IO_BUFFERED;
	s->mem = data;
	s->size = s->next = size;
	s->eof = size == 0;
	*out = s;
	return 0;
}

int canp_reader_map(struct canp_stream *s, int fd)
{
	const struct canp_reader_opts *o = &s->reader->opts;
	int rc = canp_mapfile_open(&s->map, fd, s->size, CANP_FORMAT_TAIL_PAD, false);

	if (rc)
		return rc;
	canp_fault_set(
		&s->torn, CANP_FAULT_TRUNCATED, 0, 0,
		"file of %llu bytes was cut while it was read; from there on it read as zeros",
		(unsigned long long)s->size);
	s->mem = s->map.base;
	s->next = s->size;
	canp_mapfile_ahead(&s->map, (uint64_t)o->depth * o->slice_bytes);
	return 0;
}

/* False: the file ends here or cannot be read on. */
static bool mem_bring(struct canp_stream *s, uint64_t from, uint64_t to)
{
	const struct canp_reader_opts *o = &s->reader->opts;
	int rc = canp_mapfile_need(&s->map, from, to);

	if (rc == 0) {
		canp_mapfile_ahead(&s->map, to + (uint64_t)o->depth * o->slice_bytes);
		canp_mapfile_behind(&s->map, s->base);
		s->reader->stats.reads++;
	}
	/* What lies in the part of the slice that is still there is not looked for: the slice
	 * counts as gone. */
	if (rc || canp_mapfile_torn(&s->map)) {
		canp_reader_end_fault(s, from, rc == -EIO ? rc : 0);
		return false;
	}
	return true;
}

void canp_reader_advance_mem(struct canp_stream *s)
{
	uint64_t from = s->base + s->len;
	size_t n = (size_t)canp_min((uint64_t)s->reader->opts.slice_bytes, s->size - from);

	s->more = false;
	if (s->map.base && !mem_bring(s, from, from + n))
		return;
	s->win = s->mem + s->base;
	s->len += n;
	s->eof = from + n == s->size;
	s->reader->stats.bytes += n;
}
