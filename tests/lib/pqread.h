/*
 * pqread.h - an independent little Parquet reader for tests: own Thrift parser, own decoders, no
 * code shared with the writer. Reads a whole file from memory and checks while reading: magic,
 * footer, page walk, sizes, offsets, CRC, levels, encodings, statistics, page index, sort order.
 * Flat files with V1 pages, codecs none and gzip.
 */
#ifndef CANP_TESTS_PQREAD_H
#define CANP_TESTS_PQREAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pqread_val {
	bool null;
	uint64_t bits;      /* physical bits, zero-extended */
	const uint8_t *ptr; /* BYTE_ARRAY: bits is the length */
};

struct pqread_col {
	char name[128];
	int type, converted, repetition;
	int logical;             /* LogicalType union member, 0 none */
	struct pqread_val *vals; /* [rows of the file] */
	int first_encoding;      /* of the data pages in row group 0 */
	bool has_stats;          /* row group 0 has bounds */
	bool has_index;          /* row group 0 has a ColumnIndex */
	uint64_t dict_entries;   /* row group 0 */
	uint32_t pages;          /* in all row groups */
};

struct pqread_file {
	uint64_t rows;
	uint32_t nr_cols, nr_groups, nr_kv;
	struct pqread_col *cols;
	uint64_t group_rows[1100];
	bool group_sorted[1100];
	struct {
		char key[64];
		char *value;
	} kv[32];
	char error[256]; /* first thing found wrong; "" when clean */
	void *mem;       /* private */
};

/* Reads everything. Returns 0 when the file is clean; else f->error says what is wrong. Free with
 * pqread_free() in either case. data must stay. */
int pqread(const uint8_t *data, size_t len, struct pqread_file *f);
void pqread_free(struct pqread_file *f);
/* Column by name or NULL. */
const struct pqread_col *pqread_find(const struct pqread_file *f, const char *name);
const char *pqread_kv(const struct pqread_file *f, const char *key);

/* The decoders alone. Values as u64; -1 when the stream is not exactly n values. */
int pqread_hybrid(const uint8_t *p, size_t len, unsigned w, uint64_t *out, size_t n);
int pqread_delta(const uint8_t *p, size_t len, bool is32, uint64_t *out, size_t n);

#endif
