/*
 * t_command_drive.c - who drives a pool (threads, reactors, a foreign loop) and what carries a
 * command out (backends).
 */
#include <errno.h>
#include <poll.h>
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
#include <unistd.h>
#include <cmocka.h>

#include "core/base/clock.h"
#include "core/command/command_pool.h"
#include "core/process/process.h"
#include "numa/topology.h"
#include "tests/lib/cmd_help.h"

/* ---- backends ---- */

struct fake {
	unsigned opened, closed, started, kills;
	struct canp_cmd_call *held;
	pthread_t thread;
};

static int fake_open(struct canp_cmd_pool *p, void *arg, void **ctx)
{
	struct fake *f = arg;

	(void)p;
	f->opened++;
	*ctx = f;
	return 0;
}

static void fake_close(void *ctx)
{
	((struct fake *)ctx)->closed++;
}

static void *end_later(void *arg)
{
	struct fake *f = arg;

	usleep(20000);
	canp_cmd_call_output(f->held, 2, "late", 4);
	canp_cmd_call_result(f->held)->exit_code = 0;
	canp_cmd_call_end(f->held);
	return NULL;
}

/* Programs: "now" is over at once, "later" ends on another thread, "never" until it is killed,
 * anything else cannot be started. */
static int fake_start(void *ctx, struct canp_cmd_call *c)
{
	const struct canp_cmd_spec *s = canp_cmd_call_spec(c);
	struct fake *f = ctx;

	f->started++;
	if (!strcmp(s->argv[0], "now")) {
		canp_cmd_call_output(c, 1, s->argv[1], strlen(s->argv[1]));
		canp_cmd_call_result(c)->exit_code = 0;
		return 1;
	}
	f->held = c;
	if (!strcmp(s->argv[0], "later"))
		return pthread_create(&f->thread, NULL, end_later, f);
	return strcmp(s->argv[0], "never") ? -ENOEXEC : 0;
}

static void fake_kill(void *ctx, struct canp_cmd_call *c, int sig)
{
	struct fake *f = ctx;

	assert_ptr_equal(c, f->held);
	f->kills++;
	canp_cmd_call_result(c)->term_signal = sig;
	canp_cmd_call_end(c);
}

static const struct canp_cmd_backend fake = {.name = "fake",
					     .open = fake_open,
					     .close = fake_close,
					     .start = fake_start,
					     .kill = fake_kill};

static void E02_backend_is_a_table_with_three_built_in(void **state)
{
	struct fake ctx = {0};
	struct canp_cmd_config c = {.concurrency_limit = 2, .backend = &fake, .backend_arg = &ctx};
	const char *const now[] = {"now", "hello", NULL}, *const never[] = {"never", NULL};
	const char *const later[] = {"later", NULL}, *const bad[] = {"bad", NULL};
	struct canp_cmd_spec s = {.argv = now};
	const struct canp_cmd_result *r;
	struct canp_future *f[4];

	(void)state;
	assert_string_equal(canp_cmd_backends[CANP_CMD_MODE_PROCESS]->name, "process");
	assert_string_equal(canp_cmd_backends[CANP_CMD_MODE_THREAD]->name, "thread");
	assert_string_equal(canp_cmd_backends[CANP_CMD_MODE_RESIDENT]->name, "resident");
	assert_int_equal(canp_cmd_pool_create(&c, &pool), 0);
	assert_int_equal(canp_cmd_pool_start(pool, 0), 0);
	assert_int_equal(canp_cmd_push(pool, &s, &f[0]), 0);
	r = wait_result(f[0]);
	assert_int_equal(r->status, CANP_CMD_COMPLETED);
	assert_int_equal(r->out.len, 5);
	assert_memory_equal(r->out.data, "hello", 5);
	s.argv = later;
	assert_int_equal(canp_cmd_push(pool, &s, &f[1]), 0);
	r = wait_result(f[1]);
	assert_memory_equal(r->err.data, "late", 4);
	pthread_join(ctx.thread, NULL);
	s.argv = never;
	s.timeout_ms = 30;
	assert_int_equal(canp_cmd_push(pool, &s, &f[2]), 0);
	assert_int_equal(wait_result(f[2])->why, CANP_CMD_ERR_TIMEOUT);
	assert_int_equal(ctx.kills, 1);
	s.argv = bad;
	assert_int_equal(canp_cmd_push(pool, &s, &f[3]), 0);
	r = wait_result(f[3]);
	assert_int_equal(r->why, CANP_CMD_ERR_IO);
	assert_int_equal(r->error, -ENOEXEC);
	for (int i = 0; i < 4; i++)
		canp_future_put(f[i]);
	assert_int_equal(ctx.started, 4);
	teardown(NULL);
	assert_int_equal(ctx.opened, 1);
	assert_int_equal(ctx.closed, 1);
}

