/*
 * pq_priv.h - shared by the files of the Parquet part writer (pqschema, pqvalue, pqplan, pqchunk,
 * pqfooter, sink_parquet), the side tables and their tests; nobody else includes it.
 *
 * How the files divide the work:
 *   pqschema.c      leaves, serialised schema, key-value metadata
 *   pqvalue.c       raw integer -> physical value, comparisons, statistics bytes
 *   pqplan.c        choice of encoding for a column chunk
 *   pqorigin.c      dictionaries of src, device and bus
 *   pqexact.c       dictionaries of the values that occur
 *   pqdict.c        dictionary pages
 *   pqchunk.c       data pages
 *   pqfooter.c      metadata records, page indexes, footer
 *   sink_parquet.c  placing of runs and the state machine over all of it
 */
#ifndef CANP_SINK_PQ_PRIV_H
#define CANP_SINK_PQ_PRIV_H

#include <stdbool.h>
#include <stdint.h>

#include "io/sink/pqcodec.h"
#include "io/sink/pqthrift.h"
#include "io/sink/sink_parquet.h"

enum canp_pqleaf_kind {
	CANP_PQL_TS,
	CANP_PQL_TS_NS,
	CANP_PQL_SRC,
	CANP_PQL_DEVICE,
	CANP_PQL_BUS,
	CANP_PQL_COL,
	CANP_PQL_LABEL, /* text of the column before it; follows its CANP_PQL_COL at once */
};

struct canp_pqleaf {
	enum canp_pqleaf_kind kind;
	enum canp_pq_type type;
	const struct canp_col *col; /* COL and LABEL */
	uint32_t col_idx;
	bool optional, is_unsigned;
	char *name; /* owned by the schema */
};

struct canp_pqschema {
	const struct canp_table *table;
	struct canp_pqschema_opts opts;
	uint32_t nr_leaves;
	struct canp_pqleaf *leaves;
	uint32_t names_bytes; /* of all leaf names */
	/* FileMetaData fields 1..2, and 5..7 with the end byte */
	uint8_t *head, *tail;
	size_t head_len, tail_len;
	char *version;
};

/* Bounds of a set of physical values, as bits of the physical type. */
struct canp_pqmm {
	uint64_t min, max;
	bool any; /* at least one value that is not NaN */
	bool nan; /* a NaN was seen: no bounds may be written */
};

/* One data page of the open row group. */
struct canp_pqpage {
	uint32_t rows, nonnull;
	uint32_t lev_bytes, val_bytes; /* in the leaf's byte chain, levels first */
	uint32_t stored;               /* header included; set when written */
	uint32_t flags;                /* CANP_PQPAGE_* */
	union {
		int64_t first; /* time columns: first value */
		struct {
			uint16_t lo, hi; /* index columns: lowest, highest index */
		};
	};
	uint64_t min, max; /* bounds when CANP_PQPAGE_BOUNDS */
};
#define CANP_PQPAGE_BOUNDS 1u
#define CANP_PQPAGE_NAN    2u

/* What a leaf has collected in the open row group. */
struct canp_pqstate {
	struct canp_segs bytes;
	struct canp_segs pages; /* struct canp_pqpage, never split */
};
#define CANP_PQ_STATES_PER_SLOT (CANP_PAGE_SLOT_BYTES / (uint32_t)sizeof(struct canp_pqstate))
#define CANP_PQ_STATE_SLOTS     448u

/* The column chunk being written. */
struct canp_pqchunk {
	enum canp_pq_encoding enc; /* of the data pages */
	enum canp_pq_codec codec;
	bool exact;  /* dictionary of used entries only; else indices lo.. in a row */
	bool repack; /* pages are not as the producers packed them */
	uint32_t lo; /* index of the first entry when not exact */
	bool sorted; /* its entries ascend strictly */
	uint32_t dict_n;
	unsigned width; /* of the indices */
	uint32_t dict_next;
	uint64_t dict_pos; /* string dictionary: bytes put */
	uint32_t page;
	struct canp_segcur bytes, pages, meta;
	struct canp_run_meta m; /* rest of the meta run being read */
	uint64_t data_off, dict_off;
	uint64_t plain_total, stored_total; /* headers included */
	uint64_t nulls, values;
	uint32_t data_pages;
	struct canp_pqmm mm;
};

#define CANP_PQ_PAGE_ROOM (704u * 1024u)
#define CANP_PQ_KEYS_MAX  65536u
#define CANP_PQ_WIDE_MAX  32768u /* entries of a wide exact dictionary */

/* Work memory of one owner. The maps belong to the column chunk named by the tag; a part whose
 * chunk lost them to another part computes them again, which changes nothing in the output. */
