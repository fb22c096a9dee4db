/*
 * devices.c - append-only name table: names live in one reserved mapping, so an index stays valid
 * while others are added and readers need no lock.
 */
#include "io/devices.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/base/hash.h"
#include "core/base/units.h"

#define DEVICES_HASH (CANP_DEVICES_MAX * 2)

struct canp_devices {
	pthread_mutex_t lock;
	uint32_t count; /* written under lock, published with release */
	uint32_t *hash; /* [DEVICES_HASH] index + 1, 0 = empty; under lock */
	char (*names)[CANP_DEVICE_NAME_MAX + 1];
};

static size_t devices_bytes(void)
{
	return sizeof(char[CANP_DEVICE_NAME_MAX + 1]) * CANP_DEVICES_MAX +
	       sizeof(uint32_t) * DEVICES_HASH;
}

int canp_devices_create(struct canp_devices **out)
{
	struct canp_devices *d = calloc(1, sizeof(*d));
	void *m;

	if (!d)
		return -ENOMEM;
	/* Reserved, touched only as names come in. */
	m = mmap(NULL, devices_bytes(), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (m == MAP_FAILED) {
		free(d);
		return -ENOMEM;
	}
	pthread_mutex_init(&d->lock, NULL);
	d->hash = m;
	d->names = (void *)(d->hash + DEVICES_HASH);
	d->count = 0;
	canp_devices_add(d, "", 0);
	*out = d;
	return 0;
}

void canp_devices_destroy(struct canp_devices *d)
{
	if (!d)
		return;
	pthread_mutex_destroy(&d->lock);
	munmap(d->hash, devices_bytes());
	free(d);
}

uint32_t canp_devices_add(struct canp_devices *d, const char *name, size_t len)
{
	uint32_t i, idx;

	len = canp_min(len, (size_t)CANP_DEVICE_NAME_MAX);
	i = (uint32_t)canp_hash_bytes(name, len) & (DEVICES_HASH - 1);
	pthread_mutex_lock(&d->lock);
	for (;; i = (i + 1) & (DEVICES_HASH - 1)) {
		idx = d->hash[i];
		if (!idx)
			break;
		if (strlen(d->names[idx - 1]) == len && !memcmp(d->names[idx - 1], name, len)) {
			pthread_mutex_unlock(&d->lock);
			return idx - 1;
		}
	}
	if (d->count == CANP_DEVICES_MAX) {
		pthread_mutex_unlock(&d->lock);
		return CANP_DEVICES_MAX - 1;
	}
	idx = d->count;
	memcpy(d->names[idx], name, len);
	d->names[idx][len] = '\0';
	d->hash[i] = idx + 1;
	/* D1: publishes the name; pairs with the index travelling in a message or D2. */
	__atomic_store_n(&d->count, idx + 1, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&d->lock);
	return idx;
}

const char *canp_devices_name(const struct canp_devices *d, uint32_t index)
{
	/* D2: pairs with D1. */
	return index < __atomic_load_n(&d->count, __ATOMIC_ACQUIRE) ? d->names[index] : "";
}

uint32_t canp_devices_count(const struct canp_devices *d)
{
	return __atomic_load_n(&d->count, __ATOMIC_ACQUIRE);
}