static void E03_a_child_per_command(void **state)
{
	struct canp_cmd_config c = {.concurrency_limit = 2};
	int pid[8];

	(void)state;
	assert_int_equal(canp_cmd_pool_create(&c, &pool), 0);
	assert_int_equal(canp_cmd_pool_start(pool, 0), 0);
	for (int i = 0; i < 8; i++) {
		struct canp_future *f = push("echo $$ $PPID");
		const struct canp_cmd_result *r = wait_result(f);
		char want[64];

		pid[i] = r->pid;
		snprintf(want, sizeof(want), "%d %d\n", r->pid, (int)getpid());
		assert_int_equal(r->out.len, strlen(want));
		assert_memory_equal(r->out.data, want, strlen(want));
		for (int k = 0; k < i; k++)
			assert_int_not_equal(pid[k], pid[i]);
		canp_future_put(f);
	}
}

static void E04_reactors_share_the_queue(void **state)
{
	struct canp_exec_opts o = {.cores = 2, .pin = true};
	struct canp_cmd_config c = {.mode = CANP_CMD_MODE_THREAD, .concurrency_limit = 8};
	unsigned lanes[2] = {0}, tries = 0;
	struct canp_task_result t;
	struct canp_future *f[64];
	cpu_set_t mine;
	char want[64];

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(mine), &mine), 0);
	assert_int_equal(canp_exec_create(&o, &c.exec), 0);
	assert_int_equal(canp_cmd_pool_create(&c, &pool), 0);
	assert_int_equal(canp_cmd_pool_start(pool, 0), 0);
	/* Each reactor takes its part, sooner or later, and what it starts is not pinned to it. */
	for (; tries < 100 && !(lanes[0] && lanes[1]); tries++) {
		for (int i = 0; i < 64; i++)
			f[i] = push("nproc");
		for (int i = 0; i < 64; i++) {
			const struct canp_cmd_result *r = wait_result(f[i]);

			assert_true(r->lane < 2);
			lanes[r->lane]++;
			snprintf(want, sizeof(want), "%d\n", CPU_COUNT(&mine));
			assert_memory_equal(r->out.data, want, strlen(want));
			assert_int_equal(canp_future_wait(f[i], 0, &t), 0);
			assert_int_equal(t.error, 0);
			canp_future_put(f[i]);
		}
	}
	assert_true(lanes[0] && lanes[1]);
	f[0] = push("exec sleep 1000");
	while (canp_future_status(f[0]) == CANP_TASK_PENDING)
		usleep(1000);
	canp_future_cancel(f[0]);
	assert_int_equal(wait_result(f[0])->why, CANP_CMD_ERR_CANCELLED);
	canp_future_put(f[0]);
	/* A restart on the same reactors. */
	assert_int_equal(canp_cmd_pool_stop(pool, CANP_CMD_STOP_KEEP, 0), 0);
	assert_int_equal(canp_cmd_pool_start(pool, 0), 0);
	f[0] = push("true");
	assert_int_equal(wait_result(f[0])->exit_code, 0);
	canp_future_put(f[0]);
	assert_int_equal(canp_exec_wait_idle(c.exec, WAIT_MS), 0);
	teardown(NULL);
	canp_exec_destroy(c.exec);
}

/* The custom executor of the source document: it gets the configuration and returns the output. */
static int upper_start(void *ctx, struct canp_cmd_call *c)
{
	const char *p = canp_cmd_call_spec(c)->argv[0];

	(void)ctx;
	for (; *p; p++) {
		char up = (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);

		canp_cmd_call_output(c, 1, &up, 1);
	}
	canp_cmd_call_result(c)->exit_code = 0;
	return 1;
}

