/*
 * monitor.c - sessions, the published page and the life of the sampler.
 *
 * A published record is a latch of two copies: the writer sends readers to the other copy before
 * it changes one, so a reader never waits for a sampler that was put aside in the middle; it only
 * reads again when a whole publication passed meanwhile. Order, by label: L1 the sequence store
 * comes before the word stores (release) that follow it; a reader that saw a new word (acquire)
 * sees the new sequence at L2 and reads again.
 *
 * Start and stop: a session counts itself, then looks whether the sampler runs (B1, B2); the
 * sampler says that it stops, then looks at the count (S1, S2). All four are sequentially
 * consistent, so at least one of them sees the other.
 */
#include "core/observe/monitor.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core/base/assert.h"
#include "core/base/clock.h"
#include "core/base/stat.h"
#include "core/base/units.h"
#include "core/observe/monitor_priv.h"

#define WORDS 8u
CANP_STATIC_ASSERT(sizeof(struct canp_mon_proc) == WORDS * 8, "a latch holds it");
CANP_STATIC_ASSERT(sizeof(struct canp_mon_system) <= WORDS * 8, "a latch holds it");

/* From this share of a core on the tree is busy, below the other one it is idle. */
#define BUSY_PPM 500000u
#define IDLE_PPM 50000u

struct latch {
	CANP_ALIGNED(CANP_CACHELINE) uint64_t seq;
	CANP_ALIGNED(CANP_CACHELINE) uint64_t w[2][WORDS];
};

/* Shared with the children. Slot 0 is the owner; pid 0: free. */
struct page {
	struct latch tree, system;
	struct latch proc[CANP_MON_PROCS_MAX];
	uint32_t pid[CANP_MON_PROCS_MAX];
};

static struct {
	pthread_once_t once;
	struct page *page;
	bool child; /* forked from the owner: no sampler, no counting */
	int slot;   /* of this process; -1: look */
	uint64_t users;
	uint32_t running;
	uint32_t wake;    /* futex of the sampler */
	uint32_t lingers; /* 0: the last session's end wakes it */
	/* under the lock */
	pthread_mutex_t lock;
	struct canp_mon_opts o;
	struct canp_mon_sysfds sysfds;
	struct canp_mon_fds fds[CANP_MON_PROCS_MAX];
	struct canp_mon_proc last[CANP_MON_PROCS_MAX], gone;
	struct canp_stat samples, preads, starts, cost_ns, period_ns, nr_fds;
	uint64_t tree_cpu_ns, tree_at_ns; /* at the last sample, for the load */
} mon = {.once = PTHREAD_ONCE_INIT, .lock = PTHREAD_MUTEX_INITIALIZER};

static void latch_write(struct latch *l, const void *data)
{
	uint64_t w[WORDS];

	memcpy(w, data, sizeof(w));
	for (unsigned copy = 0; copy < 2; copy++) {
		__atomic_store_n(&l->seq, l->seq + 1, __ATOMIC_RELEASE); /* L1 */
		for (unsigned i = 0; i < WORDS; i++)
			__atomic_store_n(&l->w[copy][i], w[i], __ATOMIC_RELEASE);
	}
}

static inline void latch_read(const struct latch *l, void *data)
{
	uint64_t w[WORDS], seq = __atomic_load_n(&l->seq, __ATOMIC_ACQUIRE), again;

	for (;;) {
		/* Odd: copy 0 is being written; even: copy 1 is, or nothing. */
		for (unsigned i = 0; i < WORDS; i++)
			w[i] = __atomic_load_n(&l->w[seq & 1][i], __ATOMIC_ACQUIRE);
		again = __atomic_load_n(&l->seq, __ATOMIC_ACQUIRE); /* L2 */
		if (again == seq)
			break;
		seq = again;
	}
	memcpy(data, w, sizeof(w));
}

static void in_child(void)
{
	mon.child = true;
	mon.slot = -1;
}

