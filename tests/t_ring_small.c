/*
 * t_ring_small.c - rings of few entries: whatever number is asked for, operations come to an end,
 * however many are submitted at once, and the read that a wake ends finds room beside them. Every
 * test runs on each rung of the io_uring ladder and on the helper-thread ring.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/base/clock.h"
#include "core/base/compiler.h"
#include "core/base/units.h"
#include "core/runtime/ring.h"
#include "core/runtime/ring_uring_priv.h"

#define BLOCK  4096u
#define BLOCKS 16u
/* More than all slots of the rings made here. */
#define FLOOD 100u

static const struct kind {
	const char *name;
	enum canp_ring_kind kind;
	unsigned rung;
	bool restricted;
} kinds[] = {
	{"uring defer", CANP_RING_URING, 0, false}, {"uring coop", CANP_RING_URING, 1, false},
	{"uring plain", CANP_RING_URING, 2, false}, {"uring restricted", CANP_RING_URING, 0, true},
	{"sync", CANP_RING_SYNC, 0, false},         {"auto", CANP_RING_AUTO, 0, false},
};

static const unsigned sizes[] = {1, 2, 3, 4, 5, 8};

static int blocks_fd;

/* Skips when the kernel refuses; any other failure is one. */
static struct canp_ring *make_ring(const struct kind *k, unsigned entries)
{
	struct canp_ring_opts o = {
		.kind = k->kind, .entries = entries, .restrict_ops = k->restricted, .iowq_cpu = -1};
	struct canp_ring *r = NULL;
	int rc;

	canp_ring_first_rung = k->rung;
	rc = canp_ring_create(&o, &r);
	if (k->kind == CANP_RING_URING && (rc == -EPERM || rc == -ENOSYS || rc == -EOPNOTSUPP)) {
		print_message("SKIP %s: %s\n", k->name, strerror(-rc));
		return NULL;
	}
	if (rc)
		fail_msg("%s, %u entries: %s", k->name, entries, strerror(-rc));
	return r;
}

static void for_each_ring(void (*test)(struct canp_ring *r, unsigned entries))
{
	for (unsigned k = 0; k < CANP_ARRAY_SIZE(kinds); k++) {
		for (unsigned i = 0; i < CANP_ARRAY_SIZE(sizes); i++) {
			struct canp_ring *r = make_ring(&kinds[k], sizes[i]);

			if (!r)
				break;
			test(r, sizes[i]);
			canp_ring_destroy(r);
		}
	}
	canp_ring_first_rung = 0;
}

static void count_done(struct canp_ring_op *op)
{
	(*(unsigned *)op->arg)++;
}

static struct canp_ring_op read_of(unsigned block, void *buf, unsigned *done)
{
	return (struct canp_ring_op){.opcode = CANP_OP_READ,
				     .fd = blocks_fd,
				     .buf = buf,
				     .len = BLOCK,
				     .off = (uint64_t)(block % BLOCKS) * BLOCK,
				     .done = count_done,
				     .arg = done};
}

static void check_block(const struct canp_ring_op *op)
{
	const unsigned char *p = op->buf;

	assert_int_equal(op->res, BLOCK);
	assert_int_equal(p[0], op->off / BLOCK + 1);
	assert_int_equal(p[BLOCK - 1], op->off / BLOCK + 1);
}

/* A ring that hangs fails the test instead of stopping it. */
static void wait_for(struct canp_ring *r, const unsigned *done, unsigned want, unsigned entries)
{
	uint64_t end_ns = canp_clock_ns() + 5 * (uint64_t)CANP_NS_PER_S;

	while (*done < want) {
		canp_ring_wait(r, (uint64_t)CANP_NS_PER_S);
		if (canp_clock_ns() > end_ns)
			fail_msg("%u entries: %u of %u done after 5 s", entries, *done, want);
	}
}

/* ---- a few at a time ------------------------------------------------------------------------- */

static void read_in_flight(struct canp_ring *r, unsigned entries, unsigned depth)
{
	unsigned char buf[3][BLOCK];
	struct canp_ring_op op[3];

	for (unsigned i = 0; i < 50; i++) {
		unsigned done = 0;

		for (unsigned k = 0; k < depth; k++) {
			op[k] = read_of(i + k, buf[k], &done);
			canp_ring_submit(r, &op[k]);
		}
		wait_for(r, &done, depth, entries);
		for (unsigned k = 0; k < depth; k++)
			check_block(&op[k]);
	}
}

static void few_reads(struct canp_ring *r, unsigned entries)
{
	for (unsigned depth = 1; depth <= 3; depth++)
		read_in_flight(r, entries, depth);
}

static void test_reads_in_small_numbers_end_with_any_number_of_entries(void **state)
{
	(void)state;
	for_each_ring(few_reads);
}

/* ---- more than there is room for ------------------------------------------------------------- */

static void flood(struct canp_ring *r, unsigned entries)
{
	static struct canp_ring_op op[FLOOD];
	static unsigned char buf[FLOOD][BLOCK];

	for (unsigned round = 0; round < 3; round++) {
		unsigned done = 0;

		for (unsigned i = 0; i < FLOOD; i++) {
			op[i] = read_of(i, buf[i], &done);
			canp_ring_submit(r, &op[i]);
		}
		assert_int_equal(canp_ring_inflight(r), FLOOD);
		wait_for(r, &done, FLOOD, entries);
		for (unsigned i = 0; i < FLOOD; i++)
			check_block(&op[i]);
	}
	assert_int_equal(canp_ring_inflight(r), 0);
}

