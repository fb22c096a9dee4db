/*
 * format.h - the contract of a log format and the one registry of formats.
 *
 * A format is a walker: it is given the file's bytes in order and pushes frames into a grouper. It
 * never reads, never allocates (its state lives in the scratch region it asks for), never trusts a
 * length, and after damage goes on at the next record it can recognise.
 *
 * Bytes arrive as a window: the unconsumed tail of the last window followed by new bytes. A walker
 * consumes whole members/objects and leaves the rest; it may leave at most CANP_FORMAT_STRADDLE
 * bytes unless `eof`. Larger members are streamed with resumable inflate.
 */
#ifndef CANP_IO_FORMAT_H
#define CANP_IO_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/bytes.h"
#include "core/base/err.h"
#include "io/can/group.h"

struct canp_ahead;
struct canp_ahead_start;

/* The most a walker may leave unconsumed when more input is to come. */
#define CANP_FORMAT_STRADDLE (512u * 1024u)
/* Bytes the host guarantees behind the window that may be read (not interpreted). */
#define CANP_FORMAT_TAIL_PAD 64u

/* Limits against hostile input; defaults and reasons in io/ingest.def. */
struct canp_format_limits {
	uint64_t file_inflated_max; /* bytes a file may inflate to */
	uint32_t member_inflated_max;
	uint32_t ratio_max; /* inflated : compressed, checked after the first MiB */
};

struct canp_format_opts {
	int64_t canp_ts_mul;   /* ns per tick of a CANP timestamp */
	int64_t canp_epoch_ns; /* added to CANP timestamps */
	/* Local wall clock -> UTC for formats that store local time (--tz). utc offset in seconds
	 * of the given local time; never the host's zone. NULL: UTC. Any thread. */
	int (*local_to_utc)(void *arg, int64_t local_s, int64_t *utc_s);
	void *tz_arg;
	struct canp_format_limits limits;
};

/* Stands between inflate and the walker of what was inflated: calls data(arg, p, len) or drops the
 * bytes by returning len. For canp-bench, see io/stage.h. */
struct canp_format_tap {
	size_t (*fn)(struct canp_format_tap *tap,
		     size_t (*data)(void *arg, const uint8_t *p, size_t len), void *arg,
		     const uint8_t *p, size_t len);
};

/* What the walker tells its host. All callbacks run on the calling thread. */
struct canp_format_host {
	void *arg;
	struct canp_group *group;
	const struct canp_format_opts *opts;
	/* A data fault; the walker goes on. */
	void (*fault)(void *arg, const struct canp_fault *fault);
	/* Device serial as stored (not NUL-terminated, trimmed by the format); returns its index
	 * for canp_group_device(). */
	uint32_t (*device)(void *arg, const char *name, size_t len);
	/* Asked between members/blocks; true: return CANP_WALK_PAUSED soon (out of slots or out of
	 * time budget). May be NULL. */
	bool (*should_pause)(void *arg);
	struct canp_format_tap *tap; /* NULL in every job that is not a benchmark of stages */
	/* Lent for the life of the walker: members are inflated ahead (io/format/ahead.h). The host
	 * then keeps the window where it is while a walker is PAUSED. NULL: one by one. */
	struct canp_ahead *ahead;
};

enum canp_walk {
	CANP_WALK_MORE,   /* consumed what it could: wants more input (or, at eof, is done) */
	CANP_WALK_PAUSED, /* call again with the remaining window */
	CANP_WALK_STOP,   /* nothing more will come out of this file (limit, unsupported) */
};

struct canp_format_stats {
	uint64_t members;        /* containers / gzip members / lines read */
	uint64_t bytes_inflated; /* payload bytes after inflate (= bytes walked when stored) */
	bool unverified_tail;    /* frames delivered from a stream that lacks its checksum */
};

struct canp_format {
	const char *name; /* "canp", "blf", "candump"; gzip'd files are "gz+<name>" */
	const char *text; /* one line for caps and man page */
	bool plain;       /* the file's bytes are the frames' bytes: nothing to inflate or check */
	size_t scratch_bytes;
	/* How sure the format is about a file that starts with head (may be the inflated start of a
	 * gzip'd file): 0 no, 100 certain. Pure. */
	int (*probe)(const uint8_t *head, size_t len);
	/* scratch: scratch_bytes, 64-byte aligned, any content: open initialises what it uses.
	 * file_bytes may be 0 when unknown. */
	void (*open)(void *scratch, const struct canp_format_host *host, uint64_t file_bytes);
	/* base: offset in the (inflated, when wrapped) file of win[0]; for faults. */
	enum canp_walk (*walk)(void *scratch, const uint8_t *win, size_t len, uint64_t base,
			       bool eof, size_t *consumed);
	void (*close)(void *scratch, struct canp_format_stats *stats);
	/* For canp_ahead_offer(); NULL: members cannot be found before the file is opened. */
	const struct canp_ahead_start *ahead;
};

/* The registry: NULL-terminated array in probe order. */
extern const struct canp_format *const canp_formats[];

/* Recognises a file by its first bytes (>= 64 KiB or all of it): looks through gzip. Returns NULL
 * when nothing matches. gz tells whether the gz wrapper is needed. scratch: at least
 * canp_format_probe_scratch() bytes. */
size_t canp_format_probe_scratch(void);
const struct canp_format *canp_format_probe(const uint8_t *head, size_t len, void *scratch,
					    bool *gz);

/* The same for a file that is not gzip'd; NULL for one that is. Cheap: nothing is inflated. */
const struct canp_format *canp_format_probe_plain(const uint8_t *head, size_t len);

/* Format of a name as in --format: "canp", "blf", "candump", each also as "gz+<name>". NULL when
 * there is none. Any thread. */
const struct canp_format *canp_format_find(const char *name, bool *gz);

/* A file being walked: format, or gz wrapper around it, behind one call. */
struct canp_walker;
/* Largest region any format needs, wrapper included. */
size_t canp_walker_bytes(void);
/* mem: canp_walker_bytes(), 64-byte aligned, any content; host must outlive the walker. The walking
 * thread only, like all calls below. */
struct canp_walker *canp_walker_open(void *mem, const struct canp_format *fmt, bool gz,
				     const struct canp_format_host *host, uint64_t file_bytes);
/* Same contract as canp_format.walk. Call until it returns MORE with eof, or STOP; the caller
 * offers the rest of the window (longer, unless PAUSED) next time. */
enum canp_walk canp_walker_walk(struct canp_walker *w, const uint8_t *win, size_t len,
				uint64_t base, bool eof, size_t *consumed);
void canp_walker_close(struct canp_walker *w, struct canp_format_stats *stats);

#endif
