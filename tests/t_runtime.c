/*
 * t_runtime.c - boot, messages between all shards, pollers, timers, stop, failed set-ups, signals.
 * `t_runtime --idle SECONDS RING` is not a test but the idle machine that e2e_idle.sh traces.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/base/clock.h"
#include "core/base/compiler.h"
#include "core/base/log.h"
#include "core/base/units.h"
#include "core/runtime/runtime.h"
#include "tests/lib/exec_help.h"

static const enum canp_ring_kind both[] = {CANP_RING_AUTO, CANP_RING_SYNC};

static struct canp_runtime_opts small_opts(unsigned cores, enum canp_ring_kind ring)
{
	return (struct canp_runtime_opts){
		.cores = cores,
		.ring = ring,
		.hugepages = CANP_HUGE_OFF,
		.arena_bytes = 4 * CANP_MIB,
		.arena_min_bytes = 4 * CANP_MIB,
		.ring_region_bytes = CANP_MIB,
		.pin = true,
	};
}

/* ---- all to all -------------------------------------------------------------------------------
 */

#define TALK_SHARDS 8u
#define TALK_NOTES  300u /* to each peer: more than a lane holds */

struct talk_shard {
	struct canp_shard *s;
	struct talk *talk;
	struct canp_poller poller;
	struct canp_msg notes[TALK_SHARDS][TALK_NOTES];
	unsigned sent, got, home, bad;
	uint32_t next[TALK_SHARDS];
	bool done, torn_down;
};

struct talk {
	unsigned nr, done;
	struct talk_shard sh[TALK_SHARDS];
};

static void talk_check_done(struct talk_shard *t)
{
	unsigned all = t->talk->nr * TALK_NOTES;

	if (t->done || t->got != all || t->home != all)
		return;
	t->done = true;
	if (__atomic_add_fetch(&t->talk->done, 1, __ATOMIC_ACQ_REL) == t->talk->nr)
		canp_runtime_stop(t->s->rt);
}

static void talk_msg(void *arg, unsigned from, struct canp_msg *msg, bool returned)
{
	struct talk_shard *t = arg;

	if (returned) {
		t->home++;
	} else {
		t->bad += msg->a != t->next[from]++;
		t->got++;
		canp_mesh_return(t->s->mesh, t->s->index, msg);
	}
	talk_check_done(t);
}

/* A few notes per turn, so that sending, receiving and sleeping mix. */
static unsigned talk_poll(void *arg, uint64_t now_ns)
{
	struct talk_shard *t = arg;
	unsigned n = 0;

	t->bad += now_ns != t->s->now_ns;
	for (; n < 7 && t->sent < TALK_NOTES; n++, t->sent++) {
		for (unsigned to = 0; to < t->talk->nr; to++) {
			struct canp_msg *msg = &t->notes[to][t->sent];

			*msg = (struct canp_msg){.a = t->sent};
			canp_mesh_send(t->s->mesh, t->s->index, to, msg);
		}
	}
	return n;
}

static int talk_setup(void *arg, struct canp_shard *s)
{
	struct talk *talk = arg;
	struct talk_shard *t = &talk->sh[s->index];

	t->s = s;
	t->talk = talk;
	s->user = t;
	s->on_msg = talk_msg;
	s->on_msg_arg = t;
	t->poller = (struct canp_poller){.name = "talk", .poll = talk_poll, .arg = t};
	canp_reactor_add(s, &t->poller);
	return canp_arena_carve(s->arena, "talk", 4096, 64) ? 0 : -ENOMEM;
}

static void talk_teardown(void *arg, struct canp_shard *s)
{
	struct talk *talk = arg;

	talk->sh[s->index].torn_down = true;
}