static void E18_custom_executor_gets_config_returns_output(void **state)
{
	static const struct canp_cmd_backend upper = {.name = "upper", .start = upper_start};
	struct canp_cmd_config c = {.concurrency_limit = 1, .backend = &upper};
	const char *const argv[] = {"shout", NULL};
	struct canp_cmd_spec s = {.argv = argv};
	struct canp_future *f;

	(void)state;
	assert_int_equal(canp_cmd_pool_create(&c, &pool), 0);
	assert_int_equal(canp_cmd_pool_start(pool, 0), 0);
	assert_int_equal(canp_cmd_push(pool, &s, &f), 0);
	assert_memory_equal(wait_result(f)->out.data, "SHOUT", 5);
	canp_future_put(f);
}

static void E19_default_executor_is_built_in_and_synchronous(void **state)
{
	const char *const argv[] = {"/bin/echo", "plain", NULL};
	struct canp_cmd_spec s = {.argv = argv};
	const struct canp_cmd_result *r;
	struct canp_cmd_execution *mem;

	(void)state;
	assert_int_equal(canp_cmd_execute(&s, &mem, &r), 0);
	assert_int_equal(r->status, CANP_CMD_COMPLETED);
	assert_memory_equal(r->out.data, "plain\n", 6);
	canp_cmd_execute_free(mem);
}

/* ---- resident workers ---- */

static void make_resident(unsigned workers)
{
	struct canp_cmd_config c = {
		.mode = CANP_CMD_MODE_RESIDENT, .workers = workers, .capture_max = 2u << 20};

	assert_int_equal(canp_cmd_pool_create(&c, &pool), 0);
	assert_int_equal(canp_cmd_pool_start(pool, 0), 0);
}

static int worker_pids(int *pid, int max)
{
	struct canp_process_worker w[8];
	int n = canp_process_pool_workers(canp_cmd_pool_workers(pool), w, max);

	for (int i = 0; i < n; i++)
		pid[w[i].index] = (int)w[i].pid;
	return n;
}

static void E05_commands_run_through_the_same_resident_children(void **state)
{
	int before[8] = {0}, after[8] = {0};

	(void)state;
	make_resident(2);
	assert_int_equal(worker_pids(before, 8), 2);
	for (int i = 0; i < 30; i++) {
		struct canp_future *f = push("echo $PPID");
		const struct canp_cmd_result *r = wait_result(f);

		assert_int_equal(r->exit_code, 0);
		assert_true(r->lane < 2);
		assert_int_equal(atoi(r->out.data), before[r->lane]);
		canp_future_put(f);
	}
	assert_int_equal(worker_pids(after, 8), 2);
	assert_memory_equal(before, after, sizeof(before));
}

static void E29_resident_pool_has_its_size(void **state)
{
	int pid[8];

	(void)state;
	for (unsigned n = 1; n <= 3; n += 2) {
		make_resident(n);
		assert_int_equal(worker_pids(pid, 8), (int)n);
		teardown(NULL);
	}
}

static void E30_workers_come_back_after_errors_and_are_replaced_when_dead(void **state)
{
	const char *const none[] = {"/nonexistent/x", NULL};
	struct canp_cmd_spec s = {.argv = none};
	int before[8] = {0}, after[8] = {0};
	const struct canp_cmd_result *r;
	struct canp_future *f;

	(void)state;
	make_resident(1);
	worker_pids(before, 8);
	assert_int_equal(canp_cmd_push(pool, &s, &f), 0);
	r = wait_result(f);
	assert_int_equal(r->why, CANP_CMD_ERR_IO);
	assert_int_equal(r->error, -ENOENT);
	assert_non_null(strstr(r->message, "/nonexistent/x"));
	canp_future_put(f);
	s = (struct canp_cmd_spec){.argv = (const char *const[]){"/bin/sleep", "1000", NULL},
				   .timeout_ms = 100};
	assert_int_equal(canp_cmd_push(pool, &s, &f), 0);
	r = wait_result(f);
	assert_int_equal(r->why, CANP_CMD_ERR_TIMEOUT);
	assert_int_equal(r->term_signal, SIGTERM);
	canp_future_put(f);
	f = push("exec sleep 1000");
	while (canp_future_status(f) == CANP_TASK_PENDING)
		usleep(1000);
	assert_int_equal(canp_future_cancel(f), 0);
	assert_int_equal(wait_result(f)->why, CANP_CMD_ERR_CANCELLED);
	canp_future_put(f);
	worker_pids(after, 8);
	assert_memory_equal(before, after, sizeof(before));
	/* Its death is the failure of the command it had, and of no other. */
	f = push("kill -9 $PPID; sleep 1000");
	r = wait_result(f);
	assert_int_equal(r->status, CANP_CMD_FAILED);
	assert_int_equal(r->error, -EOWNERDEAD);
	canp_future_put(f);
	f = push("echo again");
	r = wait_result(f);
	assert_int_equal(r->exit_code, 0);
	assert_memory_equal(r->out.data, "again\n", 6);
	canp_future_put(f);
	worker_pids(after, 8);
	assert_int_not_equal(before[0], after[0]);
}

