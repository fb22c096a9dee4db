/*
 * libconfig.c - from the option rows of lib.def to the option structs of the library's objects.
 */
#include "io/libconfig.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/units.h"
#include "io/lib_cfg.h"

/* "512,1024,.." into a tier's classes; the pool checks their order, here it is told which. */
static int classes_parse(const char *name, const char *text, uint32_t *cls, unsigned *nr,
			 struct canp_strbuf *err)
{
	const char *p = text;
	unsigned n = 0;

	while (n < CANP_MEM_CLASSES_MAX) {
		char *end;
		unsigned long v = *p >= '0' && *p <= '9' ? strtoul(p, &end, 10) : 0;

		if (!v || v % 64 || v > CANP_MIB || (n && v <= cls[n - 1]))
			break;
		cls[n++] = (uint32_t)v;
		if (!*end) {
			*nr = n;
			return 0;
		}
		if (*end != ',')
			break;
		p = end + 1;
	}
	if (err)
		canp_strbuf_printf(err,
				   "%s: '%s' is not a list of at most %u ascending multiples of 64 "
				   "up to 1 MiB",
				   name, text, CANP_MEM_CLASSES_MAX);
	return -EINVAL;
}

static int set_mem(const struct canp_lib_cfg *c, struct canp_mem_opts *o, struct canp_strbuf *err)
{
	int rc;

	rc = classes_parse("pool-block-classes", c->pool_block_classes, o->classes[CANP_MEM_BLOCK],
			   &o->nr_classes[CANP_MEM_BLOCK], err);
	if (!rc)
		rc = classes_parse("pool-decompress-classes", c->pool_decompress_classes,
				   o->classes[CANP_MEM_DECOMPRESS],
				   &o->nr_classes[CANP_MEM_DECOMPRESS], err);
	if (!rc)
		rc = classes_parse("pool-frame-classes", c->pool_frame_classes,
				   o->classes[CANP_MEM_FRAME], &o->nr_classes[CANP_MEM_FRAME], err);
	o->depot_shards[CANP_MEM_BLOCK] = c->pool_block_shards;
	o->depot_shards[CANP_MEM_DECOMPRESS] = c->pool_decompress_shards;
	o->depot_shards[CANP_MEM_FRAME] = c->pool_frame_shards;
	o->depot_capacity[CANP_MEM_BLOCK] = c->pool_block_capacity;
	o->depot_capacity[CANP_MEM_DECOMPRESS] = c->pool_decompress_capacity;
	o->depot_capacity[CANP_MEM_FRAME] = c->pool_frame_capacity;
	o->max_total_memory = c->pool_max_memory;
	o->memory_warning_threshold = c->pool_warning_threshold;
	o->hugepages = (enum canp_hugepages)c->pool_hugepages;
	o->node = -1;
	o->mmap_cache_entries = c->pool_mmap_cache;
	o->block_cache_entries = c->pool_block_cache;
	o->cache_ttl_ns = c->pool_cache_ttl;
	return rc;
}

static void set_exec(const struct canp_lib_cfg *c, struct canp_exec_opts *o)
{
	o->cores = c->task_cores;
	o->io_bound_threads = c->task_io_bound;
	o->cpu_bound_threads = c->task_cpu_bound;
	o->memory_bound_threads = c->task_memory_bound;
	o->no_stats = !c->task_stats;
	o->no_memory_management = !c->task_memory_management;
	o->slots = c->task_slots;
	o->spin_us = c->task_spin_us;
	o->pin = c->task_pin;
}

static void set_pipe(const struct canp_lib_cfg *c, struct canp_pipe_opts *o)
{
	o->mode = (enum canp_pipe_mode)c->pipe_mode;
	o->executor = (enum canp_pipe_exec)c->pipe_executor;
	o->max_workers = c->pipe_max_workers;
	o->max_memory_items = c->pipe_max_memory_items;
	o->max_memory_bytes = c->pipe_max_memory;
	o->pipeline_depth = c->pipe_depth;
	o->no_adaptive_batching = !c->pipe_adaptive_batching;
	o->batch_items = c->pipe_batch_items;
	o->max_running_ops = c->pipe_max_running_ops;
	o->no_async_execution = !c->pipe_async_execution;
	o->no_shared_monitoring = !c->pipe_shared_monitoring;
	o->no_async_events = !c->pipe_async_events;
}

