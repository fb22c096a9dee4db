/*
 * cmd_pool.c - the life of a command pool: made, started, stopped, freed; and who drives its lanes.
 *
 * A service thread sits in the lane's epoll set. A reactor posts a poll of that set on its ring and
 * makes a turn when it is readable, so it works on io_uring and on its fallback alike. A foreign
 * loop does the same by hand. Starting and stopping are control-plane calls under no lock: one
 * thread at a time.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "core/base/assert.h"
#include "core/base/clock.h"
#include "core/command/cmd_priv.h"
#include "core/runtime/shard.h"
#include "numa/topology.h"

#define QUEUE_DEFAULT   1024u
#define HISTORY_DEFAULT 131072u
#define HISTORY_MAX     (1u << 24)

const struct canp_cmd_backend *const canp_cmd_backends[3] = {&canp_cmd_process, &canp_cmd_thread,
							     &canp_cmd_resident};

const struct canp_cmd_spec *canp_cmd_call_spec(const struct canp_cmd_call *c)
{
	return &c->spec;
}

struct canp_cmd_result *canp_cmd_call_result(struct canp_cmd_call *c)
{
	return &c->r;
}

void canp_cmd_call_end(struct canp_cmd_call *c)
{
	struct cmd_lane *l = c->lane;

	if (__atomic_exchange_n(&c->end_sent, true, __ATOMIC_ACQ_REL))
		return;
	CANP_ASSERT(canp_cmd_queue_push(l->ended, &c->index, 1));
	canp_cmd_kick(l);
}

/* ---- configuration ---- */

struct canp_cmd_config *canp_cmd_config_new(struct canp_cmd_config *c)
{
	memset(c, 0, sizeof(*c));
	return c;
}

struct canp_cmd_config *canp_cmd_config_with_mode(struct canp_cmd_config *c, enum canp_cmd_mode m)
{
	c->mode = m;
	return c;
}

struct canp_cmd_config *canp_cmd_config_with_workers(struct canp_cmd_config *c, unsigned n)
{
	c->workers = n;
	return c;
}

struct canp_cmd_config *canp_cmd_config_with_concurrency_limit(struct canp_cmd_config *c,
							       unsigned n)
{
	c->concurrency_limit = n;
	return c;
}

static int default_workers(unsigned *nr)
{
	struct canp_topology *t = malloc(sizeof(*t)); /* too big for a stack */
	int rc = t ? canp_topology_read("", t) : -ENOMEM;

	if (!rc)
		*nr = canp_min(canp_topology_default_cores(t), CMD_LANES_MAX);
	free(t);
	return rc;
}

static uint32_t pow2_at_least(uint32_t n)
{
	return n <= 1 ? 1 : 1u << (32 - __builtin_clz(n - 1));
}

static int config_fill(struct canp_cmd_pool *p, const struct canp_cmd_config *cfg)
{
	struct canp_cmd_config *c = &p->cfg;
	int rc = 0;

	if (cfg)
		*c = *cfg;
	if ((unsigned)c->mode > CANP_CMD_MODE_RESIDENT || c->workers > CMD_LANES_MAX ||
	    (c->foreign && c->mode == CANP_CMD_MODE_THREAD))
		return -EINVAL;
	if (!c->workers && c->exec && c->mode == CANP_CMD_MODE_THREAD)
		c->workers = canp_min(canp_exec_nr_shards(c->exec), CMD_LANES_MAX);
	if (!c->workers)
		rc = default_workers(&c->workers);
	if (!c->concurrency_limit)
		c->concurrency_limit = c->workers;
	c->limit_max = canp_max(c->limit_max, c->concurrency_limit);
	c->max_size = c->max_size ? c->max_size : QUEUE_DEFAULT;
	c->capture_max = c->capture_max ? canp_max(c->capture_max, 2u) : CANP_CMD_CAPTURE_MAX;
	if (c->limit_max > CMD_LIMIT_MAX || c->max_size > CMD_RECORDS_MAX / 4 ||
	    c->history > HISTORY_MAX || c->capture_max > CANP_GIB)
		return -EINVAL;
	p->nr_lanes = c->mode == CANP_CMD_MODE_THREAD ? c->workers : 1;
	p->limit = c->concurrency_limit;
	p->nr_records = 2 * c->max_size + 2 * c->limit_max + 64;
	c->history = pow2_at_least(
		canp_max(c->history ? c->history : HISTORY_DEFAULT, 2 * p->nr_records));
	p->track_mask = c->history - 1;
	p->be = c->backend ? c->backend : canp_cmd_backends[c->mode];
	return rc;
}

