/*
 * t_ring.c - the asynchronous file operations: what they do, many in flight, waiting and waking.
 * Every test runs on each rung of the io_uring ladder and on the helper-thread ring; a kernel that
 * refuses io_uring gives a skip with its reason. See t_ring_caps.c for faults and what a ring can.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

#include "tests/lib/ring_fix.h"

/* ---- operations -------------------------------------------------------------------------------
 */

static void test_read_and_write_move_the_bytes(void **state)
{
	(void)state;
	FOR_EACH_KIND(k)
	{
		unsigned char buf[5000], back[5000];
		struct fix f;
		int fd;

		if (fix_begin(&f, k))
			continue;
		fd = file_in(&f, "a", 100000);
		assert_int_equal(run_rw(f.r, CANP_OP_READ, fd, buf, sizeof(buf), 12345), 5000);
		for (size_t i = 0; i < sizeof(buf); i++)
			assert_int_equal(buf[i], byte_at(12345 + i));
		memset(buf, 0x5a, sizeof(buf));
		assert_int_equal(run_rw(f.r, CANP_OP_WRITE, fd, buf, sizeof(buf), 777), 5000);
		assert_int_equal(pread(fd, back, sizeof(back), 777), 5000);
		assert_memory_equal(buf, back, sizeof(buf));
		assert_int_equal(run_fd(f.r, CANP_OP_FDATASYNC, fd), 0);
		assert_int_equal(run_fd(f.r, CANP_OP_FSYNC, fd), 0);
		assert_int_equal(run_fd(f.r, CANP_OP_FSYNC, f.dir), 0);
		assert_int_equal(run_fd(f.r, CANP_OP_NOP, -1), 0);
		close(fd);
		unlinkat(f.dir, "a", 0);
		fix_end(&f);
	}
}

static void test_read_at_the_end_is_short(void **state)
{
	(void)state;
	FOR_EACH_KIND(k)
	{
		unsigned char buf[4096];
		struct fix f;
		int fd;

		if (fix_begin(&f, k))
			continue;
		fd = file_in(&f, "a", 1000);
		assert_int_equal(run_rw(f.r, CANP_OP_READ, fd, buf, sizeof(buf), 900), 100);
		assert_int_equal(buf[99], byte_at(999));
		assert_int_equal(run_rw(f.r, CANP_OP_READ, fd, buf, sizeof(buf), 1000), 0);
		assert_int_equal(run_rw(f.r, CANP_OP_READ, fd, buf, sizeof(buf), 1u << 20), 0);
		close(fd);
		unlinkat(f.dir, "a", 0);
		fix_end(&f);
	}
}

static void test_ftruncate_cuts_and_extends(void **state)
{
	(void)state;
	FOR_EACH_KIND(k)
	{
		struct canp_ring_op op = {.opcode = CANP_OP_FTRUNCATE};
		struct fix f;
		struct stat st;

		if (fix_begin(&f, k))
			continue;
		op.fd = file_in(&f, "a", 8192);
		op.off = 4097;
		assert_int_equal(run(f.r, &op), 0);
		assert_int_equal(fstat(op.fd, &st), 0);
		assert_int_equal(st.st_size, 4097);
		op.off = 1u << 20;
		assert_int_equal(run(f.r, &op), 0);
		assert_int_equal(fstat(op.fd, &st), 0);
		assert_int_equal(st.st_size, 1 << 20);
		close(op.fd);
		unlinkat(f.dir, "a", 0);
		fix_end(&f);
	}
}

static void test_rename_never_replaces(void **state)
{
	(void)state;
	FOR_EACH_KIND(k)
	{
		struct fix f;
		struct stat st;

		if (fix_begin(&f, k))
			continue;
		close(file_in(&f, "tmp", 10));
		close(file_in(&f, "old", 20));
		assert_int_equal(run_path(f.r, CANP_OP_RENAME, f.dir, "tmp", "old"), -EEXIST);
		assert_int_equal(fstatat(f.dir, "old", &st, 0), 0);
		assert_int_equal(st.st_size, 20);
		assert_int_equal(run_path(f.r, CANP_OP_RENAME, f.dir, "tmp", "new"), 0);
		assert_int_equal(fstatat(f.dir, "new", &st, 0), 0);
		assert_int_equal(st.st_size, 10);
		assert_int_equal(run_path(f.r, CANP_OP_RENAME, f.dir, "tmp", "x"), -ENOENT);
		assert_int_equal(run_path(f.r, CANP_OP_UNLINK, f.dir, "new", NULL), 0);
		assert_int_equal(run_path(f.r, CANP_OP_UNLINK, f.dir, "new", NULL), -ENOENT);
		assert_int_equal(run_path(f.r, CANP_OP_UNLINK, f.dir, "old", NULL), 0);
		fix_end(&f);
	}
}

