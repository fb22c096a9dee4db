/*
 * gen_traffic.h - invented CAN traffic of a vehicle bus, reproducible on any machine.
 */
#ifndef CANP_TOOLS_GEN_TRAFFIC_H
#define CANP_TOOLS_GEN_TRAFFIC_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct canp_gen_traffic;

struct canp_gen_frame {
	uint64_t ts_ns;
	uint32_t id; /* 11 bits */
	uint8_t dlc; /* 1..8 */
	uint8_t data[8];
};

/* ids: 1..1024 messages. start_ns: time of the first frame since 1970. NULL: out of memory. */
struct canp_gen_traffic *canp_gen_traffic_create(uint64_t seed, unsigned ids, bool sparse,
						 uint64_t start_ns);
void canp_gen_traffic_destroy(struct canp_gen_traffic *t);
/* The next frame on the bus; times never fall. */
void canp_gen_traffic_next(struct canp_gen_traffic *t, struct canp_gen_frame *f);
/* Frames so far, and the signals they carried. */
void canp_gen_traffic_counts(const struct canp_gen_traffic *t, uint64_t *frames, uint64_t *signals);
/* Writes the database that describes the traffic (DBC text). 0 or -EIO. */
int canp_gen_traffic_dbc(const struct canp_gen_traffic *t, FILE *out);

#endif
