/*
 * ring_uring_setup.c - how an io_uring is made: flags from best to plain, then what the kernel can
 * do (asked, never guessed from its version), registered memory, limits on kernel workers, and the
 * allow-list of operations.
 *
 * Every refusal is written down in caps.reason, in words a user can act on; only the ring itself
 * is indispensable. Order matters once: restrictions can only be registered while the ring is
 * disabled and everything registered after them would need its own permission, so they come last.
 */
#include "core/runtime/ring_uring_priv.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "core/base/err.h"
#include "core/base/units.h"
#include "core/runtime/ring_compat.h"

#define URING_ENTRIES_DEFAULT 256u
#define URING_ENTRIES_MIN     4u
#define URING_ENTRIES_MAX     4096u
#define URING_CQ_FACTOR       4u
/* Completion entries kept for what is not an operation: the wake read and poll removals. */
#define URING_CQ_SPARE 8u
/* What is not spare are the slots: with none, every operation would wait for ever. */
CANP_STATIC_ASSERT(URING_CQ_SPARE + URING_ENTRIES_MIN <= URING_ENTRIES_MIN * URING_CQ_FACTOR,
		   "the smallest ring has a slot for each of its entries");
/* Kernel workers per ring. Only metadata calls and retries go there; the default of one per core
 * and more would take the CPU from the reactors. */
#define URING_WORKERS_MAX 4u
/* The kernel registers at most this much per entry. */
#define URING_FIXED_BYTES_MAX CANP_GIB

unsigned canp_ring_first_rung;

static const struct {
	unsigned flags;
	const char *name;
} uring_ladder[] = {
	{IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |
		 IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
	 "defer_taskrun"},
	{IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL |
		 IORING_SETUP_CQSIZE,
	 "coop_taskrun"},
	{IORING_SETUP_CQSIZE, "plain"},
};

/* The kernel's opcodes each of ours needs; a second one only when buffers are registered. */
static const struct {
	uint8_t op, fixed;
} uring_ops[CANP_OP_NR] = {
	[CANP_OP_NOP] = {IORING_OP_NOP, IORING_OP_NOP},
	[CANP_OP_READ] = {IORING_OP_READ, IORING_OP_READ_FIXED},
	[CANP_OP_WRITE] = {IORING_OP_WRITE, IORING_OP_WRITE_FIXED},
	[CANP_OP_FDATASYNC] = {IORING_OP_FSYNC, IORING_OP_FSYNC},
	[CANP_OP_FSYNC] = {IORING_OP_FSYNC, IORING_OP_FSYNC},
	[CANP_OP_FTRUNCATE] = {CANP_IORING_OP_FTRUNCATE, CANP_IORING_OP_FTRUNCATE},
	[CANP_OP_RENAME] = {IORING_OP_RENAMEAT, IORING_OP_RENAMEAT},
	[CANP_OP_UNLINK] = {IORING_OP_UNLINKAT, IORING_OP_UNLINKAT},
	[CANP_OP_CLOSE] = {IORING_OP_CLOSE, IORING_OP_CLOSE},
	[CANP_OP_POLL] = {IORING_OP_POLL_ADD, IORING_OP_POLL_REMOVE},
};

static const char *uring_setup_hint(int rc)
{
	switch (-rc) {
	case EPERM:
	case EACCES:
		return " (see sysctl kernel.io_uring_disabled and the container's seccomp profile)";
	case ENOSYS:
		return " (the kernel was built without it)";
	case ENOMEM:
		return " (raise RLIMIT_MEMLOCK, e.g. LimitMEMLOCK=infinity)";
	case EMFILE:
	case ENFILE:
		return " (raise the open files limit, ulimit -n)";
	default:
		return "";
	}
}