static void E31_messages_of_any_size_arrive_whole(void **state)
{
	static char big[1 << 20];
	struct canp_cmd_spec s = {.argv = (const char *const[]){"/bin/cat", NULL},
				  .in = {.kind = CANP_CMD_IO_DATA, .data = big}};
	static const size_t sizes[] = {0, 1, 4095, 65536, sizeof(big)};
	char **argv = calloc(5002, sizeof(*argv));
	const struct canp_cmd_result *r;
	struct canp_future *f;

	(void)state;
	for (unsigned i = 0; i < sizeof(big); i++)
		big[i] = (char)(i * 2654435761u >> 24);
	make_resident(1);
	for (unsigned i = 0; i < 5; i++) {
		s.in.len = sizes[i];
		assert_int_equal(canp_cmd_push(pool, &s, &f), 0);
		r = wait_result(f);
		assert_int_equal(r->exit_code, 0);
		assert_int_equal(r->out.total, sizes[i]);
		assert_memory_equal(r->out.data, big, sizes[i]);
		canp_future_put(f);
	}
	/* Head and tail, cut by the worker. */
	s.out.len = 1000;
	assert_int_equal(canp_cmd_push(pool, &s, &f), 0);
	r = wait_result(f);
	assert_int_equal(r->out.total, sizeof(big));
	assert_int_equal(r->out.len, 1000);
	assert_memory_equal(r->out.data, big, 500);
	assert_memory_equal(r->out.data + 500, big + sizeof(big) - 500, 500);
	canp_future_put(f);
	/* Many arguments, empty ones among them, and an environment of its own. */
	argv[0] = (char *)"/bin/sh";
	argv[1] = (char *)"-c";
	argv[2] = (char *)"echo $# $A; printf '%s,' \"$1\" \"$4998\"";
	for (int i = 3; i < 5001; i++)
		argv[i] = (char *)(i % 2 ? "" : "arg");
	s = (struct canp_cmd_spec){.argv = (const char *const *)argv,
				   .env = (const char *const[]){"A=b c", NULL},
				   .cwd = "/"};
	assert_int_equal(canp_cmd_push(pool, &s, &f), 0);
	r = wait_result(f);
	assert_memory_equal(r->out.data, "4997 b c\narg,", 13);
	canp_future_put(f);
	free(argv);
	/* What a worker does not have is refused, not guessed. */
	s = (struct canp_cmd_spec){.argv = (const char *const[]){"/bin/cat", NULL},
				   .in = {.kind = CANP_CMD_IO_FD, .fd = 0}};
	assert_int_equal(canp_cmd_push(pool, &s, &f), 0);
	assert_int_equal(wait_result(f)->error, -EOPNOTSUPP);
	canp_future_put(f);
}

/* ---- foreign loop ---- */

static unsigned ends;
static void count_end(void *arg, struct canp_future *f, const struct canp_cmd_result *r)
{
	(void)f;
	assert_ptr_equal(arg, &ends);
	assert_int_equal(r->exit_code, 0);
	ends++;
}