static void test_more_than_the_entries_at_once_all_end(void **state)
{
	(void)state;
	for_each_ring(flood);
}

/* ---- sleeps ---------------------------------------------------------------------------------- */

struct waker {
	struct canp_ring *r;
	int pipe; /* to write to, or -1 */
	unsigned times, seen, lost;
};

static void *wake_now_and_then(void *arg)
{
	struct waker *w = arg;

	for (unsigned i = 0; i < w->times; i++) {
		usleep(500);
		if (w->pipe >= 0 && write(w->pipe, "x", 1) != 1)
			w->lost++;
		canp_ring_wake(w->r);
	}
	return NULL;
}

/* Timeouts with nothing to do, and sleeps without a limit that only another thread ends. */
static void sleeps(struct canp_ring *r, unsigned entries)
{
	struct waker w = {.r = r, .pipe = -1, .times = 1};
	pthread_t t;

	for (unsigned i = 0; i < 3; i++) {
		uint64_t before = canp_clock_ns();

		assert_int_equal(canp_ring_wait(r, (uint64_t)CANP_NS_PER_MS), 0);
		assert_true(canp_clock_ns() - before < 5 * (uint64_t)CANP_NS_PER_S);
		read_in_flight(r, entries, 1 + i % 2);
	}
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(pthread_create(&t, NULL, wake_now_and_then, &w), 0);
		assert_int_equal(canp_ring_wait(r, UINT64_MAX), 0);
		pthread_join(t, NULL);
		read_in_flight(r, entries, 2);
	}
}

static void test_sleeps_end_by_time_and_by_a_wake(void **state)
{
	(void)state;
	for_each_ring(sleeps);
}

/* Wakes come while reads are in flight and while a poll and its pipe keep a slot. */
static void woken_reads(struct canp_ring *r, unsigned entries)
{
	struct waker w = {.r = r, .times = 20};
	unsigned polled = 0, left = w.times;
	int p[2];
	pthread_t t;

	assert_int_equal(pipe(p), 0);
	w.pipe = p[1];
	assert_int_equal(pthread_create(&t, NULL, wake_now_and_then, &w), 0);
	while (left) {
		struct canp_ring_op poll = {
			.opcode = CANP_OP_POLL, .fd = p[0], .done = count_done, .arg = &polled};
		char got[32];
		ssize_t n;

		polled = 0;
		canp_ring_submit(r, &poll);
		read_in_flight(r, entries, 2);
		wait_for(r, &polled, 1, entries);
		n = read(p[0], got, sizeof(got));
		assert_true(n > 0 && (unsigned)n <= left);
		left -= (unsigned)n;
	}
	pthread_join(t, NULL);
	assert_int_equal(w.lost, 0);
	close(p[0]);
	close(p[1]);
}

static void test_wakes_beside_reads_and_polls_lose_nothing(void **state)
{
	(void)state;
	for_each_ring(woken_reads);
}

/* ---- the end --------------------------------------------------------------------------------- */

/* More polls that never fire than there are slots: destroy cancels those that waited as well. */
static void test_destroy_ends_polls_that_found_no_room(void **state)
{
	(void)state;
	for (unsigned k = 0; k < CANP_ARRAY_SIZE(kinds); k++) {
		for (unsigned i = 0; i < CANP_ARRAY_SIZE(sizes); i++) {
			static struct canp_ring_op op[FLOOD];
			struct canp_ring *r = make_ring(&kinds[k], sizes[i]);
			unsigned done = 0;
			int p[2];

			if (!r)
				break;
			assert_int_equal(pipe(p), 0);
			for (unsigned n = 0; n < FLOOD; n++) {
				op[n] = (struct canp_ring_op){.opcode = CANP_OP_POLL,
							      .fd = p[0],
							      .done = count_done,
							      .arg = &done};
				canp_ring_submit(r, &op[n]);
			}
			canp_ring_wait(r, 0);
			canp_ring_destroy(r);
			assert_int_equal(done, FLOOD);
			for (unsigned n = 0; n < FLOOD; n++)
				assert_int_equal(op[n].res, -ECANCELED);
			close(p[0]);
			close(p[1]);
		}
	}
	canp_ring_first_rung = 0;
}

/* ---- fixture --------------------------------------------------------------------------------- */

static int blocks_make(void **state)
{
	char path[] = "/tmp/t_ring_small.XXXXXX";
	unsigned char block[BLOCK];

	(void)state;
	blocks_fd = mkstemp(path);
	if (blocks_fd < 0 || unlink(path))
		return -1;
	for (unsigned i = 0; i < BLOCKS; i++) {
		memset(block, (int)i + 1, sizeof(block));
		if (pwrite(blocks_fd, block, BLOCK, (off_t)i * BLOCK) != BLOCK)
			return -1;
	}
	return 0;
}

static int blocks_close(void **state)
{
	(void)state;
	return close(blocks_fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_in_small_numbers_end_with_any_number_of_entries),
		cmocka_unit_test(test_more_than_the_entries_at_once_all_end),
		cmocka_unit_test(test_sleeps_end_by_time_and_by_a_wake),
		cmocka_unit_test(test_wakes_beside_reads_and_polls_lose_nothing),
		cmocka_unit_test(test_destroy_ends_polls_that_found_no_room),
	};

	alarm(120); /* destroy may be what hangs */
	return cmocka_run_group_tests_name("ring_small", tests, blocks_make, blocks_close);
}
