/*
 * devices.h - device names of a job (serials stored in logs, --device). Shards add names when a
 * file or block starts with a new one, which is rare; page runs carry indices; the indices never
 * reach the dataset, the names do.
 */
#ifndef CANP_IO_DEVICES_H
#define CANP_IO_DEVICES_H

#include <stddef.h>
#include <stdint.h>

#define CANP_DEVICE_NAME_MAX 128u
#define CANP_DEVICES_MAX     65536u

struct canp_devices;

/* Control plane. Index 0 is the empty name. */
int canp_devices_create(struct canp_devices **out);
void canp_devices_destroy(struct canp_devices *d);
/* Index of a name, added when new; longer names are cut at CANP_DEVICE_NAME_MAX; above
 * CANP_DEVICES_MAX names the last index is shared. Any thread; takes a lock, allocates nothing. */
uint32_t canp_devices_add(struct canp_devices *d, const char *name, size_t len);
/* Name of an index got from add; valid for the life of d. Any thread, no lock. */
const char *canp_devices_name(const struct canp_devices *d, uint32_t index);
uint32_t canp_devices_count(const struct canp_devices *d);

#endif