struct canp_pqshared {
	uint64_t serial; /* next part */
	uint64_t tag_part;
	uint32_t tag_group, tag_leaf;
	/* maps */
	uint32_t keys[CANP_PQ_KEYS_MAX];  /* src, device, bus: distinct values, ascending */
	uint16_t remap[CANP_PQ_KEYS_MAX]; /* index -> entry of the exact dictionary */
	uint16_t order[CANP_PQ_KEYS_MAX]; /* entry -> index; device: entry -> keys[] */
	uint32_t nr_keys;
	uint64_t wide[CANP_PQ_WIDE_MAX]; /* raw values of a wide exact dictionary; remap[] hashes */
	uint8_t used[CANP_PQ_KEYS_MAX];  /* index -> occurs */
	/* buffers of one step */
	uint8_t page[CANP_PQ_PAGE_ROOM] CANP_ALIGNED(64);
	uint8_t comp[CANP_BYTESINK_ROOM] CANP_ALIGNED(64);
	uint8_t raw[CANP_RUN_ROWS_MAX * 8 + 4096] CANP_ALIGNED(64);
	uint64_t val[CANP_RUN_ROWS_MAX + 32] CANP_ALIGNED(64);
	uint16_t idx[CANP_RUN_ROWS_MAX + 288] CANP_ALIGNED(64);
	struct canp_delta delta;
	struct canp_pqcodec *codec; /* behind this struct */
};

enum canp_pqw_state {
	CANP_PQW_IDLE,
	CANP_PQW_PLAN, /* choose the encoding of the current leaf */
	CANP_PQW_DICT,
	CANP_PQW_PAGES,
	CANP_PQW_CI, /* finish: column indexes, offset indexes, footer piece by piece */
	CANP_PQW_OI,
	CANP_PQW_FOOT_HEAD,
	CANP_PQW_FOOT_ROWS,
	CANP_PQW_FOOT_GROUP,
	CANP_PQW_FOOT_TAIL,
	CANP_PQW_FOOT_END,
	CANP_PQW_DONE,
};

struct canp_pqw {
	struct canp_pqw_opts o;
	uint64_t serial;
	bool privileged;
	bool finishing;
	enum canp_pqw_state state;
	struct canp_runb pend; /* raw runs waiting to fill a page */
	/* open row group */
	uint32_t rows, pages;
	bool ascending;
	int64_t last_ts;
	struct canp_segs meta;
	uint32_t nr_meta;
	struct canp_pqstate *st[CANP_PQ_STATE_SLOTS];
	uint32_t nr_st_slots;
	/* the close in progress */
	void *spare; /* slots set aside, linked through their first word */
	uint32_t leaf;
	struct canp_pqchunk c;
	uint64_t group_plain, group_stored, group_off;
	/* the part */
	uint64_t pos, rows_total, values_total;
	uint32_t groups;
	struct canp_segs ci, oi, md;
	/* finish */
	struct canp_segcur fc;
	uint64_t ci_off, oi_off, footer_at;
	uint32_t group;
	size_t blob; /* bytes of the current long piece already put */
};
CANP_STATIC_ASSERT(sizeof(struct canp_pqw) <= CANP_PAGE_SLOT_BYTES, "a part is a page slot");

/* Prefix of a leaf's record in the md stream; md_len bytes of ColumnMetaData follow. After the
 * leaves of a row group comes one struct canp_pqrg. */
struct canp_pqmd {
	uint32_t ci_len, oi_len, md_len;
};
struct canp_pqrg {
	uint64_t plain, stored, off;
	uint32_t rows, ascending;
};

static inline struct canp_pqstate *canp_pqw_st(const struct canp_pqw *w, uint32_t leaf)
{
	return &w->st[leaf / CANP_PQ_STATES_PER_SLOT][leaf % CANP_PQ_STATES_PER_SLOT];
}

/* Walks the pages of a leaf; NULL at the end. */
struct canp_pqpage *canp_pqpage_next(struct canp_segcur *cur);

/* ---- sink_parquet.c: bytes out; the caller has asked for room. Appends to w->pos. */
void canp_pqw_put(struct canp_pqw *w, const void *data, size_t len);
bool canp_pqw_room(const struct canp_pqw *w, uint64_t len);
/* Appends to a metadata stream out of the slots set aside. */
void canp_pqw_note(struct canp_pqw *w, struct canp_segs *s, const void *data, size_t len);

/* ---- pqschema.c: text of a raw value: its entry in the value table, else its number. buf: 32
 * bytes; the result is the entry or buf. */
const char *canp_pqs_label(const struct canp_col *col, uint64_t raw, char *buf);

/* ---- pqvalue.c */
unsigned canp_pqv_width(enum canp_pq_type type);
/* Physical value of a raw one as bits of the column's physical type. */
uint64_t canp_pqv_phys(const struct canp_col *col, enum canp_pq_type type, uint64_t raw);
/* Raw value of a dictionary index. */
uint64_t canp_pqv_raw_of_index(const struct canp_col *col, uint32_t index);
/* -1, 0, 1 in the order of the type. No NaN. */
int canp_pqv_cmp(enum canp_pq_type type, bool is_unsigned, uint64_t a, uint64_t b);
bool canp_pqv_is_nan(enum canp_pq_type type, uint64_t v);
void canp_pqmm_add(struct canp_pqmm *mm, enum canp_pq_type type, bool is_unsigned, uint64_t v);
void canp_pqmm_join(struct canp_pqmm *mm, enum canp_pq_type type, bool is_unsigned,
		    const struct canp_pqmm *other);
