/*
 * pqgen.h - random tables and records for the sink tests, with a naive model of what each cell must
 * be: bits are taken one at a time, presence is decided from the DBC rules, physical values are
 * computed in double or as integers. Shares nothing with the code under test.
 */
#ifndef CANP_TESTS_PQGEN_H
#define CANP_TESTS_PQGEN_H

#include "io/can/group.h"
#include "io/can/plan.h"
#include "io/sink/run.h"
#include "numa/pool.h"

struct pqgen_rng {
	uint64_t s;
};
uint64_t pqgen_u64(struct pqgen_rng *r);
static inline uint32_t pqgen_below(struct pqgen_rng *r, uint32_t n)
{
	return (uint32_t)(pqgen_u64(r) % n);
}

struct pqgen {
	struct pqgen_rng rng;
	struct canp_table table;
	struct canp_col cols[64];
	struct canp_window wins[64];
	struct canp_muxrange mux[64][2];
	struct canp_valdesc values[4];
	char names[64][16];
	/* rows made so far: records, payload lengths, origin */
	uint8_t *rec;
	uint8_t *len;
	struct canp_run_meta *meta; /* rows = 1 each */
	uint32_t rows, cap;
	uint32_t src, device, bus;
	int64_t ts;
	/* chunk storage of pqgen_chunk() */
	uint8_t lens[256];
	struct canp_meta_run runs[256];
};

enum pqgen_kind { PQGEN_PLAIN, PQGEN_MUX, PQGEN_RAW };

/* A random table of class cls with nr_cols columns. Free with pqgen_fini(). */
void pqgen_init(struct pqgen *g, uint64_t seed, enum canp_rec_class cls, enum pqgen_kind kind,
		uint32_t nr_cols);
void pqgen_fini(struct pqgen *g);
/* Adds n (<= 256) random rows and describes them as a chunk, valid until the next call. style 0:
 * noise, 1: constant stretches, 2: slow counters. shorts: some frames are short. */
struct canp_chunk pqgen_chunk(struct pqgen *g, uint32_t n, unsigned style, bool shorts);

/* Model: is cell (row, col) present, and its raw bits. */
bool pqgen_present(const struct pqgen *g, uint32_t row, uint32_t col);
uint64_t pqgen_raw(const struct pqgen *g, uint32_t row, uint32_t col);
/* Model: physical bits as a file holds them (zero-extended INT32 bits, double bits ...). */
uint64_t pqgen_phys(const struct pqgen *g, uint32_t row, uint32_t col);
int64_t pqgen_ts(const struct pqgen *g, uint32_t row);
/* Byte columns: payload of the row. */
const uint8_t *pqgen_bytes(const struct pqgen *g, uint32_t row, uint32_t *len);

/* A pool of page slots on the heap. */
void pqgen_pool_init(struct canp_pool *p, uint32_t slots);
void pqgen_pool_fini(struct canp_pool *p);

#endif