static void talk_run(unsigned cores, enum canp_ring_kind ring)
{
	struct canp_runtime_opts o = small_opts(cores, ring);
	struct talk *talk = calloc(1, sizeof(*talk));
	const struct canp_runtime_info *info;
	struct canp_runtime *rt;

	assert_non_null(talk);
	talk->nr = cores;
	o.setup = talk_setup;
	o.teardown = talk_teardown;
	o.arg = talk;
	assert_int_equal(canp_runtime_create(&o, &rt), 0);
	assert_int_equal(canp_runtime_nr_shards(rt), cores);
	info = canp_runtime_info(rt);
	assert_int_equal(info->cores, cores);
	assert_int_equal(info->oversubscribed, cores > info->cpus_allowed);
	assert_true(info->arena_bytes >= 4 * CANP_MIB);
	if (ring == CANP_RING_SYNC)
		assert_int_equal(info->ring.kind, CANP_RING_SYNC);
	assert_int_equal(canp_runtime_wait_for(rt, 60 * (uint64_t)CANP_NS_PER_S), 0);
	for (unsigned i = 0; i < cores; i++) {
		struct canp_shard *s = canp_runtime_shard(rt, i);

		assert_int_equal(talk->sh[i].bad, 0);
		assert_true(talk->sh[i].done);
		assert_true(talk->sh[i].torn_down);
		assert_true(canp_arena_sealed(s->arena));
		assert_true(s->stats.turns > 0);
		if (info->oversubscribed)
			assert_int_equal(s->cpu, -1);
	}
	canp_runtime_destroy(rt);
	free(talk);
}

static void test_all_shards_talk_to_all(void **state)
{
	static const unsigned cores[] = {1, 2, 8};

	(void)state;
	for (unsigned k = 0; k < 2; k++)
		for (unsigned i = 0; i < CANP_ARRAY_SIZE(cores); i++)
			talk_run(cores[i], both[k]);
}

/* ---- boot -------------------------------------------------------------------------------------
 */

struct boot {
	unsigned fail_at; /* shard whose set-up fails */
	unsigned set_up, torn_down, polled;
	bool on_own_cpu[2];
};

static int boot_setup(void *arg, struct canp_shard *s)
{
	struct boot *b = arg;

	if (s->index == b->fail_at)
		return -EUCLEAN;
	__atomic_add_fetch(&b->set_up, 1, __ATOMIC_RELAXED);
	return 0;
}

static void boot_teardown(void *arg, struct canp_shard *s)
{
	struct boot *b = arg;

	(void)s;
	__atomic_add_fetch(&b->torn_down, 1, __ATOMIC_RELAXED);
}

static void test_failed_setup_unwinds_the_others(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 2; k++) {
		for (unsigned fail_at = 0; fail_at < 3; fail_at++) {
			struct canp_runtime_opts o = small_opts(3, both[k]);
			struct boot b = {.fail_at = fail_at};
			struct canp_runtime *rt = NULL;

			o.setup = boot_setup;
			o.teardown = boot_teardown;
			o.arg = &b;
			assert_int_equal(canp_runtime_create(&o, &rt), -EUCLEAN);
			assert_null(rt);
			assert_int_equal(b.set_up, 2);
			assert_int_equal(b.torn_down, 2); /* only those that were set up */
		}
	}
}

static void test_impossible_sizes_are_refused(void **state)
{
	struct canp_runtime_opts o = small_opts(257, CANP_RING_SYNC);
	struct canp_runtime *rt;

	(void)state;
	assert_int_equal(canp_runtime_create(&o, &rt), -EINVAL);
	o = small_opts(1, CANP_RING_SYNC);
	o.ring_region_bytes = o.arena_bytes + CANP_MIB;
	/* The refusal prints an error line; it is expected here. */
	assert_int_equal(canp_runtime_create(&o, &rt), -ENOMEM);
	canp_runtime_destroy(NULL);
}

static int pinned_setup(void *arg, struct canp_shard *s)
{
	struct boot *b = arg;
	cpu_set_t set;

	sched_getaffinity(0, sizeof(set), &set);
	b->on_own_cpu[s->index] = s->cpu >= 0 && CPU_COUNT(&set) == 1 && CPU_ISSET(s->cpu, &set);
	if (canp_arena_base(s->arena) == NULL || canp_arena_sealed(s->arena))
		return -EINVAL;
	return 0;
}

