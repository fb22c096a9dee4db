/*
 * cmd_execute.c - one command, run and waited for by the caller: a pool of its own with room for
 * one, driven by the calling thread. It is the plain executor of the source document.
 */
#include <errno.h>
#include <stdlib.h>

#include "core/command/cmd_priv.h"

struct canp_cmd_execution {
	struct canp_cmd_pool *pool;
	struct canp_future *f;
};

int canp_cmd_execute(const struct canp_cmd_spec *spec, struct canp_cmd_execution **mem,
		     const struct canp_cmd_result **r)
{
	size_t most = canp_max(spec->out.len, spec->err.len);
	struct canp_cmd_config cfg = {
		.workers = 1, .max_size = 1, .history = 1, .capture_max = 0, .foreign = true};
	struct canp_cmd_execution *m = calloc(1, sizeof(*m));
	int rc = m ? 0 : -ENOMEM;

	if (most > CANP_CMD_CAPTURE_MAX)
		cfg.capture_max = (uint32_t)canp_min(most, CANP_GIB);
	if (!rc)
		rc = canp_cmd_pool_create(&cfg, &m->pool);
	if (!rc)
		rc = canp_cmd_pool_start(m->pool, 0);
	if (!rc)
		rc = canp_cmd_try_push(m->pool, spec, &m->f);
	if (rc) {
		canp_cmd_execute_free(m);
		return rc;
	}
	while (canp_future_status(m->f) < CANP_TASK_COMPLETED)
		canp_cmd_lane_turn(m->pool->lanes[0], -1);
	*r = canp_cmd_result(m->f);
	*mem = m;
	return 0;
}

void canp_cmd_execute_free(struct canp_cmd_execution *m)
{
	if (!m)
		return;
	if (m->f)
		canp_future_put(m->f);
	canp_cmd_pool_destroy(m->pool);
	free(m);
}