static void *map_lazy(size_t bytes)
{
	void *m = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return m == MAP_FAILED ? NULL : m;
}

static int pool_memory(struct canp_cmd_pool *p)
{
	p->stride = CMD_RECORD + 2 * canp_align_up((size_t)p->cfg.capture_max, (size_t)4096);
	p->slab_bytes = p->stride * p->nr_records;
	p->slab = map_lazy(p->slab_bytes);
	p->track = map_lazy((size_t)p->cfg.history * sizeof(*p->track));
	if (!p->slab || !p->track)
		return -ENOMEM;
	for (unsigned i = 0; i < CANP_PRIO_NR; i++) {
		p->q[i] = canp_cmd_queue_create(p->nr_records);
		if (!p->q[i])
			return -ENOMEM;
	}
	return 0;
}

static int pool_exec(struct canp_cmd_pool *p)
{
	/* Slots move to threads in chunks that are out of sight of others. */
	struct canp_exec_opts o = {.slots = p->nr_records + 8192};
	int rc;

	p->ex = p->cfg.exec;
	if (p->ex)
		return 0;
	rc = canp_exec_init(&o, 1, &p->ex);
	p->own_exec = rc == 0;
	return rc;
}

static void pool_teardown(struct canp_cmd_pool *p)
{
	if (p->be_ctx && p->be->close)
		p->be->close(p->be_ctx);
	for (unsigned i = 0; i < p->nr_lanes; i++)
		canp_cmd_lane_destroy(p->lanes[i]);
	if (p->null_fd >= 0)
		close(p->null_fd);
	if (p->own_exec)
		canp_exec_destroy(p->ex);
	canp_cmd_pool_unref(p);
}

static int pool_init(struct canp_cmd_pool *p, const struct canp_cmd_config *cfg)
{
	uint32_t share;
	int rc = config_fill(p, cfg);

	if (!rc)
		rc = pool_memory(p);
	if (!rc)
		rc = pool_exec(p);
	if (rc)
		return rc;
	p->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (p->null_fd < 0)
		return -errno;
	/* Reactors are pinned; what they start should not be. */
	if (sched_getaffinity(0, sizeof(p->affinity), &p->affinity))
		CPU_ZERO(&p->affinity);
	if (getrandom(&p->cookie, sizeof(p->cookie), 0) != sizeof(p->cookie))
		p->cookie = (uint64_t)getpid() << 32 ^ canp_clock_ns();
	share = (p->cfg.limit_max + p->nr_lanes - 1) / p->nr_lanes;
	for (unsigned i = 0; i < p->nr_lanes && !rc; i++)
		rc = canp_cmd_lane_create(p, i, share, &p->lanes[i]);
	if (!rc && p->be->open)
		rc = p->be->open(p, p->cfg.backend_arg, &p->be_ctx);
	else if (!rc)
		p->be_ctx = p->cfg.backend_arg;
	return rc;
}

int canp_cmd_pool_create(const struct canp_cmd_config *cfg, struct canp_cmd_pool **out)
{
	struct canp_cmd_pool *p =
		aligned_alloc(CANP_CACHELINE, canp_align_up(sizeof(*p), (size_t)CANP_CACHELINE));
	int rc;

	if (!p)
		return -ENOMEM;
	memset(p, 0, sizeof(*p));
	p->refs = 1;
	p->null_fd = -1;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->quiet, NULL);
	rc = pool_init(p, cfg);
	if (rc) {
		pool_teardown(p);
		return rc;
	}
	*out = p;
	return 0;
}

/* ---- drivers ---- */

static void *lane_thread(void *arg)
{
	struct cmd_lane *l = arg;

	while (!__atomic_load_n(&l->quit, __ATOMIC_ACQUIRE))
		canp_cmd_lane_turn(l, -1);
	return NULL;
}

static void *lane_thread_enter(void *arg)
{
	struct cmd_lane *l = arg;

	pthread_setname_np(pthread_self(), "canp-cmd");
	if (!canp_cmd_lane_enter(l))
		return lane_thread(l);
	__atomic_store_n(&l->live, false, __ATOMIC_SEQ_CST);
	return NULL;
}

static int thread_start(struct cmd_lane *l)
{
	sigset_t all, old;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	rc = pthread_create(&l->thread, NULL, lane_thread_enter, l);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	l->running_thread = rc == 0;
	return -rc;
}