static void test_shards_are_pinned_and_may_stop_at_once(void **state)
{
	struct canp_runtime_opts o = small_opts(1, CANP_RING_AUTO);
	struct boot b = {0};
	struct canp_runtime *rt;

	(void)state;
	o.setup = pinned_setup;
	o.arg = &b;
	assert_int_equal(canp_runtime_create(&o, &rt), 0);
	assert_true(b.on_own_cpu[0]);
	assert_int_equal(canp_runtime_wait_for(rt, 5 * MS), -ETIMEDOUT);
	canp_runtime_destroy(rt); /* stops by itself */
}

static int stop_setup(void *arg, struct canp_shard *s)
{
	(void)arg;
	if (s->index == 0)
		canp_runtime_stop(s->rt);
	return 0;
}

static void test_stop_during_boot_is_kept(void **state)
{
	struct canp_runtime_opts o = small_opts(2, CANP_RING_AUTO);
	struct canp_runtime *rt;

	(void)state;
	o.setup = stop_setup;
	assert_int_equal(canp_runtime_create(&o, &rt), 0);
	assert_int_equal(canp_runtime_wait(rt), 0);
	canp_runtime_destroy(rt);
}

/* ---- the loop ---------------------------------------------------------------------------------
 */

struct loop {
	struct canp_shard *s;
	struct canp_poller a, b, once;
	struct canp_timer timer;
	unsigned a_runs, a_runs_at_b_end, b_runs, once_runs, timer_runs;
	uint64_t first_ns;
	struct canp_ring_op op, late;
	int32_t late_res;
	char buf[4];
	unsigned reads;
};

static void spin_ns(uint64_t ns)
{
	uint64_t end = canp_clock_ns() + ns;

	while (canp_clock_ns() < end)
		;
}

/* Eats the whole budget each time. */
static unsigned loop_hog(void *arg, uint64_t now_ns)
{
	struct loop *l = arg;

	(void)now_ns;
	if (l->a_runs == 50)
		return 0;
	spin_ns(l->a_runs == 10 ? 30 * MS : MS);
	l->a_runs++;
	return 1;
}

static unsigned loop_meek(void *arg, uint64_t now_ns)
{
	struct loop *l = arg;

	(void)now_ns;
	if (l->b_runs == 20)
		return 0;
	if (++l->b_runs == 20)
		l->a_runs_at_b_end = l->a_runs;
	return 1;
}

static unsigned loop_once(void *arg, uint64_t now_ns)
{
	struct loop *l = arg;

	(void)now_ns;
	l->once_runs++;
	canp_reactor_del(l->s, &l->once);
	return 1;
}

static void loop_late(struct canp_ring_op *op)
{
	struct loop *l = op->arg;

	l->late_res = op->res;
}

static void loop_read(struct canp_ring_op *op)
{
	struct loop *l = op->arg;

	if (op->res != 4 || memcmp(l->buf, "\177ELF", 4))
		return;
	if (++l->reads < 10)
		canp_ring_submit(l->s->ring, op);
}

static void loop_timer(struct canp_timer *t)
{
	struct loop *l = t->arg;

	if (canp_clock_ns() < t->deadline_ns)
		abort();
	l->timer_runs++;
	if (l->timer_runs >= 5 && l->a_runs == 50 && l->b_runs == 20 && l->reads == 10) {
		canp_runtime_stop(l->s->rt);
		return;
	}
	t->deadline_ns += 20 * MS;
	if (canp_reactor_timer_add(l->s, t))
		abort();
}

static int loop_pipe[2];

static int loop_setup(void *arg, struct canp_shard *s)
{
	struct loop *l = arg;
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	l->s = s;
	l->a = (struct canp_poller){.name = "hog", .poll = loop_hog, .arg = l};
	l->b = (struct canp_poller){.name = "meek", .poll = loop_meek, .arg = l};
	l->once = (struct canp_poller){.name = "once", .poll = loop_once, .arg = l};
	canp_reactor_add(s, &l->a);
	canp_reactor_add(s, &l->once);
	canp_reactor_add(s, &l->b);
	l->first_ns = canp_clock_ns();
	l->timer = (struct canp_timer){
		.deadline_ns = l->first_ns + 40 * MS, .fn = loop_timer, .arg = l};
	l->op = (struct canp_ring_op){.opcode = CANP_OP_READ,
				      .fd = fd,
				      .buf = l->buf,
				      .len = 4,
				      .done = loop_read,
				      .arg = l};
	canp_ring_submit(s->ring, &l->op);
	/* A poll that nothing ends: stop must not wait for it, and must call it back. */
	l->late = (struct canp_ring_op){
		.opcode = CANP_OP_POLL, .fd = loop_pipe[0], .done = loop_late, .arg = l};
	canp_ring_submit(s->ring, &l->late);
	return canp_reactor_timer_add(s, &l->timer);
}