static void E20_foreign_loop_needs_one_descriptor_and_no_thread(void **state)
{
	struct canp_cmd_config c = {.concurrency_limit = 3, .foreign = true};
	const char *const argv[] = {"/bin/sh", "-c", "sleep 0.01; echo x", NULL};
	struct canp_cmd_spec s = {.argv = argv, .done = count_end, .arg = &ends};
	struct pollfd p = {.events = POLLIN};
	unsigned before = threads_of_process();

	(void)state;
	assert_int_equal(canp_cmd_pool_create(&c, &pool), 0);
	assert_int_equal(canp_cmd_pool_dispatch(pool), -EINVAL);
	assert_int_equal(canp_cmd_pool_start(pool, 0), 0);
	p.fd = canp_cmd_pool_fd(pool);
	assert_true(p.fd >= 0);
	assert_int_equal(poll(&p, 1, 0), 0); /* idle */
	for (int i = 0; i < 20; i++)
		assert_int_equal(canp_cmd_push(pool, &s, NULL), 0);
	while (ends < 20) {
		assert_int_equal(poll(&p, 1, (int)WAIT_MS), 1);
		canp_cmd_pool_dispatch(pool);
	}
	for (int i = 0; i < 3; i++)
		canp_cmd_pool_dispatch(pool);
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_int_equal(threads_of_process(), before);
	c.foreign = false;
	teardown(NULL);
	assert_int_equal(canp_cmd_pool_create(&c, &pool), 0);
	assert_int_equal(canp_cmd_pool_fd(pool), -EINVAL);
}

static void E33_workers_follow_the_cpus(void **state)
{
	struct canp_topology *t = malloc(sizeof(*t));
	struct canp_cmd_config c = {.mode = CANP_CMD_MODE_THREAD};
	struct canp_cmd_stats st;

	(void)state;
	assert_int_equal(canp_topology_read("", t), 0);
	assert_int_equal(canp_cmd_pool_create(&c, &pool), 0);
	canp_cmd_pool_stats(pool, &st);
	assert_int_equal(st.lanes, canp_topology_default_cores(t));
	assert_int_equal(st.limit, canp_topology_default_cores(t));
	free(t);
}

static void E22_limit_can_be_moved_while_it_runs(void **state)
{
	struct canp_cmd_config c = {.concurrency_limit = 1, .limit_max = 4};
	struct canp_cmd_stats st;
	struct canp_future *f[4];

	(void)state;
	assert_int_equal(canp_cmd_pool_create(&c, &pool), 0);
	assert_int_equal(canp_cmd_pool_start(pool, 0), 0);
	assert_int_equal(canp_cmd_pool_set_limit(pool, 5), -EINVAL);
	for (int i = 0; i < 4; i++)
		f[i] = push("exec sleep 1000");
	for (unsigned n = 1; n <= 4; n++) {
		assert_int_equal(canp_cmd_pool_set_limit(pool, n), 0);
		do
			canp_cmd_pool_stats(pool, &st);
		while (st.running < n);
		assert_int_equal(st.running, n);
	}
	for (int i = 0; i < 4; i++) {
		canp_future_cancel(f[i]);
		wait_result(f[i]);
		canp_future_put(f[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(E02_backend_is_a_table_with_three_built_in, teardown),
		cmocka_unit_test_teardown(E03_a_child_per_command, teardown),
		cmocka_unit_test_teardown(E04_reactors_share_the_queue, teardown),
		cmocka_unit_test_teardown(E05_commands_run_through_the_same_resident_children,
					  teardown),
		cmocka_unit_test_teardown(E29_resident_pool_has_its_size, teardown),
		cmocka_unit_test_teardown(
			E30_workers_come_back_after_errors_and_are_replaced_when_dead, teardown),
		cmocka_unit_test_teardown(E31_messages_of_any_size_arrive_whole, teardown),
		cmocka_unit_test_teardown(E18_custom_executor_gets_config_returns_output, teardown),
		cmocka_unit_test(E19_default_executor_is_built_in_and_synchronous),
		cmocka_unit_test_teardown(E20_foreign_loop_needs_one_descriptor_and_no_thread,
					  teardown),
		cmocka_unit_test_teardown(E33_workers_follow_the_cpus, teardown),
		cmocka_unit_test_teardown(E22_limit_can_be_moved_while_it_runs, teardown),
	};

	return cmocka_run_group_tests_name("command drive", tests, NULL, NULL);
}