static void set_process(const struct canp_lib_cfg *c, struct canp_process_config *o)
{
	o->worker_count = (int)c->process_workers;
	o->max_workers = (int)c->process_max_workers;
	o->min_workers = (int)c->process_min_workers;
	o->queue_size = (int)c->process_queue;
	o->worker_idle_timeout = c->process_idle_ms;
	o->task_timeout = c->process_task_ms;
	o->enable_dynamic_scaling = c->process_scaling;
	o->enable_worker_affinity = c->process_affinity;
	o->log_level = (int)c->process_log_level;
	o->futures = c->process_futures;
	o->shm_bytes = c->process_shm;
	o->spin_us = c->process_spin_us;
	o->heartbeat_ms = c->process_heartbeat_ms;
	o->cancel_grace_ms = c->process_cancel_ms;
	o->stop_grace_ms = c->process_stop_ms;
	o->restart_max = c->process_restart_max;
	o->restart_window_ms = c->process_restart_ms;
	o->max_tasks_per_worker = c->process_recycle;
	o->max_tasks_jitter = c->process_jitter;
	o->max_worker_rss = c->process_rss;
	o->log_max_bytes = c->process_log_max;
	o->log_keep = c->process_log_keep;
	o->perf_counters = c->process_perf;
	o->trace = c->process_trace;
	o->hugepages = c->process_hugepages;
}

static void set_command(const struct canp_lib_cfg *c, struct canp_cmd_config *o)
{
	o->mode = (enum canp_cmd_mode)c->command_mode;
	o->workers = c->command_workers;
	o->concurrency_limit = c->command_limit;
	o->limit_max = c->command_limit_max;
	o->max_size = c->command_queue;
	o->history = c->command_history;
	o->capture_max = (uint32_t)c->command_capture;
}

static void set_observe(const struct canp_lib_cfg *c, struct canp_event_opts *e,
			struct canp_mon_opts *m)
{
	e->emitters_max = c->event_emitters;
	e->listeners_max = c->event_listeners;
	e->ring_events = c->event_ring;
	e->queue_events = c->event_queue;
	e->batch_max = c->event_batch;
	e->flush_count = c->event_flush_count;
	e->flush_ms = c->event_flush_ms;
	e->workers = c->event_workers;
	m->period_min_ms = c->monitor_period_min_ms;
	m->period_max_ms = c->monitor_period_max_ms;
	m->cost_cap_ppm = c->monitor_cost_ppm;
	m->linger_ms = c->monitor_linger_ms;
}

static int read_places(struct canp_opts *o, const char *file)
{
	/* Keys of canp-appliance may stand in the same file; a misspelt one of ours is told. */
	static const char *const ours[] = {"pool-",    "task-",  "pipe-",    "process-",
					   "command-", "event-", "monitor-", NULL};
	int rc = canp_opts_env(o, environ);

	canp_opts_own(o, ours);
	if (!file)
		file = getenv("CANP_CONFIG");
	if (!rc && file && *file)
		rc = canp_opts_file(o, file);
	return rc;
}

int canp_lib_config(const char *file, struct canp_lib_config *out, struct canp_strbuf *dump,
		    struct canp_strbuf *err)
{
	struct canp_lib_cfg cfg;
	const struct canp_opt_bind bind = {&canp_lib_opt_table, &cfg};
	struct canp_lib_config lc;
	struct canp_opts *o = NULL;
	int rc;

	memset(&lc, 0, sizeof(lc));
	canp_event_opts_init(&lc.event);
	canp_mon_opts_init(&lc.mon);
	rc = canp_opts_create(&bind, 1, &o);
	if (!rc)
		rc = read_places(o, file);
	if (rc && err)
		canp_strbuf_puts(err, o ? canp_opts_error(o) : canp_strerror(rc));
	if (!rc)
		rc = set_mem(&cfg, &lc.mem, err);
	if (!rc) {
		set_exec(&cfg, &lc.exec);
		set_pipe(&cfg, &lc.pipe);
		set_process(&cfg, &lc.process);
		set_command(&cfg, &lc.command);
		set_observe(&cfg, &lc.event, &lc.mon);
		if (dump)
			canp_opts_dump(o, dump);
		*out = lc;
	}
	canp_opts_destroy(o);
	return rc;
}
