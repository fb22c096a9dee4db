/*
 * side_priv.h - shared by the files of the side tables: sidetable.c (rows),
 * sidetable_csv.c, sidetable_pq.c (pages) and side_meta.c (indexes and footer); nobody else
 * includes it.
 */
#ifndef CANP_SINK_SIDE_PRIV_H
#define CANP_SINK_SIDE_PRIV_H

#include "io/sink/pq_priv.h"
#include "io/sink/sidetable.h"

/* Longest text kept: a page must fit CANP_BYTESINK_ROOM. */
#define SIDE_TEXT_MAX 65535u

struct side_col {
	char *name;
	enum canp_side_type type;
	bool optional;
	uint64_t *vals; /* [cap]; bits, or number of the text */
	uint8_t *valid; /* [cap] */
};

struct canp_sidetable {
	uint32_t nr_cols;
	struct side_col *cols;
	uint64_t rows, cap;
	/* distinct texts of all string columns */
	char **texts;
	uint32_t nr_texts, cap_texts;
	uint32_t *hash; /* text number + 1; 0 = free; size cap_hash, a power of two */
	uint32_t cap_hash;
};

#define SIDE_GROUP_ROWS 262144u

struct side_page {
	uint64_t off, first_row, nulls, rows;
	uint32_t stored;
	struct canp_pqmm mm;
};

/* One column chunk; its pages are pages[page0 .. page0 + nr_pages). */
struct side_chunk {
	uint64_t dict_off, data_off, plain, stored, values, nulls;
	enum canp_pq_encoding enc;
	struct canp_pqmm mm;
	const char *lo, *hi; /* strings */
	size_t page0, nr_pages;
	uint64_t ci_off, oi_off;
	uint32_t ci_len, oi_len;
};

struct side_writer {
	struct canp_sidetable *t;
	enum canp_pq_codec codec;
	const struct canp_bytesink *sink;
	uint64_t pos;
	int err;
	struct side_chunk *chunks;
	struct side_page *pages;
	size_t nr_pages, cap_pages;
	uint32_t *entry; /* text number -> entry of the dictionary at hand */
	uint32_t *order; /* entry -> text number */
	uint32_t nr_entries;
	struct canp_pqcodec *comp_state;
	uint8_t *page, *comp;
	uint64_t *val;
};

/* ---- sidetable_pq.c: bytes out in pieces, for what may be longer than the sink's room. */
void canp_side_put_long(struct side_writer *w, const uint8_t *data, size_t len);

/* ---- side_meta.c */
enum canp_pq_type canp_side_type_of(enum canp_side_type t);
bool canp_side_unsigned(enum canp_side_type t);
/* Writes all column indexes, then all offset indexes; mem is work memory. */
void canp_side_indexes(struct side_writer *w, size_t nr_chunks, uint8_t *mem, size_t cap);
/* FileMetaData of a file of `groups` row groups. */
void canp_side_footer(struct side_writer *w, size_t groups, const char *version,
		      const struct canp_side_kv *kv, uint32_t nr_kv, struct canp_tw *t);

#endif
