/*
 * ring_fault.c - faults from the environment, so that a whole program can be run against a disk
 * that misbehaves. Only in debug flavours; release builds ignore the variable.
 *
 *   CANP_RING_FAULT=OP:WHAT:N   every Nth completion of OP (read, write, fdatasync, fsync,
 *                               ftruncate, rename, unlink) becomes WHAT: "short" (half of the
 *                               bytes) or an errno number (5 = EIO, 11 = EAGAIN, 28 = ENOSPC).
 *
 * The fault replaces the result of an operation that was really carried out; that is what a lost
 * acknowledgement looks like, and callers have to cope with it.
 */
#include "core/runtime/ring_priv.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/compiler.h"
#include "core/base/log.h"

#ifdef CANP_DEBUG

static struct {
	enum canp_ring_opcode opcode;
	int err; /* 0: short */
	unsigned every;
	unsigned seen;
} ring_fault;

static void ring_fault_apply(struct canp_ring_op *op)
{
	if (op->opcode != ring_fault.opcode || op->res < 0)
		return;
	if (__atomic_add_fetch(&ring_fault.seen, 1, __ATOMIC_RELAXED) % ring_fault.every)
		return;
	op->res = ring_fault.err ? -ring_fault.err : op->res / 2;
}

static bool ring_fault_parse(const char *text)
{
	static const char *const names[CANP_OP_NR] = {
		[CANP_OP_READ] = "read",           [CANP_OP_WRITE] = "write",
		[CANP_OP_FDATASYNC] = "fdatasync", [CANP_OP_FSYNC] = "fsync",
		[CANP_OP_FTRUNCATE] = "ftruncate", [CANP_OP_RENAME] = "rename",
		[CANP_OP_UNLINK] = "unlink",
	};
	char op[16], what[16];
	unsigned every;

	if (sscanf(text, "%15[^:]:%15[^:]:%u", op, what, &every) != 3 || every == 0)
		return false;
	for (unsigned i = 0; i < CANP_OP_NR; i++) {
		if (!names[i] || strcmp(op, names[i]) != 0)
			continue;
		ring_fault.opcode = (enum canp_ring_opcode)i;
		ring_fault.every = every;
		ring_fault.err = strcmp(what, "short") == 0 ? 0 : (int)strtol(what, NULL, 10);
		return ring_fault.err > 0 || strcmp(what, "short") == 0;
	}
	return false;
}

static void ring_fault_look(void)
{
	const char *text = getenv("CANP_RING_FAULT");

	if (text && !canp_ring_fault_hook) {
		if (ring_fault_parse(text))
			canp_ring_fault_hook = ring_fault_apply;
		else
			canp_warn("CANP_RING_FAULT=%s not understood, ignored", text);
	}
}

void canp_ring_fault_env(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, ring_fault_look);
}

#else

void canp_ring_fault_env(void)
{
}

#endif
