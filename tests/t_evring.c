/*
 * t_evring.c - rings of events: nothing is torn, nothing is counted twice, and what is lost is
 * counted exactly, with writer and readers on threads of their own.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/compiler.h"
#include "core/base/evring.h"

#define SLOTS 64u

static struct canp_ev slots[SLOTS];
static struct canp_evring ring;

/* Every word follows from the number, so a torn record cannot look whole. */
static bool emit_nr(struct canp_evring *r, uint64_t i)
{
	return canp_evring_emit(r, i, (uint16_t)i, 'i', (uint32_t)i, i * 3, ~i);
}

static void assert_whole(const struct canp_ev *e)
{
	uint64_t i = e->ts_ns;

	assert_true(e->type == (uint16_t)i && e->id == (uint32_t)i);
	assert_true(e->phase == 'i' && e->flags == 0);
	assert_true(e->a == i * 3 && e->b == ~i);
}

static void G11_drop_newest_keeps_the_first_and_counts_the_rest(void **state)
{
	struct canp_evring_counts c;
	struct canp_ev out[SLOTS + 1];

	(void)state;
	canp_evring_init(&ring, slots, SLOTS, CANP_EVRING_DROP_NEWEST);
	for (uint64_t i = 0; i < SLOTS + 10; i++)
		assert_int_equal(emit_nr(&ring, i), i < SLOTS);
	assert_int_equal(canp_evring_room(&ring), 0);
	canp_evring_counts(&ring, &c);
	assert_int_equal(c.emitted, SLOTS + 10);
	assert_int_equal(c.lost, 10);
	assert_int_equal(c.pending, SLOTS);
	assert_int_equal(canp_evring_read(&ring, out, SLOTS + 1), SLOTS);
	for (uint64_t i = 0; i < SLOTS; i++) {
		assert_int_equal(out[i].ts_ns, i);
		assert_whole(&out[i]);
	}
	assert_true(emit_nr(&ring, 1000));
	assert_int_equal(canp_evring_read(&ring, out, 1), 1);
	assert_int_equal(out[0].ts_ns, 1000);
	canp_evring_counts(&ring, &c);
	assert_int_equal(c.delivered, SLOTS + 1);
	assert_int_equal(c.emitted, c.delivered + c.lost);
}

static void G11_overwrite_oldest_keeps_the_last_and_counts_the_rest(void **state)
{
	struct canp_evring_counts c;
	struct canp_ev out[SLOTS];
	uint32_t nr;

	(void)state;
	canp_evring_init(&ring, slots, SLOTS, CANP_EVRING_OVERWRITE_OLDEST);
	for (uint64_t i = 0; i < 3 * SLOTS + 7; i++)
		assert_true(emit_nr(&ring, i));
	canp_evring_counts(&ring, &c);
	assert_int_equal(c.emitted, c.delivered + c.lost + c.pending);
	assert_int_equal(c.pending, SLOTS - 1);
	nr = canp_evring_read(&ring, out, SLOTS);
	assert_int_equal(nr, SLOTS - 1);
	for (uint32_t i = 0; i < nr; i++) {
		assert_int_equal(out[i].ts_ns, 2 * SLOTS + 8 + i);
		assert_whole(&out[i]);
	}
	canp_evring_counts(&ring, &c);
	assert_int_equal(c.pending, 0);
	assert_int_equal(c.delivered, SLOTS - 1);
	assert_int_equal(c.emitted, c.delivered + c.lost);
}

static void all_fields_of_a_record_come_through(void **state)
{
	struct canp_ev out;

	(void)state;
	canp_evring_init(&ring, slots, 2, CANP_EVRING_DROP_NEWEST);
	assert_true(canp_evring_put(&ring, 1, canp_ev_word(0xfedc, 'C', 0xa5, 0x89abcdef), 2, 3));
	assert_int_equal(canp_evring_read(&ring, &out, 1), 1);
	assert_int_equal(out.ts_ns, 1);
	assert_int_equal(out.type, 0xfedc);
	assert_int_equal(out.phase, 'C');
	assert_int_equal(out.flags, 0xa5);
	assert_int_equal(out.id, 0x89abcdef);
	assert_int_equal(out.a, 2);
	assert_int_equal(out.b, 3);
}

#define EVENTS 300000u

struct reader {
	struct canp_evcursor cur; /* of a peeking reader */
	bool peeks;
	uint64_t got;
	bool bad; /* out of order or torn */
};

static uint32_t done;

static uint32_t reader_step(struct reader *rd, uint64_t *last)
{
	struct canp_ev out[16];
	uint32_t nr = rd->peeks ? canp_evring_peek(&ring, &rd->cur, out, 16)
				: canp_evring_read(&ring, out, 16);

	for (uint32_t i = 0; i < nr; i++) {
		uint64_t n = out[i].ts_ns;

		if ((rd->got && n <= *last) || out[i].a != n * 3 || out[i].b != ~n ||
		    out[i].id != (uint32_t)n)
			rd->bad = true;
		*last = n;
		rd->got++;
	}
	return nr;
}

