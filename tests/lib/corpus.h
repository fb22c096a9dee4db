/*
 * corpus.h - writers of small synthetic logs for tests: the same frames as CANP, BLF or candump,
 * plus the pieces a test needs to build broken ones. Everything is a function of its arguments.
 */
#ifndef CANP_TESTS_CORPUS_H
#define CANP_TESTS_CORPUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct corpus_buf {
	uint8_t *p; /* owned */
	size_t len, cap;
};

struct corpus_frame {
	int64_t ts_ns;
	uint32_t id;
	unsigned flags; /* enum canp_frame_flag */
	unsigned bus, dlc, len;
	uint8_t data[64];
};

void corpus_add(struct corpus_buf *b, const void *data, size_t len);
void corpus_u8(struct corpus_buf *b, unsigned v);
void corpus_le16(struct corpus_buf *b, unsigned v);
void corpus_le32(struct corpus_buf *b, uint32_t v);
void corpus_le64(struct corpus_buf *b, uint64_t v);
void corpus_be32(struct corpus_buf *b, uint32_t v);
void corpus_be64(struct corpus_buf *b, uint64_t v);
void corpus_fill(struct corpus_buf *b, int c, size_t n);
void corpus_printf(struct corpus_buf *b, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void corpus_free(struct corpus_buf *b);

/* xorshift64*; state must not be 0. */
uint64_t corpus_rnd(uint64_t *state);

/* Frame i of a seed: standard and extended ids, 0..8 bytes, now and then remote or error; with fd
 * also FD frames. Times rise, with microsecond resolution. */
void corpus_frame(uint64_t seed, unsigned i, bool fd, struct corpus_frame *f);

/* One gzip member / zlib stream holding data, appended. */
void corpus_gzip(struct corpus_buf *b, const void *data, size_t len, int level);
void corpus_zlib(struct corpus_buf *b, const void *data, size_t len, int level);

/* CANP: a record of frames [from, to), and a block around an inflated member. */
void corpus_canp_record(struct corpus_buf *raw, uint64_t seed, unsigned from, unsigned to);
void corpus_canp_block(struct corpus_buf *b, const char *serial, const struct corpus_buf *raw,
		       int level);
/* A whole file: frames n, per_block in each block. */
void corpus_canp(struct corpus_buf *b, uint64_t seed, unsigned n, unsigned per_block);

/* BLF: file header (2024-05-01 12:00:00.250), one object, a container (method 0 or 2). */
#define CORPUS_BLF_START_NS 1714564800250000000LL
void corpus_blf_header(struct corpus_buf *b);
void corpus_blf_object(struct corpus_buf *stream, const struct corpus_frame *f);
void corpus_blf_container(struct corpus_buf *b, const void *data, size_t len, unsigned method);
/* A whole file: the stream of n frames cut into containers of `container` bytes. */
void corpus_blf(struct corpus_buf *b, uint64_t seed, unsigned n, size_t container, unsigned method);

/* One candump -l line with its line end; a whole file. */
void corpus_candump_line(struct corpus_buf *b, const struct corpus_frame *f);
void corpus_candump(struct corpus_buf *b, uint64_t seed, unsigned n);

#endif
