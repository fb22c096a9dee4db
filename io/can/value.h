/*
 * value.h - the scalar reference of signal decoding: raw bits of a payload, and their physical
 * value. The hot path uses kernels; tests, CSV output and dictionary building use these, so that
 * there is one definition of what a value is.
 *
 * Pure functions; any thread.
 */
#ifndef CANP_IO_VALUE_H
#define CANP_IO_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "io/can/plan.h"

/* A physical value. Columns of an integer type give exact 64-bit integers, all others a double
 * equal to raw * factor + offset rounded after each step (never fused). */
struct canp_phys {
	bool is_int;      /* i and u count; else only d */
	bool is_unsigned; /* above INT64_MAX: u counts, not i */
	int64_t i;
	uint64_t u; /* the same bits */
	double d;   /* always set; rounded when the integer has more than 53 bits */
};

/* Raw bits (not sign-extended) of column col from a payload of len bytes. 1: present. 0: null,
 * because the payload is too short, the multiplexor selects other signals, or the column is not
 * made of payload bits (CANP_SRC_SIGNAL). *raw is 0 when null. */
int canp_plan_extract(const struct canp_table *table, unsigned col, const uint8_t *payload,
		      unsigned len, uint64_t *raw);

/* Sign-extended when the column is signed; else the same bits. */
int64_t canp_plan_raw_signed(const struct canp_col *col, uint64_t raw);

/* Physical value of raw bits as canp_plan_extract() gives them. */
struct canp_phys canp_plan_phys(const struct canp_col *col, uint64_t raw);

/* Text of the value table for raw bits, or NULL. */
const char *canp_plan_label(const struct canp_col *col, uint64_t raw);

#endif