static void test_hogs_starve_nobody_and_stalls_are_counted(void **state)
{
	(void)state;
	assert_int_equal(pipe(loop_pipe), 0);
	for (unsigned k = 0; k < 2; k++) {
		struct canp_runtime_opts o = small_opts(1, both[k]);
		struct canp_reactor_stats st;
		struct loop l = {0};
		struct canp_runtime *rt;

		o.setup = loop_setup;
		o.arg = &l;
		assert_int_equal(canp_runtime_create(&o, &rt), 0);
		assert_int_equal(canp_runtime_wait_for(rt, 60 * (uint64_t)CANP_NS_PER_S), 0);
		st = canp_runtime_shard(rt, 0)->stats;
		canp_runtime_destroy(rt);
		assert_true(l.timer_runs >= 5);
		/* They take turns, although the hog alone spends every budget. */
		assert_in_range(l.a_runs_at_b_end, 19, 22);
		assert_int_equal(l.once_runs, 1);
		assert_int_equal(l.a_runs, 50);
		assert_int_equal(l.b_runs, 20);
		assert_int_equal(l.reads, 10);
		assert_int_equal(l.late_res, -ECANCELED);
		assert_true(st.stalls >= 1);
		assert_true(st.stall_max_ns >= 30 * MS);
		assert_true(st.busy_ns >= 79 * MS);
		assert_true(st.turns >= 50); /* the hog ends each of its turns */
		close(l.op.fd);
	}
	close(loop_pipe[0]);
	close(loop_pipe[1]);
}

static void test_an_idle_shard_sleeps(void **state)
{
	(void)state;
	for (unsigned k = 0; k < 2; k++) {
		struct canp_runtime_opts o = small_opts(2, both[k]);
		struct canp_runtime *rt;

		assert_int_equal(canp_runtime_create(&o, &rt), 0);
		nap_ms(50);
		canp_runtime_stop(rt);
		assert_int_equal(canp_runtime_wait(rt), 0);
		for (unsigned i = 0; i < 2; i++) {
			const struct canp_reactor_stats *st = &canp_runtime_shard(rt, i)->stats;

			assert_in_range(st->sleeps, 1, 4);
			assert_true(st->idle_ns > 20 * MS);
		}
		canp_runtime_destroy(rt);
	}
}

/* ---- signals, in a child because the second one kills -----------------------------------------
 */

static unsigned sig_poll(void *arg, uint64_t now_ns)
{
	struct canp_shard *s = arg;

	(void)now_ns;
	if (s->index == 0 && canp_runtime_interrupted(s->rt) == SIGTERM)
		canp_runtime_stop(s->rt);
	return 0;
}

static int sig_setup(void *arg, struct canp_shard *s)
{
	static struct canp_poller p[2];

	(void)arg;
	p[s->index] = (struct canp_poller){.name = "sig", .poll = sig_poll, .arg = s};
	canp_reactor_add(s, &p[s->index]);
	return 0;
}

/* 0: the first signal drained; the pipe says when signals may come. */
static int sig_child(int ready_fd)
{
	struct canp_runtime_opts o = small_opts(2, CANP_RING_AUTO);
	struct canp_runtime *rt, *other = NULL;
	int rc;

	o.setup = sig_setup;
	if (canp_runtime_create(&o, &rt) || canp_runtime_signals(rt))
		return 10;
	if (canp_runtime_signals(rt) != -EBUSY)
		return 11;
	if (write(ready_fd, "x", 1) != 1)
		return 12;
	rc = canp_runtime_wait_for(rt, 20 * (uint64_t)CANP_NS_PER_S);
	if (rc || canp_runtime_interrupted(rt) != SIGTERM)
		return 13;
	canp_runtime_destroy(rt);
	/* The handlers are gone and another runtime may have them. */
	if (canp_runtime_create(&o, &other) || canp_runtime_signals(other))
		return 14;
	canp_runtime_destroy(other);
	return 0;
}

