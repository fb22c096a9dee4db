/*
 * shard.c - a shard comes to life on its own thread, in this order: pin first, so that every page
 * it touches and the ring it makes are local to its core; then the arena, the region of it that is
 * registered with the ring, the ring itself; then the job's set-up callback carves the rest and
 * adds pollers, and the seal ends all allocation.
 */
#include "core/runtime/shard.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/base/log.h"
#include "core/base/units.h"
#include "core/runtime/runtime_priv.h"

/* Regions that the ring registers begin on a page of the largest usual size. */
#define SHARD_REGION_ALIGN (2 * CANP_MIB)

static void shard_pin(struct canp_shard *s)
{
	char name[16];
	int rc;

	snprintf(name, sizeof(name), "canp-%u", s->index);
	pthread_setname_np(pthread_self(), name);
	if (s->cpu < 0)
		return;
	rc = canp_bind_cpu(s->cpu);
	if (rc) {
		canp_warn("shard %u runs unpinned: CPU %d: %s", s->index, s->cpu,
			  canp_strerror(rc));
		s->cpu = -1;
	}
}

/* The arena and its first region; *region is empty when there is none. */
static int shard_make_arena(struct canp_shard *s, struct iovec *region)
{
	const struct canp_runtime_opts *o = &s->rt->opts;
	struct canp_hugepage_wish wish = {
		.bytes = o->arena_bytes,
		.touch_bytes = o->arena_touch_bytes ? o->arena_touch_bytes : o->arena_bytes,
		.mappers = s->rt->nr,
		.want = o->hugepages,
		.node = s->node,
	};
	struct canp_hugepage_report rep;
	int rc;

	if (!o->arena_bytes)
		return 0;
	rc = canp_arena_create_wish(&wish, o->arena_min_bytes, &rep, &s->arena);
	if (rc) {
		canp_error("shard %u: no memory for an arena of %zu MiB: %s", s->index,
			   (size_t)(o->arena_min_bytes / CANP_MIB), rep.reason);
		return rc;
	}
	if (!o->ring_region_bytes)
		return 0;
	region->iov_len = o->ring_region_bytes;
	region->iov_base =
		canp_arena_carve(s->arena, "ring", o->ring_region_bytes, SHARD_REGION_ALIGN);
	if (region->iov_base)
		return 0;
	canp_error("shard %u: the arena of %zu MiB cannot hold %zu MiB of I/O buffers", s->index,
		   canp_arena_bytes(s->arena) / CANP_MIB, o->ring_region_bytes / CANP_MIB);
	return -ENOMEM;
}

static int shard_make_ring(struct canp_shard *s, const struct iovec *region)
{
	const struct canp_runtime_opts *o = &s->rt->opts;
	struct canp_ring_opts ro = {
		.kind = o->ring,
		.entries = o->ring_entries,
		.buffers = region,
		.nr_buffers = region->iov_len != 0,
		.restrict_ops = o->restrict_ops,
		.iowq_cpu = s->rt->iowq_cpu,
	};
	int rc = canp_ring_create(&ro, &s->ring);

	if (rc) {
		canp_error("shard %u: no ring: %s", s->index, canp_strerror(rc));
		return rc;
	}
	canp_mesh_attach(s->mesh, s->index, s->ring);
	return 0;
}

int canp_shard_boot(struct canp_shard *s)
{
	const struct canp_runtime_opts *o = &s->rt->opts;
	struct iovec region = {0};
	int rc;

	shard_pin(s);
	canp_reactor_init(s);
	s->timers = calloc(CANP_REACTOR_TIMERS_MAX, sizeof(s->timers[0]));
	if (!s->timers)
		return -ENOMEM;
	rc = shard_make_arena(s, &region);
	if (!rc)
		rc = shard_make_ring(s, &region);
	if (!rc && o->setup)
		rc = o->setup(o->arg, s);
	if (rc)
		return rc;
	if (s->arena)
		canp_arena_seal(s->arena);
	return 0;
}

void canp_shard_shutdown(struct canp_shard *s)
{
	canp_mesh_attach(s->mesh, s->index, NULL);
	/* Before the arena: operations in flight point into it. */
	canp_ring_destroy(s->ring);
	s->ring = NULL;
	if (s->arena)
		canp_arena_destroy(s->arena);
	s->arena = NULL;
	free(s->timers);
	s->timers = NULL;
}
