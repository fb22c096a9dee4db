/*
 * process_seg.c - the memory that all processes of a pool see at one address: the segment with
 * slots, rings and counters, and the payload memory behind the heaps. Both are memfds, sealed
 * against a change of size, mapped before the zygote is forked and closed right away, so no
 * descriptor is left and nothing has a name that could be left behind. Pages come with their first
 * use; huge pages for the payload are taken when all of them can be had.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/process/process_priv.h"

#define HUGE_BYTES (2 * (size_t)CANP_MIB)

static void *seg_memfd(const char *name, size_t bytes, bool huge, int *err)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | (huge ? MFD_HUGETLB : 0));
	void *p = MAP_FAILED;

	if (fd < 0) {
		*err = -errno;
		return NULL;
	}
	if (!ftruncate(fd, (off_t)bytes) &&
	    !fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			 MAP_SHARED | (huge ? 0 : MAP_NORESERVE), fd, 0);
	*err = p == MAP_FAILED ? -errno : 0;
	close(fd);
	return p == MAP_FAILED ? NULL : p;
}

static size_t seg_take(size_t *at, size_t bytes)
{
	size_t off = canp_align_up(*at, (size_t)4096);

	*at = off + bytes;
	return off;
}

static void seg_rings(struct canp_process_pool *p, char *rings)
{
	for (unsigned i = 0; i < p->nr_entries; i++) {
		for (unsigned k = 0; k < CANP_PRIO_NR; k++) {
			canp_spsc_init(&p->shm->entries[i].q[k], (void **)rings, p->ring_slots);
			rings += p->ring_slots * sizeof(void *);
		}
		canp_hist_init(&p->shm->entries[i].hist);
	}
}

int canp_process_seg_map(struct canp_process_pool *p)
{
	size_t at = sizeof(struct proc_shm) + p->nr_entries * sizeof(struct proc_entry);
	size_t slots, cold, rings;
	char *base;
	int rc;

	slots = seg_take(&at, p->nr_slots * sizeof(struct proc_slot));
	cold = seg_take(&at, p->nr_slots * sizeof(struct proc_cold));
	rings = seg_take(&at,
			 (size_t)p->nr_entries * CANP_PRIO_NR * p->ring_slots * sizeof(void *));
	p->shm_bytes = canp_align_up(at, (size_t)4096);
	base = seg_memfd("canp-pool", p->shm_bytes, false, &rc);
	if (!base)
		return rc;
	p->shm = (struct proc_shm *)base;
	p->slots = (struct proc_slot *)(base + slots);
	p->cold = (struct proc_cold *)(base + cold);
	seg_rings(p, base + rings);
	p->region_bytes = canp_align_up(p->region_bytes, HUGE_BYTES);
	p->payload_bytes = p->region_bytes * (p->nr_entries + 1);
	p->payload =
		p->cfg.hugepages ? seg_memfd("canp-payload", p->payload_bytes, true, &rc) : NULL;
	if (!p->payload) {
		p->payload = seg_memfd("canp-payload", p->payload_bytes, false, &rc);
		/* Only where the system lets shared memory have them; otherwise nothing happens. */
		if (p->payload)
			madvise(p->payload, p->payload_bytes, MADV_HUGEPAGE);
	}
	if (!p->payload) {
		munmap(p->shm, p->shm_bytes);
		return rc;
	}
	return 0;
}

void canp_process_seg_unmap(struct canp_process_pool *p)
{
	munmap(p->payload, p->payload_bytes);
	munmap(p->shm, p->shm_bytes);
}

/* ---- functions ---- */

int canp_process_seg_maps(struct canp_process_pool *p)
{
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512], perms[8];
	unsigned long from, to;

	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx %7s", &from, &to, perms) != 3 || perms[2] != 'x')
			continue;
		if (p->nr_maps && p->maps[p->nr_maps - 1].to == from)
			p->maps[p->nr_maps - 1].to = to;
		else if (p->nr_maps < PROC_MAPS_MAX) {
			p->maps[p->nr_maps].from = from;
			p->maps[p->nr_maps++].to = to;
		}
	}
	fclose(f);
	return p->nr_maps ? 0 : -ENOENT;
}

bool canp_process_seg_code(struct canp_process_pool *p, canp_process_fn fn)
{
	unsigned hint = __atomic_load_n(&p->map_hint, __ATOMIC_RELAXED);
	uintptr_t a = (uintptr_t)fn;

	if (canp_likely(a >= p->maps[hint].from && a < p->maps[hint].to))
		return true;
	for (unsigned i = 0; i < p->nr_maps; i++) {
		if (a < p->maps[i].from || a >= p->maps[i].to)
			continue;
		__atomic_store_n(&p->map_hint, i, __ATOMIC_RELAXED);
		return true;
	}
	return false;
}

/* ---- waking ---- */

int canp_process_futex_wait(uint32_t *word, uint32_t value, uint64_t end_ns)
{
	struct timespec ts = {(time_t)(end_ns / (uint64_t)CANP_NS_PER_S),
			      (long)(end_ns % (uint64_t)CANP_NS_PER_S)};

	if (syscall(SYS_futex, word, FUTEX_WAIT_BITSET, value, end_ns == UINT64_MAX ? NULL : &ts,
		    NULL, FUTEX_BITSET_MATCH_ANY) < 0)
		return -errno;
	return 0;
}

void canp_process_futex_wake(uint32_t *word, int nr)
{
	syscall(SYS_futex, word, FUTEX_WAKE, nr, NULL, NULL, 0);
}

void canp_process_kick(struct canp_process_pool *p)
{
	uint64_t one = 1;

	if (__atomic_exchange_n(&p->shm->kicked, 1, __ATOMIC_ACQ_REL))
		return;
	/* A full counter wakes just as well, and there is no other error. */
	if (write(p->kick_fd, &one, sizeof(one)) < 0)
		return;
}