static void test_close_closes_and_errors_are_results(void **state)
{
	(void)state;
	FOR_EACH_KIND(k)
	{
		unsigned char buf[16];
		struct fix f;
		int fd;

		if (fix_begin(&f, k))
			continue;
		fd = file_in(&f, "a", 10);
		assert_int_equal(run_fd(f.r, CANP_OP_CLOSE, fd), 0);
		assert_int_equal(fcntl(fd, F_GETFD), -1);
		assert_int_equal(run_fd(f.r, CANP_OP_CLOSE, fd), -EBADF);
		assert_int_equal(run_rw(f.r, CANP_OP_READ, fd, buf, 16, 0), -EBADF);
		assert_int_equal(run_rw(f.r, CANP_OP_READ, f.dir, buf, 16, 0), -EISDIR);
		assert_int_equal(run_fd(f.r, CANP_OP_FDATASYNC, fd), -EBADF);
		fd = openat(f.dir, "a", O_RDONLY);
		assert_int_equal(run_rw(f.r, CANP_OP_WRITE, fd, buf, 16, 0), -EBADF);
		close(fd);
		unlinkat(f.dir, "a", 0);
		fix_end(&f);
	}
}

static void test_poll_fires_once_when_readable(void **state)
{
	(void)state;
	FOR_EACH_KIND(k)
	{
		unsigned done = 0;
		struct canp_ring_op op = {.opcode = CANP_OP_POLL, .done = count_done, .arg = &done};
		struct fix f;
		int p[2];

		if (fix_begin(&f, k))
			continue;
		assert_int_equal(pipe(p), 0);
		op.fd = p[0];
		canp_ring_submit(f.r, &op);
		assert_int_equal(canp_ring_wait(f.r, 0), 0);
		assert_int_equal(canp_ring_wait(f.r, 5 * CANP_NS_PER_MS), 0);
		assert_int_equal(canp_ring_inflight(f.r), 1);
		assert_int_equal(write(p[1], "x", 1), 1);
		for (int i = 0; i < 100 && !done; i++)
			canp_ring_wait(f.r, 100 * CANP_NS_PER_MS);
		assert_int_equal(done, 1);
		assert_true(op.res & POLLIN);
		assert_int_equal(canp_ring_wait(f.r, 1 * CANP_NS_PER_MS), 0);
		assert_int_equal(done, 1);
		/* A poll that never fires does not keep destroy. */
		assert_int_equal(read(p[0], &(char){0}, 1), 1);
		canp_ring_submit(f.r, &op);
		canp_ring_wait(f.r, 0);
		canp_ring_destroy(f.r);
		assert_int_equal(done, 2);
		assert_int_equal(op.res, -ECANCELED);
		f.r = NULL;
		close(p[0]);
		close(p[1]);
		fix_end(&f);
	}
}

/* ---- queueing ---------------------------------------------------------------------------------
 */

#define MANY 1000

static void test_a_thousand_in_flight_on_a_small_ring(void **state)
{
	(void)state;
	FOR_EACH_KIND(k)
	{
		static struct canp_ring_op ops[MANY];
		static uint32_t bufs[MANY];
		struct canp_ring_opts o = opts_of(k);
		struct fix f = {0};
		unsigned done = 0;
		int fd;

		o.entries = 16; /* 64 completion entries: ops have to wait in the list */
		if (make_ring(&o, k, &f.r))
			continue;
		fix_dir(&f);
		fd = openat(f.dir, "a", O_RDWR | O_CREAT, 0600);
		for (uint32_t i = 0; i < MANY; i++) {
			bufs[i] = i * 2654435761u;
			assert_int_equal(pwrite(fd, &bufs[i], 4, i * 4), 4);
			bufs[i] = 0;
			ops[i] = (struct canp_ring_op){.opcode = CANP_OP_READ,
						       .fd = fd,
						       .buf = &bufs[i],
						       .len = 4,
						       .off = i * 4,
						       .done = count_done,
						       .arg = &done};
			canp_ring_submit(f.r, &ops[i]);
		}
		assert_int_equal(canp_ring_inflight(f.r), MANY);
		while (done < MANY)
			canp_ring_wait(f.r, 5 * CANP_NS_PER_S);
		assert_int_equal(canp_ring_inflight(f.r), 0);
		for (uint32_t i = 0; i < MANY; i++) {
			assert_int_equal(ops[i].res, 4);
			assert_int_equal(bufs[i], i * 2654435761u);
		}
		close(fd);
		unlinkat(f.dir, "a", 0);
		fix_end(&f);
	}
}

struct chain {
	struct canp_ring *r;
	unsigned left, depth, depth_max;
};

static void chain_done(struct canp_ring_op *op)
{
	struct chain *c = op->arg;

	c->depth++;
	if (c->depth > c->depth_max)
		c->depth_max = c->depth;
	if (c->left) {
		c->left--;
		canp_ring_submit(c->r, op);
	}
	c->depth--;
}

static void test_callbacks_may_submit_and_never_nest(void **state)
{
	(void)state;
	FOR_EACH_KIND(k)
	{
		struct canp_ring_op op = {.opcode = CANP_OP_NOP, .done = chain_done};
		struct chain c = {.left = 500};
		struct fix f;

		if (fix_begin(&f, k))
			continue;
		c.r = f.r;
		op.arg = &c;
		canp_ring_submit(f.r, &op);
		while (canp_ring_inflight(f.r))
			canp_ring_wait(f.r, 5 * CANP_NS_PER_S);
		assert_int_equal(c.left, 0);
		assert_int_equal(c.depth_max, 1);
		fix_end(&f);
	}
}

