/*
 * process.c - life of a pool: created (segment, zygote), started, restarted, stopped, destroyed.
 * These wait for the supervisor to do it, on a counter that it raises after every change.
 */
#include "core/process/process.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "core/process/process_priv.h"
#include "numa/topology.h"

#define QUEUE_MAX   (1 << 20)
#define FUTURES_MAX (1u << 20)

/* ---- configuration ---- */

static void default_u32(uint32_t *v, uint32_t to)
{
	if (!*v)
		*v = to;
}

static int config_check(const struct canp_process_config *c)
{
	if (c->worker_count < 0 || c->max_workers < 0 || c->min_workers < 0 || c->queue_size < 0)
		return -EINVAL;
	if (c->queue_size > QUEUE_MAX || c->futures > FUTURES_MAX)
		return -EINVAL;
	if (c->worker_count > (int)PROC_ENTRIES_MAX / 2 ||
	    c->max_workers > (int)PROC_ENTRIES_MAX / 2)
		return -EINVAL;
	if (c->max_workers && (c->worker_count > c->max_workers || c->min_workers > c->max_workers))
		return -EINVAL;
	if (c->log_level < 0 || c->log_level > CANP_PROCESS_LOG_DEBUG)
		return -EINVAL;
	return 0;
}

static void config_counts(struct canp_process_config *c, unsigned cpus)
{
	if (!c->worker_count)
		c->worker_count = (int)canp_min(cpus, PROC_ENTRIES_MAX / 2);
	if (c->max_workers)
		c->worker_count = canp_min(c->worker_count, c->max_workers);
	else
		c->max_workers = c->enable_dynamic_scaling
					 ? canp_min(2 * c->worker_count, (int)PROC_ENTRIES_MAX / 2)
					 : c->worker_count;
	if (!c->min_workers)
		c->min_workers = c->worker_count;
	c->worker_count = canp_max(c->worker_count, c->min_workers);
	c->max_workers = canp_max(c->max_workers, c->worker_count);
}

static int config_fill(struct canp_process_pool *p, const struct canp_process_config *c)
{
	int level = canp_process_log_env();
	struct canp_topology *t;
	int rc;

	if (c)
		p->cfg = *c;
	rc = config_check(&p->cfg);
	if (rc)
		return rc;
	t = malloc(sizeof(*t));
	if (!t)
		return -ENOMEM;
	rc = canp_topology_read("", t);
	if (!rc) {
		p->nr_cpus = canp_topology_reactor_cpus(t, p->cpus, PROC_ENTRIES_MAX);
		config_counts(&p->cfg, canp_topology_default_cores(t));
	}
	free(t);
	if (rc)
		return rc;
	p->cfg.pool_name[sizeof(p->cfg.pool_name) - 1] = 0;
	if (!p->cfg.pool_name[0])
		snprintf(p->cfg.pool_name, sizeof(p->cfg.pool_name), "pool");
	if (!p->cfg.queue_size)
		p->cfg.queue_size = 1024;
	default_u32(&p->cfg.futures, 4096);
	default_u32(&p->cfg.worker_idle_timeout, 10000);
	default_u32(&p->cfg.heartbeat_ms, 1000);
	default_u32(&p->cfg.cancel_grace_ms, 1000);
	default_u32(&p->cfg.stop_grace_ms, 1000);
	default_u32(&p->cfg.restart_max, 5);
	default_u32(&p->cfg.restart_window_ms, 10000);
	default_u32(&p->cfg.log_keep, 5);
	if (level >= 0)
		p->cfg.log_level = level;
	if (p->cfg.limits) {
		p->limits = *p->cfg.limits;
		p->cfg.limits = &p->limits;
	}
	return 0;
}

static uint32_t pow2_at_least(uint32_t n)
{
	return n <= 1 ? 1 : 1u << (32 - __builtin_clz(n - 1));
}