static void mon_once(void)
{
	struct page *p = mmap(NULL, sizeof(struct page), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return;
	p->pid[0] = (uint32_t)getpid();
	for (unsigned i = 0; i < CANP_MON_PROCS_MAX; i++)
		mon.fds[i].stat = mon.fds[i].io = -1;
	if (!mon.o.period_max_ms)
		canp_mon_opts_init(&mon.o);
	pthread_atfork(NULL, NULL, in_child);
	__atomic_store_n(&mon.page, p, __ATOMIC_RELEASE);
}

void canp_mon_opts_init(struct canp_mon_opts *o)
{
	*o = (struct canp_mon_opts){.period_min_ms = 100,
				    .period_max_ms = 5000,
				    .cost_cap_ppm = 5000,
				    .linger_ms = 1000};
}

int canp_monitor_config(const struct canp_mon_opts *o)
{
	int err = 0;

	if (!o->period_min_ms || o->period_min_ms > o->period_max_ms || !o->cost_cap_ppm ||
	    o->cost_cap_ppm > 1000000 || o->period_max_ms > 3600000)
		return -EINVAL;
	pthread_once(&mon.once, mon_once);
	pthread_mutex_lock(&mon.lock);
	if (mon.child || mon.running)
		err = -EBUSY;
	else
		mon.o = *o;
	pthread_mutex_unlock(&mon.lock);
	return err;
}

/* ---- sampling, under the lock ---- */

static void proc_add(struct canp_mon_proc *to, const struct canp_mon_proc *p)
{
	to->cpu_ns += p->cpu_ns;
	to->rss_bytes += p->rss_bytes;
	to->threads += p->threads;
	to->read_bytes += p->read_bytes;
	to->written_bytes += p->written_bytes;
	to->rchar_bytes += p->rchar_bytes;
	to->wchar_bytes += p->wchar_bytes;
}

static void slot_open_count(void)
{
	uint64_t n = (mon.sysfds.stat > 0) + (mon.sysfds.meminfo > 0);

	for (unsigned i = 0; i < CANP_MON_PROCS_MAX; i++)
		n += (mon.fds[i].stat >= 0) + (mon.fds[i].io >= 0);
	canp_stat_set(&mon.nr_fds, n);
}

static void user_put(void)
{
	if (__atomic_sub_fetch(&mon.users, 1, __ATOMIC_SEQ_CST) ||
	    __atomic_load_n(&mon.lingers, __ATOMIC_RELAXED))
		return;
	__atomic_fetch_add(&mon.wake, 1, __ATOMIC_SEQ_CST);
	syscall(SYS_futex, &mon.wake, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* What the process did stays in the tree's sums; its memory does not. */
static void slot_retire(unsigned slot)
{
	mon.last[slot].rss_bytes = 0;
	mon.last[slot].threads = 0;
	proc_add(&mon.gone, &mon.last[slot]);
	memset(&mon.last[slot], 0, sizeof(mon.last[slot]));
	canp_mon_fds_close(&mon.fds[slot]);
	__atomic_store_n(&mon.page->pid[slot], 0, __ATOMIC_RELEASE);
	slot_open_count();
	user_put();
}

static void sample_slot(unsigned slot, uint64_t *preads)
{
	struct canp_mon_proc p;
	int err = canp_mon_read_proc(&mon.fds[slot], slot == 0, &p, preads);

	if (!err) {
		mon.last[slot] = p;
		latch_write(&mon.page->proc[slot], &p);
	} else if (slot && err == -ESRCH) {
		slot_retire(slot);
	}
}

static void stall(uint32_t ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * CANP_NS_PER_MS};

	nanosleep(&ts, NULL);
}

/* Busy: the shortest period at once; idle: twice as long each time; never dearer than the cap. */
static void period_adapt(const struct canp_mon_proc *tree, uint64_t cost_ns)
{
	uint64_t period = canp_stat_get(&mon.period_ns), wall = tree->at_ns - mon.tree_at_ns;
	uint64_t min = mon.o.period_min_ms * (uint64_t)CANP_NS_PER_MS;
	uint64_t max = mon.o.period_max_ms * (uint64_t)CANP_NS_PER_MS, ppm;

	if (mon.tree_at_ns && wall) {
		ppm = (tree->cpu_ns - mon.tree_cpu_ns) * 1000 / (wall / 1000 + 1);
		if (ppm >= BUSY_PPM)
			period = min;
		else if (ppm < IDLE_PPM)
			period *= 2;
	}
	mon.tree_at_ns = tree->at_ns;
	mon.tree_cpu_ns = tree->cpu_ns;
	period = canp_max(canp_min(period, max), min);
	period = canp_max(period, cost_ns * 1000000 / mon.o.cost_cap_ppm);
	canp_stat_set(&mon.period_ns, period);
}

static uint64_t thread_cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * (uint64_t)CANP_NS_PER_S + (uint64_t)ts.tv_nsec;
}

static void sample(void)
{
	uint64_t start = thread_cpu_ns(), preads = 0, cost;
	struct canp_mon_proc tree;
	struct canp_mon_system sys[2] = {{0}}; /* two: a latch copies all its words */

	if (mon.o.fault_stall_ms)
		stall(mon.o.fault_stall_ms);
	for (unsigned i = 0; i < CANP_MON_PROCS_MAX; i++)
		if (mon.fds[i].stat >= 0)
			sample_slot(i, &preads);
	/* Those that were found gone are in the sums with their last figures. */
	tree = mon.gone;
	for (unsigned i = 0; i < CANP_MON_PROCS_MAX; i++)
		proc_add(&tree, &mon.last[i]);
	tree.at_ns = canp_clock_ns();
	if (!canp_mon_read_system(&mon.sysfds, &sys[0], &preads))
		latch_write(&mon.page->system, sys);
	latch_write(&mon.page->tree, &tree);
	cost = thread_cpu_ns() - start;
	canp_stat_add(&mon.samples, 1);
	canp_stat_add(&mon.preads, preads);
	canp_stat_add(&mon.cost_ns, cost);
	period_adapt(&tree, cost);
}

/* ---- the sampler ---- */

static void fds_close_all(void)
{
	for (unsigned i = 0; i < CANP_MON_PROCS_MAX; i++)
		canp_mon_fds_close(&mon.fds[i]);
	canp_mon_sys_close(&mon.sysfds);
	canp_stat_set(&mon.nr_fds, 0);
}

/* Ends the sampler if nobody came meanwhile. */
static bool stop_unless_used(void)
{
	bool stopped;

	pthread_mutex_lock(&mon.lock);
	__atomic_store_n(&mon.running, 0, __ATOMIC_SEQ_CST);      /* S1 */
	stopped = !__atomic_load_n(&mon.users, __ATOMIC_SEQ_CST); /* S2 */
	if (stopped)
		fds_close_all();
	else
		__atomic_store_n(&mon.running, 1, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&mon.lock);
	return stopped;
}

static void sleep_ns(uint64_t ns, uint32_t seen)
{
	struct timespec ts = {.tv_sec = (time_t)(ns / (uint64_t)CANP_NS_PER_S),
			      .tv_nsec = (long)(ns % (uint64_t)CANP_NS_PER_S)};

	syscall(SYS_futex, &mon.wake, FUTEX_WAIT_PRIVATE, seen, &ts, NULL, 0);
}

static void *sampler_run(void *arg)
{
	uint64_t linger_ns = (uint64_t)(uintptr_t)arg * (uint64_t)CANP_NS_PER_MS;
	uint64_t last = canp_clock_ns();
	bool was_unused = linger_ns == 0;

	pthread_setname_np(pthread_self(), "canp-mon");
	for (;;) {
		uint32_t wake = __atomic_load_n(&mon.wake, __ATOMIC_SEQ_CST);
		uint64_t now = canp_clock_ns(), due = last + canp_stat_get(&mon.period_ns);
		bool unused = !__atomic_load_n(&mon.users, __ATOMIC_SEQ_CST);

		/* Unused twice in a row, linger_ms apart, is unused for long enough. */
		if (unused && was_unused && stop_unless_used())
			return NULL;
		was_unused = linger_ns == 0 || unused;
		if (!unused && now >= due) {
			pthread_mutex_lock(&mon.lock);
			sample();
			pthread_mutex_unlock(&mon.lock);
			last = now;
			continue;
		}
		due = unused || due <= now ? now + linger_ns : due;
		sleep_ns(linger_ns ? canp_min(due - now, linger_ns) : due - now, wake);
	}
}

/* Under the lock. A thread of its own, detached: its end is announced by running. */
static int sampler_start(void)
{
	pthread_attr_t attr;
	pthread_t t;
	int err;

	err = canp_mon_sys_open(&mon.sysfds);
	if (!err)
		err = canp_mon_fds_open(&mon.fds[0], 0);
	if (err) {
		fds_close_all();
		return err;
	}
	slot_open_count();
	canp_stat_set(&mon.period_ns, mon.o.period_min_ms * (uint64_t)CANP_NS_PER_MS);
	mon.tree_at_ns = 0;
	sample();
	__atomic_store_n(&mon.lingers, mon.o.linger_ms != 0, __ATOMIC_RELAXED);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	err = pthread_create(&t, &attr, sampler_run, (void *)(uintptr_t)mon.o.linger_ms);
	pthread_attr_destroy(&attr);
	if (err) {
		fds_close_all();
		return -err;
	}
	canp_stat_add(&mon.starts, 1);
	__atomic_store_n(&mon.running, 1, __ATOMIC_SEQ_CST);
	return 0;
}

static int user_get(void)
{
	int err = 0;

	__atomic_fetch_add(&mon.users, 1, __ATOMIC_SEQ_CST);              /* B1 */
	if (canp_likely(__atomic_load_n(&mon.running, __ATOMIC_SEQ_CST))) /* B2 */
		return 0;
	pthread_once(&mon.once, mon_once);
	pthread_mutex_lock(&mon.lock);
	if (!mon.page)
		err = -ENOMEM;
	else if (!mon.running)
		err = sampler_start();
	pthread_mutex_unlock(&mon.lock);
	if (err)
		__atomic_fetch_sub(&mon.users, 1, __ATOMIC_SEQ_CST);
	return err;
}

/* ---- sessions ---- */

/* A child's place in the page; its parent may have begun to watch it only now. */
static int own_slot(void)
{
	uint32_t pid;

	if (!mon.child)
		return 0;
	if (mon.slot >= 0)
		return mon.slot;
	pid = (uint32_t)getpid();
	for (unsigned i = 1; i < CANP_MON_PROCS_MAX; i++)
		if (__atomic_load_n(&mon.page->pid[i], __ATOMIC_ACQUIRE) == pid)
			mon.slot = (int)i;
	return mon.slot;
}

void canp_monitor_proc(enum canp_mon_scope scope, struct canp_mon_proc *out)
{
	int slot;

	memset(out, 0, sizeof(*out));
	if (!__atomic_load_n(&mon.page, __ATOMIC_ACQUIRE))
		return;
	slot = scope == CANP_MON_TREE ? 0 : own_slot();
	if (slot >= 0)
		latch_read(scope == CANP_MON_TREE ? &mon.page->tree : &mon.page->proc[slot], out);
}

void canp_monitor_system(struct canp_mon_system *out)
{
	struct canp_mon_system sys[2] = {{0}};

	if (__atomic_load_n(&mon.page, __ATOMIC_ACQUIRE))
		latch_read(&mon.page->system, sys);
	*out = sys[0];
}

int canp_mon_session_begin(struct canp_mon_session *s, enum canp_mon_scope scope, uint32_t flags,
			   uint64_t now_ns)
{
	int err;

	s->counted = !mon.child;
	if (s->counted) {
		err = user_get();
		if (err)
			return err;
	} else if (!mon.page || own_slot() < 0) {
		return -ENOENT;
	}
	s->scope = scope;
	s->flags = flags;
	canp_monitor_proc(scope, &s->base);
	s->start_ns = now_ns ? now_ns : canp_clock_ns();
	s->thread_ns = flags & CANP_MON_THREAD_CPU ? thread_cpu_ns() : 0;
	return 0;
}

void canp_mon_session_end(struct canp_mon_session *s, uint64_t now_ns, struct canp_mon_delta *out)
{
	struct canp_mon_proc p;

	if (out) {
		canp_monitor_proc(s->scope, &p);
		out->thread_cpu_ns =
			s->flags & CANP_MON_THREAD_CPU ? thread_cpu_ns() - s->thread_ns : 0;
		out->wall_ns = (now_ns ? now_ns : canp_clock_ns()) - s->start_ns;
		out->cpu_ns = p.cpu_ns - s->base.cpu_ns;
		out->rss_bytes = p.rss_bytes;
		out->rss_delta_bytes = (int64_t)(p.rss_bytes - s->base.rss_bytes);
		out->read_bytes = p.read_bytes - s->base.read_bytes;
		out->written_bytes = p.written_bytes - s->base.written_bytes;
		out->rchar_bytes = p.rchar_bytes - s->base.rchar_bytes;
		out->wchar_bytes = p.wchar_bytes - s->base.wchar_bytes;
		out->sampled_ns = p.at_ns - s->base.at_ns;
	}
	if (s->counted)
		user_put();
}

int canp_monitor_refresh(void)
{
	int err = -ESRCH;

	if (mon.child)
		return -ESRCH;
	pthread_mutex_lock(&mon.lock);
	if (mon.running) {
		sample();
		err = 0;
	}
	pthread_mutex_unlock(&mon.lock);
	return err;
}

/* ---- the tree ---- */

static int slot_find(uint32_t pid)
{
	for (unsigned i = 1; i < CANP_MON_PROCS_MAX; i++)
		if (mon.page->pid[i] == pid)
			return (int)i;
	return -1;
}

int canp_monitor_watch(pid_t pid)
{
	int err = mon.child || pid <= 0 ? -EINVAL : user_get(), slot;
	uint64_t preads = 0;

	if (err)
		return err;
	pthread_mutex_lock(&mon.lock);
	slot = slot_find(0);
	if (slot_find((uint32_t)pid) >= 0)
		err = -EEXIST;
	else if (slot < 0)
		err = -ENOSPC;
	else
		err = canp_mon_fds_open(&mon.fds[slot], pid);
	if (!err) {
		err = canp_mon_read_proc(&mon.fds[slot], false, &mon.last[slot], &preads);
		canp_stat_add(&mon.preads, preads);
	}
	if (!err) {
		latch_write(&mon.page->proc[slot], &mon.last[slot]);
		__atomic_store_n(&mon.page->pid[slot], (uint32_t)pid, __ATOMIC_RELEASE);
		slot_open_count();
	} else if (slot >= 0 && err != -EEXIST) {
		canp_mon_fds_close(&mon.fds[slot]);
	}
	pthread_mutex_unlock(&mon.lock);
	if (err)
		user_put();
	return err;
}

int canp_monitor_unwatch(pid_t pid)
{
	int slot = -1;

	if (mon.child || !__atomic_load_n(&mon.page, __ATOMIC_ACQUIRE) || pid <= 0)
		return -ENOENT;
	pthread_mutex_lock(&mon.lock);
	slot = slot_find((uint32_t)pid);
	if (slot >= 0) {
		struct canp_mon_proc last;
		uint64_t preads = 0;

		if (!canp_mon_read_proc(&mon.fds[slot], false, &last, &preads))
			mon.last[slot] = last;
		slot_retire((unsigned)slot);
	}
	pthread_mutex_unlock(&mon.lock);
	return slot >= 0 ? 0 : -ENOENT;
}

void canp_monitor_stats(struct canp_mon_stats *out)
{
	out->users = __atomic_load_n(&mon.users, __ATOMIC_SEQ_CST);
	out->samples = canp_stat_get(&mon.samples);
	out->preads = canp_stat_get(&mon.preads);
	out->starts = canp_stat_get(&mon.starts);
	out->cost_ns = canp_stat_get(&mon.cost_ns);
	out->period_ms = canp_stat_get(&mon.period_ns) / (uint64_t)CANP_NS_PER_MS;
	out->fds = canp_stat_get(&mon.nr_fds);
	out->running = __atomic_load_n(&mon.running, __ATOMIC_SEQ_CST);
}