static void test_destroy_waits_and_refuses_new_work(void **state)
{
	(void)state;
	FOR_EACH_KIND(k)
	{
		struct canp_ring_op ops[100];
		struct chain c = {.left = 1};
		struct canp_ring_op again = {.opcode = CANP_OP_NOP, .done = chain_done, .arg = &c};
		unsigned done = 0;
		struct fix f;

		if (fix_begin(&f, k))
			continue;
		c.r = f.r;
		for (int i = 0; i < 100; i++) {
			ops[i] = (struct canp_ring_op){
				.opcode = CANP_OP_NOP, .done = count_done, .arg = &done};
			canp_ring_submit(f.r, &ops[i]);
		}
		canp_ring_submit(f.r, &again);
		canp_ring_destroy(f.r);
		f.r = NULL;
		assert_int_equal(done, 100);
		assert_int_equal(c.left, 0);
		assert_int_equal(again.res, -ECANCELED);
		fix_end(&f);
	}
}

/* ---- waiting ----------------------------------------------------------------------------------
 */

static void test_timeout_ends_the_wait(void **state)
{
	(void)state;
	FOR_EACH_KIND(k)
	{
		struct fix f;
		uint64_t t0, dt;

		if (fix_begin(&f, k))
			continue;
		t0 = canp_clock_ns();
		for (int i = 0; i < 1000; i++)
			assert_int_equal(canp_ring_wait(f.r, 0), 0);
		assert_true(canp_clock_ns() - t0 < 500 * CANP_NS_PER_MS);
		t0 = canp_clock_ns();
		assert_int_equal(canp_ring_wait(f.r, 30 * CANP_NS_PER_MS), 0);
		dt = canp_clock_ns() - t0;
		assert_true(dt >= 29 * CANP_NS_PER_MS);
		fix_end(&f);
	}
}

static void *wake_later(void *arg)
{
	struct timespec ts = {0, 20 * CANP_NS_PER_MS};

	nanosleep(&ts, NULL);
	canp_ring_wake(arg);
	return NULL;
}

static void test_another_thread_wakes_the_sleeper(void **state)
{
	(void)state;
	FOR_EACH_KIND(k)
	{
		struct fix f;
		pthread_t t;

		if (fix_begin(&f, k))
			continue;
		for (int i = 0; i < 3; i++) {
			uint64_t t0 = canp_clock_ns();

			assert_int_equal(pthread_create(&t, NULL, wake_later, f.r), 0);
			assert_int_equal(canp_ring_wait(f.r, UINT64_MAX), 0);
			assert_true(canp_clock_ns() - t0 < 5 * (uint64_t)CANP_NS_PER_S);
			pthread_join(t, NULL);
		}
		/* A wake that comes before the sleep is not lost. */
		canp_ring_wake(f.r);
		canp_ring_wake(f.r);
		assert_int_equal(canp_ring_wait(f.r, UINT64_MAX), 0);
		fix_end(&f);
	}
}

static struct canp_ring *signal_ring;
static int signals_seen;

static void on_alarm(int sig)
{
	(void)sig;
	__atomic_add_fetch(&signals_seen, 1, __ATOMIC_RELAXED);
	canp_ring_wake(signal_ring);
}

static void test_a_signal_handler_may_wake(void **state)
{
	(void)state;
	FOR_EACH_KIND(k)
	{
		struct sigaction sa = {.sa_handler = on_alarm, .sa_flags = SA_RESTART}, old;
		struct itimerval it = {.it_value = {0, 20000}};
		struct fix f;

		if (fix_begin(&f, k))
			continue;
		signal_ring = f.r;
		signals_seen = 0;
		sigaction(SIGALRM, &sa, &old);
		setitimer(ITIMER_REAL, &it, NULL);
		/* The signal may end one wait by itself; the wake-up then ends the next. */
		while (!__atomic_load_n(&signals_seen, __ATOMIC_RELAXED))
			assert_int_equal(canp_ring_wait(f.r, UINT64_MAX), 0);
		sigaction(SIGALRM, &old, NULL);
		fix_end(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read_and_write_move_the_bytes),
		cmocka_unit_test(test_read_at_the_end_is_short),
		cmocka_unit_test(test_ftruncate_cuts_and_extends),
		cmocka_unit_test(test_rename_never_replaces),
		cmocka_unit_test(test_close_closes_and_errors_are_results),
		cmocka_unit_test(test_poll_fires_once_when_readable),
		cmocka_unit_test(test_a_thousand_in_flight_on_a_small_ring),
		cmocka_unit_test(test_callbacks_may_submit_and_never_nest),
		cmocka_unit_test(test_destroy_waits_and_refuses_new_work),
		cmocka_unit_test(test_timeout_ends_the_wait),
		cmocka_unit_test(test_another_thread_wakes_the_sleeper),
		cmocka_unit_test(test_a_signal_handler_may_wake),
	};

	return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