static void sizes_fill(struct canp_process_pool *p)
{
	unsigned workers = (unsigned)p->cfg.max_workers;

	/* Twice: a generation that drains never blocks the next one. */
	p->nr_entries = canp_min(2 * workers + 1, PROC_ENTRIES_MAX);
	p->nr_slots = (unsigned)p->cfg.queue_size + 2 * workers + p->cfg.futures;
	p->ring_slots = pow2_at_least(4 * (uint32_t)p->cfg.queue_size + 256);
	p->region_bytes = p->cfg.shm_bytes ? p->cfg.shm_bytes : 256 * (size_t)CANP_MIB;
	if (p->cfg.spin_us == CANP_PROCESS_NO_SPIN || p->nr_cpus < 2)
		p->spins = 1;
	else /* a pause and a look take some 25 ns */
		p->spins = (p->cfg.spin_us ? p->cfg.spin_us : 20) * 40;
}

/* ---- create ---- */

static int arrays_make(struct canp_process_pool *p)
{
	p->free_slots = calloc(p->nr_slots, sizeof(*p->free_slots));
	p->orphans = calloc(p->nr_slots, sizeof(*p->orphans));
	p->notify = calloc(p->nr_slots, sizeof(*p->notify));
	p->spans = p->cfg.trace ? calloc(PROC_TRACE_MAX, sizeof(*p->spans)) : NULL;
	if (!p->free_slots || !p->orphans || !p->notify || (p->cfg.trace && !p->spans))
		return -ENOMEM;
	p->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	p->notify_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return p->kick_fd < 0 || p->notify_fd < 0 ? -errno : 0;
}

static int signals_make(struct canp_process_pool *p)
{
	sigset_t set;

	if (!p->cfg.handle_signals)
		return 0;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, &p->old_mask);
	signal(SIGPIPE, SIG_IGN);
	p->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return p->signal_fd < 0 ? -errno : 0;
}

static void fd_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void canp_process_free(struct canp_process_pool *p)
{
	if (p->shm)
		canp_process_seg_unmap(p);
	pthread_mutex_destroy(&p->lock);
	pthread_mutex_destroy(&p->admin);
	pthread_mutex_destroy(&p->log_lock);
	free(p->free_slots);
	free(p->orphans);
	free(p->notify);
	free(p->spans);
	free(p);
}

static void pool_close(struct canp_process_pool *p)
{
	canp_process_zygote_stop(p);
	canp_process_cgroup_remove(p);
	canp_process_log_close(p);
	if (p->signal_fd >= 0)
		pthread_sigmask(SIG_SETMASK, &p->old_mask, NULL);
	fd_close(&p->signal_fd);
	fd_close(&p->kick_fd);
	fd_close(&p->notify_fd);
}

static struct canp_process_pool *pool_alloc(void)
{
	struct canp_process_pool *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	pthread_mutex_init(&p->lock, NULL);
	pthread_mutex_init(&p->admin, NULL);
	pthread_mutex_init(&p->log_lock, NULL);
	p->ctl_fd = p->kick_fd = p->notify_fd = p->zygote_fd = p->signal_fd = p->log_fd = -1;
	p->wake_at_ns = p->deadline_ns = p->beat_at_ns = p->scale_at_ns = UINT64_MAX;
	p->idle_at_ns = p->breaker_until_ns = UINT64_MAX;
	p->roll_new = -1;
	p->pid = getpid();
	canp_process_future_ops(&p->ops);
	return p;
}

struct canp_process_pool *canp_process_pool_create(const struct canp_process_config *config)
{
	struct canp_process_pool *p = pool_alloc();
	int rc;