/* Bytes of a bound as stored in statistics: a zero minimum becomes -0.0, a zero maximum +0.0.
 * out: 8 bytes; returns the length. */
unsigned canp_pqv_bound(enum canp_pq_type type, bool is_max, uint64_t v, uint8_t *out);
/* Physical values as a PLAIN page holds them (4 or 8 bytes each) of n indices; of n raw values of 4
 * or 8 bytes. out: 8 bytes for each value, 8-byte aligned. */
void canp_pqv_index(const struct canp_pqleaf *l, const uint16_t *idx, uint32_t n, uint64_t *out);
void canp_pqv_convert(const struct canp_pqleaf *l, const void *raw, uint32_t n, uint64_t *out);
/* Adds the bounds of n values, given as raw and as physical ones. */
void canp_pqv_bounds(const struct canp_pqleaf *l, const void *raw, uint32_t n, const uint64_t *val,
		     struct canp_pqmm *mm);
/* A scale that makes NaN or infinities of some raw values and not of others: no bounds. */
bool canp_pqv_wild(const struct canp_pqleaf *l);
/* Whether n physical values ascend strictly (values of a PLAIN page; no FLOAT). */
bool canp_pqv_ascend(const struct canp_pqleaf *l, const uint64_t *val, uint32_t n);
/* Packs n physical values, 8 bytes each, as PLAIN; returns the bytes. */
size_t canp_pqv_plain(enum canp_pq_type type, const uint64_t *v, uint32_t n, uint8_t *out);

/* ---- pqplan.c */
/* Chooses encodings and fills the maps for the current leaf. */
void canp_pqc_plan(struct canp_pqw *w);
/* Fills the maps again when another part has used them since the last step. */
void canp_pqc_keep_maps(struct canp_pqw *w);
const struct canp_pqleaf *canp_pqc_leaf(const struct canp_pqw *w);
/* What the current leaf collected; a label's is that of the column before it. */
struct canp_pqstate *canp_pqc_state(const struct canp_pqw *w);
/* Bits that indices below `entries` need, at least 1. */
unsigned canp_pqc_bits_for(uint32_t entries);
/* Reads the page the cursor stands before, levels skipped, into raw[]. The cursor then stands
 * behind it. */
void canp_pqc_read_raw(struct canp_pqw *w, const struct canp_pqpage *p, struct canp_segcur *cur);
/* DELTA page of the n values in val[], which are of an integer type; returns its bytes. */
size_t canp_pqc_delta(struct canp_pqshared *sh, enum canp_pq_type type, uint32_t n, uint8_t *out);

/* ---- pqorigin.c */
void canp_pqc_plan_origin(struct canp_pqw *w, const struct canp_pqleaf *l);
/* What an origin column holds for a stretch of rows. */
uint32_t canp_pqc_meta_key(const struct canp_pqleaf *l, const struct canp_run_meta *m);
/* Never NULL. */
const char *canp_pqc_device_name(const struct canp_pqw *w, uint32_t key);

/* ---- pqexact.c: the exact dictionary, which holds what occurs and nothing else. Both return the
 * number of entries, or 0 as soon as `enough(arg, entries)` is false for those found so far; that
 * is asked after every page. enough may be NULL. */
/* Index columns: order[] lists the used indices ascending, remap[] is the way back. */
uint32_t canp_pqc_exact_index(struct canp_pqw *w, bool (*enough)(void *arg, uint32_t entries),
			      void *arg);
/* Raw values of 17 to 64 bits: wide[] lists them in the order of their first rows. 0 also beyond
 * CANP_PQ_WIDE_MAX. */
uint32_t canp_pqc_exact_wide(struct canp_pqw *w, bool (*enough)(void *arg, uint32_t entries),
			     void *arg);
/* Entries of the n raw values in raw[], all of which are in the dictionary, into idx[]. */
void canp_pqc_wide_indices(struct canp_pqw *w, uint32_t n);

/* ---- pqdict.c */
/* 0: dictionary page done (or none). 1: no room. */
int canp_pqc_dict(struct canp_pqw *w);

/* ---- pqchunk.c */
/* Compresses sh->page[0..n) if asked and puts header and body. 1: no room. */
int canp_pqc_put_page(struct canp_pqw *w, enum canp_pq_page type, size_t n, uint32_t values,
		      uint32_t *stored);
/* Whether there is room for a page of at most n plain bytes. */
bool canp_pqc_page_room(const struct canp_pqw *w, uint64_t n);
/* 0: all pages written. 1: no room. */
int canp_pqc_pages(struct canp_pqw *w);

/* ---- pqfooter.c */
/* Records ColumnMetaData and page indexes of the leaf just written. */
void canp_pqf_leaf(struct canp_pqw *w);
void canp_pqf_group(struct canp_pqw *w);
/* Bytes that the records of the open row group can take. */
uint64_t canp_pqf_bound(const struct canp_pqw *w, uint32_t pages);
/* States CI..FOOT_TAIL. 0: DONE. 1: no room. */
int canp_pqf_step(struct canp_pqw *w);

#endif