/* Climbs down until a rung holds; only "invalid argument" means that the next may do better. */
static int uring_setup(struct ring_uring *u, const struct canp_ring_opts *opts, char *why,
		       size_t why_bytes)
{
	unsigned entries = opts->entries ? opts->entries : URING_ENTRIES_DEFAULT;
	unsigned need = IORING_FEAT_EXT_ARG | IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE;
	struct io_uring_params p;
	int rc = -EINVAL;

	entries = canp_max(canp_min(entries, URING_ENTRIES_MAX), URING_ENTRIES_MIN);
	for (unsigned i = canp_ring_first_rung; i < CANP_ARRAY_SIZE(uring_ladder); i++) {
		memset(&p, 0, sizeof(p));
		p.flags = uring_ladder[i].flags;
		p.cq_entries = entries * URING_CQ_FACTOR;
		if (opts->restrict_ops)
			p.flags |= IORING_SETUP_R_DISABLED;
		rc = io_uring_queue_init_params(entries, &u->uring, &p);
		if (rc != -EINVAL)
			break;
		canp_ring_note(&u->ring.caps, "%s refused", uring_ladder[i].name);
	}
	if (rc) {
		snprintf(why, why_bytes, "io_uring: %s%s", canp_strerror(rc), uring_setup_hint(rc));
		return rc;
	}
	if ((p.features & need) != need) {
		snprintf(why, why_bytes, "io_uring: kernel too old (features %#x)", p.features);
		io_uring_queue_exit(&u->uring);
		return -EOPNOTSUPP;
	}
	u->ring.caps.features = p.features;
	u->ring.caps.single_issuer = p.flags & IORING_SETUP_SINGLE_ISSUER;
	u->ring.caps.defer_taskrun = p.flags & IORING_SETUP_DEFER_TASKRUN;
	u->ring.caps.coop_taskrun = p.flags & IORING_SETUP_COOP_TASKRUN;
	u->ring.caps.min_wait = p.features & CANP_IORING_FEAT_MIN_TIMEOUT;
	u->nr_slots = p.cq_entries - URING_CQ_SPARE;
	return 0;
}

static int uring_alloc_tables(struct ring_uring *u)
{
	u->slots = calloc(u->nr_slots, sizeof(u->slots[0]));
	u->free = calloc(u->nr_slots, sizeof(u->free[0]));
	if (!u->slots || !u->free)
		return -ENOMEM;
	/* Low slots first: fewer lines stay in use. */
	for (uint32_t i = 0; i < u->nr_slots; i++)
		u->free[i] = u->nr_slots - 1 - i;
	u->nr_free = u->nr_slots;
	return 0;
}

static void uring_probe(struct ring_uring *u)
{
	struct io_uring_probe *probe = io_uring_get_probe_ring(&u->uring);

	for (unsigned i = 0; probe && i < CANP_OP_NR; i++)
		if (io_uring_opcode_supported(probe, uring_ops[i].op) &&
		    io_uring_opcode_supported(probe, uring_ops[i].fixed))
			u->supported |= 1u << i;
	u->ring.caps.has_ftruncate = u->supported & (1u << CANP_OP_FTRUNCATE);
	u->ring.caps.msg_ring = probe && io_uring_opcode_supported(probe, IORING_OP_MSG_RING);
	io_uring_free_probe(probe);
}

/* Registers the caller's buffers, cut into pieces the kernel takes. Locked memory is a scarce
 * right, so a refusal is noted and plain reads and writes do the same work. */
static void uring_register_buffers(struct ring_uring *u, const struct canp_ring_opts *opts)
{
	int rc;

	for (unsigned i = 0; i < opts->nr_buffers; i++) {
		char *p = opts->buffers[i].iov_base;
		size_t left = opts->buffers[i].iov_len;

		while (left && u->nr_fixed < URING_FIXED_MAX) {
			size_t n = canp_min(left, (size_t)URING_FIXED_BYTES_MAX);

			u->fixed[u->nr_fixed++] = (struct iovec){.iov_base = p, .iov_len = n};
			p += n;
			left -= n;
		}
	}
	if (!u->nr_fixed)
		return;
	rc = io_uring_register_buffers(&u->uring, u->fixed, u->nr_fixed);
	if (!rc) {
		u->ring.caps.fixed_buffers = true;
		return;
	}
	u->nr_fixed = 0;
	canp_ring_note(&u->ring.caps, "buffers not registered: %s%s", canp_strerror(rc),
		       uring_setup_hint(rc));
}

/* An empty table that files take places in as they are opened. A refusal (a small limit of open
 * files) changes nothing else. */
static void uring_register_files(struct ring_uring *u)
{
	int rc = io_uring_register_files_sparse(&u->uring, URING_FILES);

	if (rc) {
		canp_ring_note(&u->ring.caps, "no file table: %s", canp_strerror(rc));
		return;
	}
	u->ring.caps.fixed_files = true;
	for (unsigned i = 0; i < URING_FILES; i++)
		u->file_free[i] = (uint16_t)(URING_FILES - 1 - i);
	u->nr_file_free = URING_FILES;
}