static void *reader_run(void *arg)
{
	struct reader *rd = arg;
	uint64_t last = 0;

	while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE))
		if (!reader_step(rd, &last))
			sched_yield();
	while (reader_step(rd, &last))
		;
	return NULL;
}

static void race(enum canp_evring_full full, unsigned peekers)
{
	struct reader rd[3] = {{.peeks = false}, {.peeks = true}, {.peeks = true}};
	struct canp_evring_counts c;
	pthread_t t[3];

	canp_evring_init(&ring, slots, SLOTS, full);
	__atomic_store_n(&done, 0, __ATOMIC_RELEASE);
	for (unsigned i = 0; i <= peekers; i++)
		assert_int_equal(pthread_create(&t[i], NULL, reader_run, &rd[i]), 0);
	for (uint64_t i = 0; i < EVENTS; i++) {
		emit_nr(&ring, i);
		if (i % 4096 == 0)
			sched_yield();
	}
	__atomic_store_n(&done, 1, __ATOMIC_RELEASE);
	for (unsigned i = 0; i <= peekers; i++)
		pthread_join(t[i], NULL);
	canp_evring_counts(&ring, &c);
	assert_int_equal(c.emitted, EVENTS);
	assert_int_equal(c.pending, 0);
	assert_int_equal(c.delivered, rd[0].got);
	assert_int_equal(c.emitted, c.delivered + c.lost);
	for (unsigned i = 0; i <= peekers; i++) {
		assert_false(rd[i].bad);
		assert_true(rd[i].got > 0);
	}
	for (unsigned i = 1; i <= peekers; i++) {
		assert_int_equal(rd[i].cur.head, EVENTS);
		assert_int_equal(rd[i].got + rd[i].cur.overrun, EVENTS);
	}
}

static void G11_lost_is_exact_while_writer_and_reader_race(void **state)
{
	(void)state;
	race(CANP_EVRING_DROP_NEWEST, 0);
}

static void G11_overwriting_races_tear_nothing_for_any_reader(void **state)
{
	(void)state;
	race(CANP_EVRING_OVERWRITE_OLDEST, 2);
}

/* ---- listeners in processes of their own ---- */

/* A follower with a cursor of its own can rely on one record less than there are slots. */
#define FAR_SLOTS 4096u
#define FAR       (FAR_SLOTS - 1)

struct far {
	struct canp_evring ring;
	uint32_t heard[2]; /* events of each listener */
	uint32_t bad;
	struct canp_ev ev[FAR_SLOTS];
};

/* Listens until it heard all events; the one that crashes does so in the middle of a batch, with
 * its cursor and everything it holds. */
static void far_listen(struct far *f, unsigned me, uint64_t crash_at)
{
	struct canp_evcursor cur = {0};
	struct canp_ev out[64];
	uint64_t got = 0;

	while (cur.head < FAR) {
		uint32_t n = canp_evring_peek(&f->ring, &cur, out, 64);

		for (uint32_t i = 0; i < n; i++, got++) {
			if (got == crash_at)
				raise(SIGKILL);
			if (out[i].ts_ns != got || out[i].b != ~got)
				f->bad = 1;
			__atomic_store_n(&f->heard[me], (uint32_t)got + 1, __ATOMIC_RELEASE);
		}
		if (!n)
			sched_yield();
	}
	_exit(cur.overrun != 0);
}

static void G12_a_listener_process_that_crashes_costs_no_other_an_event(void **state)
{
	struct far *f =
		mmap(NULL, sizeof(*f), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid[2];
	int status;

	(void)state;
	assert_true(f != MAP_FAILED);
	canp_evring_init(&f->ring, f->ev, FAR_SLOTS, CANP_EVRING_DROP_NEWEST);
	for (unsigned i = 0; i < 2; i++) {
		pid[i] = fork();
		assert_true(pid[i] >= 0);
		if (!pid[i])
			far_listen(f, i, i == 0 ? FAR / 3 : UINT64_MAX);
	}
	for (uint64_t i = 0; i < FAR / 2; i++)
		assert_true(emit_nr(&f->ring, i));
	assert_int_equal(waitpid(pid[0], &status, 0), pid[0]);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	/* Emitting goes on as if nothing had happened. */
	for (uint64_t i = FAR / 2; i < FAR; i++)
		assert_true(emit_nr(&f->ring, i));
	assert_int_equal(waitpid(pid[1], &status, 0), pid[1]);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	assert_int_equal(f->heard[0], FAR / 3);
	assert_int_equal(f->heard[1], FAR);
	assert_int_equal(f->bad, 0);
	munmap(f, sizeof(*f));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(G11_drop_newest_keeps_the_first_and_counts_the_rest),
		cmocka_unit_test(G11_overwrite_oldest_keeps_the_last_and_counts_the_rest),
		cmocka_unit_test(all_fields_of_a_record_come_through),
		cmocka_unit_test(G11_lost_is_exact_while_writer_and_reader_race),
		cmocka_unit_test(G11_overwriting_races_tear_nothing_for_any_reader),
		cmocka_unit_test(G12_a_listener_process_that_crashes_costs_no_other_an_event),
	};

	return cmocka_run_group_tests_name("evring", tests, NULL, NULL);
}
