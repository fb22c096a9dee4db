/*
 * cmd_resident.c - the backend of mode resident.
 */
#include <errno.h>

#include "core/command/cmd_priv.h"

static int resident_open(struct canp_cmd_pool *p, void *arg, void **ctx)
{
	(void)p;
	(void)arg;
	(void)ctx;
	return -ENOTSUP;
}

const struct canp_cmd_backend canp_cmd_resident = {.name = "resident", .open = resident_open};