static int early_setup(void *arg, struct canp_shard *s)
{
	if (s->index == 0)
		kill(getpid(), SIGTERM);
	return sig_setup(arg, s);
}

/* 0: a signal during the boot was noted, and the loops found it. */
static int early_child(void)
{
	struct canp_runtime_opts o = small_opts(2, CANP_RING_AUTO);
	struct canp_runtime *rt;
	int rc;

	o.setup = early_setup;
	o.signals = true;
	if (canp_runtime_create(&o, &rt))
		return 10;
	rc = canp_runtime_wait_for(rt, 20 * (uint64_t)CANP_NS_PER_S);
	if (rc || canp_runtime_interrupted(rt) != SIGTERM)
		return 11;
	canp_runtime_destroy(rt);
	return 0;
}

static void a_signal_during_the_boot_drains(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(early_child());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static pid_t sig_start(void)
{
	int p[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe(p), 0);
	pid = fork();
	if (pid == 0)
		_exit(sig_child(p[1]));
	assert_int_equal(read(p[0], &c, 1), 1);
	close(p[0]);
	close(p[1]);
	return pid;
}

static void test_first_signal_drains(void **state)
{
	pid_t pid = sig_start();
	int st;

	(void)state;
	nap_ms(20); /* the shards sleep by now: the kick has to wake them */
	kill(pid, SIGTERM);
	assert_int_equal(waitpid(pid, &st, 0), pid);
	assert_true(WIFEXITED(st));
	assert_int_equal(WEXITSTATUS(st), 0);
}

static void test_second_signal_kills_with_its_own_number(void **state)
{
	pid_t pid = sig_start();
	int st;

	(void)state;
	kill(pid, SIGINT); /* sig_poll drains only for SIGTERM */
	nap_ms(50);
	assert_int_equal(waitpid(pid, &st, WNOHANG), 0);
	kill(pid, SIGINT);
	assert_int_equal(waitpid(pid, &st, 0), pid);
	assert_true(WIFSIGNALED(st));
	assert_int_equal(WTERMSIG(st), SIGINT);
}

/* ---- the idle machine for e2e_idle.sh ---------------------------------------------------------
 */

static int idle_main(long seconds, enum canp_ring_kind ring)
{
	struct canp_runtime_opts o = small_opts(2, ring);
	struct canp_runtime *rt;
	int rc = canp_runtime_create(&o, &rt);

	if (rc)
		return 1;
	nap_ms(200); /* past the spinning at the start */
	dprintf(STDERR_FILENO, "IDLE-BEGIN\n");
	nap_ms(seconds * 1000);
	dprintf(STDERR_FILENO, "IDLE-END\n");
	canp_runtime_destroy(rt);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_shards_talk_to_all),
		cmocka_unit_test(test_failed_setup_unwinds_the_others),
		cmocka_unit_test(test_impossible_sizes_are_refused),
		cmocka_unit_test(test_shards_are_pinned_and_may_stop_at_once),
		cmocka_unit_test(test_stop_during_boot_is_kept),
		cmocka_unit_test(test_hogs_starve_nobody_and_stalls_are_counted),
		cmocka_unit_test(test_an_idle_shard_sleeps),
		cmocka_unit_test(test_first_signal_drains),
		cmocka_unit_test(test_second_signal_kills_with_its_own_number),
		cmocka_unit_test(a_signal_during_the_boot_drains),
	};

	if (argc == 4 && !strcmp(argv[1], "--idle"))
		return idle_main(strtol(argv[2], NULL, 10),
				 !strcmp(argv[3], "sync") ? CANP_RING_SYNC : CANP_RING_AUTO);
	return cmocka_run_group_tests_name("runtime", tests, NULL, NULL);
}