	if (!p) {
		errno = ENOMEM;
		return NULL;
	}
	rc = config_fill(p, config);
	if (rc)
		goto out;
	sizes_fill(p);
	rc = canp_process_seg_maps(p);
	if (!rc)
		rc = arrays_make(p);
	if (!rc)
		rc = signals_make(p);
	if (!rc)
		rc = canp_process_seg_map(p);
	if (rc)
		goto out;
	p->shm->log_level = (uint32_t)p->cfg.log_level;
	canp_process_heap_init(p, 0);
	rc = p->cfg.limits ? canp_process_cgroup_make(p) : 0;
	if (!rc)
		rc = canp_process_zygote_start(p);
	if (!rc)
		return p;
out:
	pool_close(p);
	canp_process_free(p);
	errno = -rc;
	return NULL;
}

/* ---- start ---- */

static unsigned nr_ready(struct canp_process_pool *p)
{
	unsigned n = 0;

	for (unsigned i = 0; i < p->nr_entries; i++)
		n += proc_get32(&p->shm->entries[i].state) == PE_READY;
	return n;
}

static int start_begin(struct canp_process_pool *p)
{
	int rc;

	p->life = PL_RUNNING;
	p->want = (unsigned)p->cfg.worker_count;
	p->start_failed = 0;
	p->stop_quit = p->stop_term = p->stop_kill = p->stop_late = false;
	p->terms = 0;
	p->wake_at_ns = 0; /* the supervisor's first turn is to come */
	proc_set32(&p->shm->quit, 0);
	if (p->zygote_dead)
		return -ENOTRECOVERABLE;
	for (unsigned i = 0; i < p->want; i++) {
		rc = canp_process_spawn(p, i, false);
		if (rc)
			return rc;
	}
	return 0;
}

static int start_wait(struct canp_process_pool *p)
{
	for (;;) {
		uint32_t seq = __atomic_load_n(&p->events_seq, __ATOMIC_SEQ_CST);
		int rc;

		pthread_mutex_lock(&p->lock);
		rc = p->shm->breaker ? -ECHILD : p->start_failed;
		if (!rc && nr_ready(p) < p->want)
			rc = -EAGAIN;
		pthread_mutex_unlock(&p->lock);
		if (rc != -EAGAIN)
			return rc;
		canp_process_wait_change(p, seq, UINT64_MAX);
	}
}

static int stop_wait(struct canp_process_pool *p)
{
	for (;;) {
		uint32_t seq = __atomic_load_n(&p->events_seq, __ATOMIC_SEQ_CST);
		unsigned alive;

		pthread_mutex_lock(&p->lock);
		alive = p->nr_alive;
		pthread_mutex_unlock(&p->lock);
		if (!alive)
			break;
		canp_process_wait_change(p, seq, UINT64_MAX);
	}
	canp_process_super_join(p);
	pthread_mutex_lock(&p->lock);
	/* Those that came in between the last worker's end and now. */
	canp_process_fail_pending(p, CANP_PROCESS_SHUTDOWN);
	canp_process_orphans(p);
	p->life = PL_CREATED;
	p->beat_at_ns = p->scale_at_ns = p->idle_at_ns = UINT64_MAX;
	pthread_mutex_unlock(&p->lock);
	return p->stop_late ? -ETIMEDOUT : 0;
}

static int stop_locked(struct canp_process_pool *p, uint64_t at_ns)
{
	pthread_mutex_lock(&p->lock);
	if (p->life != PL_RUNNING && p->life != PL_STOPPING) {
		pthread_mutex_unlock(&p->lock);
		return 0;
	}
	canp_process_stop_begin(p, at_ns);
	pthread_mutex_unlock(&p->lock);
	return stop_wait(p);
}

int canp_process_pool_start(struct canp_process_pool *p)
{
	int rc = 0;

	pthread_mutex_lock(&p->admin);
	pthread_mutex_lock(&p->lock);
	if (p->life != PL_CREATED)
		rc = -EALREADY;
	else
		rc = start_begin(p);
	pthread_mutex_unlock(&p->lock);
	if (rc == -EALREADY)
		goto out;
	if (!rc)
		rc = canp_process_super_start(p);
	if (!rc)
		rc = start_wait(p);
	if (rc)
		stop_locked(p, 0);
out:
	pthread_mutex_unlock(&p->admin);
	return rc;
}