static void uring_limit_workers(struct ring_uring *u, int cpu)
{
	unsigned max[2] = {URING_WORKERS_MAX, URING_WORKERS_MAX};
	cpu_set_t set;
	int rc = io_uring_register_iowq_max_workers(&u->uring, max);

	if (rc)
		canp_ring_note(&u->ring.caps, "workers not capped: %s", canp_strerror(rc));
	if (cpu < 0 || cpu >= CPU_SETSIZE)
		return;
	CPU_ZERO(&set);
	CPU_SET((unsigned)cpu, &set);
	rc = io_uring_register_iowq_aff(&u->uring, sizeof(set), &set);
	if (rc)
		canp_ring_note(&u->ring.caps, "workers not placed: %s", canp_strerror(rc));
}

/* Allows the operations of this file, the flag that retries set, and the call that unregisters the
 * ring's descriptor; nothing else. Then the ring starts. */
static int uring_restrict(struct ring_uring *u)
{
	struct io_uring_restriction res[2 * CANP_OP_NR + 3];
	unsigned nr = 0;
	int rc;

	memset(res, 0, sizeof(res));
	for (unsigned i = 0; i < CANP_OP_NR; i++) {
		if (!(u->supported & (1u << i)))
			continue;
		res[nr].opcode = IORING_RESTRICTION_SQE_OP;
		res[nr++].sqe_op = uring_ops[i].op;
		res[nr].opcode = IORING_RESTRICTION_SQE_OP;
		res[nr++].sqe_op = uring_ops[i].fixed;
	}
	res[nr].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
	res[nr++].sqe_flags = IOSQE_ASYNC | IOSQE_FIXED_FILE;
	res[nr].opcode = IORING_RESTRICTION_REGISTER_OP;
	res[nr++].register_op = IORING_UNREGISTER_RING_FDS;
	res[nr].opcode = IORING_RESTRICTION_REGISTER_OP;
	res[nr++].register_op = IORING_REGISTER_FILES_UPDATE;
	rc = io_uring_register_restrictions(&u->uring, res, nr);
	if (rc)
		canp_ring_note(&u->ring.caps, "operations not restricted: %s", canp_strerror(rc));
	else
		u->ring.caps.restricted = true;
	return io_uring_enable_rings(&u->uring);
}

void canp_uring_free(struct ring_uring *u)
{
	if (u->efd >= 0)
		close(u->efd);
	free(u->slots);
	free(u->free);
	free(u);
}

uint64_t canp_uring_fixed_ops(const struct canp_ring *r)
{
	return canp_container_of(r, const struct ring_uring, ring)->fixed_ops;
}

uint64_t canp_uring_file_ops(const struct canp_ring *r)
{
	return canp_container_of(r, const struct ring_uring, ring)->file_ops;
}

int canp_ring_uring_create(const struct canp_ring_opts *opts, struct canp_ring **out, char *why,
			   size_t why_bytes)
{
	struct ring_uring *u = calloc(1, sizeof(*u));
	int rc;

	if (!u)
		return -ENOMEM;
	u->ring.be = &canp_uring_backend;
	u->ring.caps.kind = CANP_RING_URING;
	/* Not EFD_NONBLOCK: a read of a non-blocking descriptor would fail instead of waiting. */
	u->efd = eventfd(0, EFD_CLOEXEC);
	if (u->efd < 0) {
		rc = -errno;
		snprintf(why, why_bytes, "eventfd: %s", canp_strerror(rc));
		goto out_free;
	}
	rc = uring_setup(u, opts, why, why_bytes);
	if (rc)
		goto out_free;
	/* A child that inherits the mapping of a ring could only do harm with it. */
	rc = io_uring_ring_dontfork(&u->uring);
	if (!rc)
		rc = uring_alloc_tables(u);
	if (rc)
		goto out_exit;
	uring_probe(u);
	uring_register_buffers(u, opts);
	uring_register_files(u);
	uring_limit_workers(u, opts->iowq_cpu);
	/* Saves a descriptor look-up per call; a refusal changes nothing else. */
	if (io_uring_register_ring_fd(&u->uring) < 0)
		canp_ring_note(&u->ring.caps, "ring descriptor not registered");
	if (opts->restrict_ops) {
		rc = uring_restrict(u);
		if (rc)
			goto out_exit;
	}
	*out = &u->ring;
	return 0;
out_exit:
	snprintf(why, why_bytes, "io_uring: %s", canp_strerror(rc));
	io_uring_queue_exit(&u->uring);
out_free:
	canp_uring_free(u);
	return rc;
}