static void reactor_ready(struct canp_ring_op *op)
{
	struct cmd_lane *l = op->arg;

	if (__atomic_load_n(&l->quit, __ATOMIC_ACQUIRE) || op->res == -ECANCELED) {
		struct canp_cmd_pool *p = l->pool;

		pthread_mutex_lock(&p->lock);
		l->attached = false;
		pthread_cond_broadcast(&p->quiet);
		pthread_mutex_unlock(&p->lock);
		return;
	}
	canp_cmd_lane_turn(l, 0);
	canp_ring_submit(l->shard->ring, op);
}

static int reactor_attach(const struct canp_task_env *env, void *arg)
{
	struct cmd_lane *l = arg;
	int rc;

	l->shard = canp_exec_shard(env->exec, env->shard);
	rc = canp_cmd_lane_enter(l);
	if (rc)
		return rc;
	l->attached = true;
	l->poll = (struct canp_ring_op){
		.opcode = CANP_OP_POLL, .fd = l->ep, .done = reactor_ready, .arg = l};
	canp_cmd_lane_turn(l, 0);
	canp_ring_submit(l->shard->ring, &l->poll);
	return 0;
}

static int reactor_start(struct cmd_lane *l)
{
	struct canp_exec *ex = l->pool->ex;
	struct canp_task_desc d = {.fn = reactor_attach,
				   .arg = l,
				   .type = CANP_TASK_CPU,
				   .prio = CANP_PRIO_CRITICAL,
				   .shard = 1 + (int)(l->index % canp_exec_nr_shards(ex))};
	struct canp_task_result r;
	struct canp_future *f;
	int rc = canp_submit(ex, &d, &f);

	if (rc)
		return rc;
	rc = canp_future_wait(f, UINT32_MAX, &r);
	canp_future_put(f);
	return rc ? rc : r.error;
}

static int foreign_start(struct cmd_lane *l)
{
	int rc = canp_cmd_lane_enter(l);

	if (!rc)
		canp_cmd_lane_turn(l, 0);
	return rc;
}

static int lane_start(struct cmd_lane *l)
{
	int rc;

	__atomic_store_n(&l->quit, false, __ATOMIC_SEQ_CST);
	__atomic_store_n(&l->live, true, __ATOMIC_SEQ_CST);
	rc = l->pool->cfg.foreign ? foreign_start(l)
	     : l->pool->own_exec  ? thread_start(l)
				  : reactor_start(l);
	if (rc)
		__atomic_store_n(&l->live, false, __ATOMIC_SEQ_CST);
	return rc;
}

static void lane_stop(struct cmd_lane *l)
{
	struct canp_cmd_pool *p = l->pool;
	uint64_t one = 1;

	__atomic_store_n(&l->quit, true, __ATOMIC_SEQ_CST);
	CANP_ASSERT(write(l->efd, &one, sizeof(one)) == sizeof(one) || errno == EAGAIN);
	if (l->running_thread) {
		pthread_join(l->thread, NULL);
		l->running_thread = false;
	}
	pthread_mutex_lock(&p->lock);
	while (l->attached)
		pthread_cond_wait(&p->quiet, &p->lock);
	pthread_mutex_unlock(&p->lock);
	__atomic_store_n(&l->live, false, __ATOMIC_SEQ_CST);
}

int canp_cmd_pool_start(struct canp_cmd_pool *p, uint32_t interval_ms)
{
	int rc = 0;

	if (p->started)
		return -EALREADY;
	p->interval_ms = interval_ms;
	__atomic_store_n(&p->kill_all, 0, __ATOMIC_SEQ_CST);
	__atomic_store_n(&p->stopping, 0, __ATOMIC_SEQ_CST);
	p->started = true;
	for (unsigned i = 0; i < p->nr_lanes && !rc; i++)
		rc = lane_start(p->lanes[i]);
	if (rc)
		canp_cmd_pool_stop(p, CANP_CMD_STOP_KEEP, 0);
	return rc;
}

/* ---- stopping ---- */

/* The order of the looks matters: what a lane begins before it sees the stop is counted then. */
static bool lane_quiet(struct cmd_lane *l, enum canp_cmd_stop queued)
{
	if (__atomic_load_n(&l->live, __ATOMIC_SEQ_CST) &&
	    __atomic_load_n(&l->stop_seen, __ATOMIC_SEQ_CST) != 1 + (uint32_t)queued)
		return false;
	return !__atomic_load_n(&l->nr_active, __ATOMIC_SEQ_CST);
}

static bool pool_quiet(const struct canp_cmd_pool *p, enum canp_cmd_stop queued)
{
	bool quiet =
		queued != CANP_CMD_STOP_RUN || (!__atomic_load_n(&p->queued, __ATOMIC_SEQ_CST) &&
						!__atomic_load_n(&p->running, __ATOMIC_SEQ_CST));

	for (unsigned i = 0; i < p->nr_lanes && quiet; i++)
		quiet = lane_quiet(p->lanes[i], queued);
	return quiet;
}

