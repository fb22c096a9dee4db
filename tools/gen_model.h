/*
 * gen_model.h - messages and signals of the invented bus; shared by the traffic and the database
 * writer.
 */
#ifndef CANP_TOOLS_GEN_MODEL_H
#define CANP_TOOLS_GEN_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#define CANP_GEN_SIGNALS_MAX 17u
#define CANP_GEN_IDS_MAX     1024u

enum canp_gen_kind {
	CANP_GEN_CONST,
	CANP_GEN_WALK,  /* inertial: speeds, angles */
	CANP_GEN_SLOW,  /* temperatures */
	CANP_GEN_NOISE, /* a sensor at rest */
	CANP_GEN_ENUM,
	CANP_GEN_FLAG,
	CANP_GEN_COUNTER, /* of the end-to-end protection */
	CANP_GEN_CRC,
};

struct canp_gen_signal {
	enum canp_gen_kind kind;
	uint8_t start, len; /* little-endian bit position and width */
	bool is_signed;
	uint8_t scale; /* row of the scaling table, for the database */
	uint64_t raw;
	/* 16 fractional bits; the unit is one raw step */
	int64_t value, speed, amplitude;
	uint32_t chance; /* of a change per frame, of 2^32 */
};

struct canp_gen_message {
	uint32_t id;
	uint8_t dlc;
	bool protected_; /* counter in bits 8..11, CRC-8 in byte 0 */
	uint32_t cycle_us;
	int64_t due_ns; /* since the start */
	unsigned nr_signals;
	struct canp_gen_signal signals[CANP_GEN_SIGNALS_MAX];
};

struct canp_gen_traffic {
	uint64_t rnd[4];
	uint64_t seed, start_ns;
	bool sparse;
	unsigned nr;
	int64_t bus_free_ns;                 /* since the start */
	int64_t activity, activity_until_ns; /* 0 parked .. 256 driving */
	uint64_t frames, nr_signals;
	struct canp_gen_message *messages;
};

#endif