int canp_process_pool_stop(struct canp_process_pool *p, uint32_t timeout_ms)
{
	uint64_t at_ns = timeout_ms == UINT32_MAX
				 ? UINT64_MAX
				 : canp_clock_ns() + timeout_ms * (uint64_t)CANP_NS_PER_MS;
	int rc;

	pthread_mutex_lock(&p->admin);
	rc = stop_locked(p, at_ns);
	pthread_mutex_unlock(&p->admin);
	return rc;
}

void canp_process_pool_destroy(struct canp_process_pool *p)
{
	bool last;

	if (!p)
		return;
	canp_process_pool_stop(p, 0);
	pool_close(p);
	pthread_mutex_lock(&p->lock);
	p->life = PL_DESTROYED;
	last = !p->held;
	pthread_mutex_unlock(&p->lock);
	if (last)
		canp_process_free(p);
}

/* ---- restart, resize ---- */

/* Workers of older generations that are still there; kills them when asked. */
static unsigned roll_left(struct canp_process_pool *p, uint32_t to, bool kill_them)
{
	unsigned n = 0;

	for (unsigned i = 0; i < p->nr_entries; i++) {
		struct proc_entry *e = &p->shm->entries[i];
		uint32_t state = proc_get32(&e->state);

		if (state == PE_FREE || (int32_t)(e->generation - to) >= 0)
			continue;
		n++;
		if (kill_them && p->watch[i].retiring) {
			p->watch[i].killed = true;
			canp_process_zygote_kill(p, i, SIGKILL);
		}
	}
	return n;
}

static int restart_wait(struct canp_process_pool *p, uint32_t to, uint64_t end_ns)
{
	bool late = false;

	for (;;) {
		uint32_t seq = __atomic_load_n(&p->events_seq, __ATOMIC_SEQ_CST);
		unsigned left;
		int failed;

		pthread_mutex_lock(&p->lock);
		late = late || canp_clock_ns() >= end_ns;
		left = roll_left(p, to, late);
		failed = p->roll_failed;
		if (p->life != PL_RUNNING)
			failed = -1;
		pthread_mutex_unlock(&p->lock);
		if (failed < 0)
			return -ESHUTDOWN;
		if (failed >= 3)
			return -ECHILD;
		if (!left)
			return late ? -ETIMEDOUT : 0;
		canp_process_wait_change(p, seq, late ? UINT64_MAX : end_ns);
	}
}

int canp_process_pool_restart(struct canp_process_pool *p, uint32_t timeout_ms)
{
	uint64_t end_ns = timeout_ms == UINT32_MAX
				  ? UINT64_MAX
				  : canp_clock_ns() + timeout_ms * (uint64_t)CANP_NS_PER_MS;
	uint32_t to = 0;
	int rc = 0;

	pthread_mutex_lock(&p->admin);
	pthread_mutex_lock(&p->lock);
	if (p->life != PL_RUNNING) {
		rc = -ESHUTDOWN;
	} else if (p->shm->breaker) {
		rc = -ENOTRECOVERABLE;
	} else {
		to = ++p->shm->generation;
		p->roll_to = to;
		p->roll_failed = 0;
		canp_process_wake_by(p, 0);
	}
	pthread_mutex_unlock(&p->lock);
	if (!rc)
		rc = restart_wait(p, to, end_ns);
	pthread_mutex_unlock(&p->admin);
	return rc;
}

int canp_process_pool_resize(struct canp_process_pool *p, int workers)
{
	if (workers < 1)
		return -EINVAL;
	pthread_mutex_lock(&p->lock);
	p->want = (unsigned)canp_min(workers, p->cfg.max_workers);
	canp_process_wake_by(p, 0);
	pthread_mutex_unlock(&p->lock);
	return 0;
}