/* Waits until it is quiet or end_ns; the lanes report each time they have nothing running. */
static bool wait_quiet(struct canp_cmd_pool *p, enum canp_cmd_stop queued, uint64_t end_ns)
{
	while (!pool_quiet(p, queued)) {
		uint64_t now = canp_clock_ns(), left = end_ns > now ? end_ns - now : 0;
		/* Looked at again now and then: a report is not tied to the last command. */
		int ms = (int)canp_min(left / (uint64_t)CANP_NS_PER_MS + 1, (uint64_t)20);
		struct timespec ts;

		if (!left)
			return false;
		if (p->cfg.foreign) {
			canp_cmd_lane_turn(p->lanes[0], ms);
			continue;
		}
		clock_gettime(CLOCK_REALTIME, &ts);
		ts.tv_nsec += ms * 1000000L;
		ts.tv_sec += ts.tv_nsec / 1000000000L;
		ts.tv_nsec %= 1000000000L;
		pthread_mutex_lock(&p->lock);
		if (!pool_quiet(p, queued))
			pthread_cond_timedwait(&p->quiet, &p->lock, &ts);
		pthread_mutex_unlock(&p->lock);
	}
	return true;
}

static void kick_all(struct canp_cmd_pool *p)
{
	for (unsigned i = 0; i < p->nr_lanes; i++)
		canp_cmd_kick(p->lanes[i]);
}

static void drop_queued(struct canp_cmd_pool *p)
{
	struct canp_cmd_call *c;

	while ((c = canp_cmd_take(p)) != NULL)
		canp_cmd_finish(c);
}

int canp_cmd_pool_stop(struct canp_cmd_pool *p, enum canp_cmd_stop queued, uint32_t grace_ms)
{
	uint64_t end_ns = UINT64_MAX;

	if (canp_extern_bind(p->ex))
		return -EAGAIN;
	if (p->started) {
		if (grace_ms != UINT32_MAX)
			end_ns = canp_clock_ns() + grace_ms * (uint64_t)CANP_NS_PER_MS;
		__atomic_store_n(&p->stopping, 1 + (uint32_t)queued, __ATOMIC_SEQ_CST);
		kick_all(p);
		if (!wait_quiet(p, queued, end_ns)) {
			/* Time is up, also for those that were to run first. */
			queued = queued == CANP_CMD_STOP_RUN ? CANP_CMD_STOP_KEEP : queued;
			__atomic_store_n(&p->stopping, 1 + (uint32_t)queued, __ATOMIC_SEQ_CST);
			__atomic_store_n(&p->kill_all, 1, __ATOMIC_SEQ_CST);
			kick_all(p);
			wait_quiet(p, queued, UINT64_MAX);
		}
		for (unsigned i = 0; i < p->nr_lanes; i++)
			lane_stop(p->lanes[i]);
		p->started = false;
	}
	if (queued == CANP_CMD_STOP_DROP) {
		/* The lanes are still: their turn is made here. */
		for (unsigned i = 0; i < p->nr_lanes; i++) {
			__atomic_store_n(&p->stopping, 1 + CANP_CMD_STOP_DROP, __ATOMIC_SEQ_CST);
			canp_cmd_lane_turn(p->lanes[i], 0);
		}
		drop_queued(p);
	}
	return 0;
}

void canp_cmd_pool_destroy(struct canp_cmd_pool *p)
{
	if (!p)
		return;
	__atomic_store_n(&p->gone, true, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&p->room_seq, 1, __ATOMIC_SEQ_CST);
	canp_cmd_pool_stop(p, CANP_CMD_STOP_DROP, 0);
	pool_teardown(p);
}

/* ---- the foreign loop, the limit ---- */

int canp_cmd_pool_fd(const struct canp_cmd_pool *p)
{
	return p->cfg.foreign ? p->lanes[0]->ep : -EINVAL;
}

int canp_cmd_pool_dispatch(struct canp_cmd_pool *p)
{
	return p->cfg.foreign && p->started ? canp_cmd_lane_turn(p->lanes[0], 0) : -EINVAL;
}

int canp_cmd_pool_set_limit(struct canp_cmd_pool *p, unsigned limit)
{
	if (!limit || limit > p->cfg.limit_max)
		return -EINVAL;
	__atomic_store_n(&p->limit, limit, __ATOMIC_SEQ_CST);
	kick_all(p);
	return 0;
}
