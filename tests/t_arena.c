/*
 * t_arena.c - carving, sealing and shrinking of a shard's memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/units.h"
#include "numa/arena.h"
#include "numa/sysfile.h"

static struct canp_arena *make(size_t bytes)
{
	struct canp_hugepage_report rep;
	struct canp_arena *a = NULL;

	assert_int_equal(canp_arena_create(bytes, bytes, CANP_HUGE_OFF, -1, &rep, &a), 0);
	assert_int_equal(canp_arena_bytes(a), bytes);
	assert_int_equal(rep.bytes, bytes);
	assert_int_equal(canp_arena_report(a)->kind, rep.kind);
	return a;
}

static void regions_are_zeroed_aligned_and_apart(void **state)
{
	static const size_t aligns[] = {64, 4096, 128, 65536, 64, 2 * CANP_MIB};
	struct canp_arena *a = make(8 * CANP_MIB);
	uint8_t *end = canp_arena_base(a), *r[6];

	(void)state;
	for (int i = 0; i < 6; i++) {
		size_t bytes = 1000 + (size_t)i * 333;

		r[i] = canp_arena_carve(a, "x", bytes, aligns[i]);
		assert_non_null(r[i]);
		assert_int_equal((uintptr_t)r[i] % aligns[i], 0);
		assert_true(r[i] >= end);
		for (size_t j = 0; j < bytes; j++)
			assert_int_equal(r[i][j], 0);
		memset(r[i], 0xff, bytes);
		end = r[i] + bytes;
	}
	assert_true(end <= (uint8_t *)canp_arena_base(a) + canp_arena_bytes(a));
	canp_arena_destroy(a);
	canp_arena_destroy(NULL);
}

static void exhaustion_and_seal_refuse(void **state)
{
	struct canp_arena *a = make(CANP_MIB);

	(void)state;
	assert_non_null(canp_arena_carve(a, "first", CANP_MIB - 128, 64));
	assert_int_equal(canp_arena_left(a), 128);
	assert_null(canp_arena_carve(a, "too big", 129, 64));
	assert_null(canp_arena_carve(a, "overflow", SIZE_MAX - 10, 64));
	assert_null(canp_arena_carve(a, "aligned away", 1, 4096));
	assert_int_equal(canp_arena_left(a), 128);
	assert_non_null(canp_arena_carve(a, "second", 64, 64));
	assert_false(canp_arena_sealed(a));
	canp_arena_seal(a);
	assert_true(canp_arena_sealed(a));
	assert_null(canp_arena_carve(a, "late", 64, 64));
	assert_int_equal(canp_arena_left(a), 64);
	canp_arena_destroy(a);
}

static void collect(void *arg, const char *name, size_t bytes)
{
	char *text = arg;

	sprintf(text + strlen(text), "%s=%zu ", name, bytes);
}

static void report_names_the_regions_in_order(void **state)
{
	struct canp_arena *a = make(CANP_MIB);
	char text[128] = "";

	(void)state;
	canp_arena_carve(a, "slices", 4096, 4096);
	canp_arena_carve(a, "chunks", 100, 64);
	canp_arena_for_each(a, collect, text);
	assert_string_equal(text, "slices=4096 chunks=100 ");
	canp_arena_destroy(a);
}

static void all_pages_are_resident_after_create(void **state)
{
	struct canp_arena *a = make(CANP_MIB);
	unsigned char in[256];

	(void)state;
	assert_int_equal(mincore(canp_arena_base(a), CANP_MIB, in), 0);
	for (int i = 0; i < 256; i++)
		assert_int_equal(in[i] & 1, 1);
	canp_arena_destroy(a);
}

static void bad_sizes_are_refused(void **state)
{
	struct canp_hugepage_report rep;
	struct canp_arena *a = (void *)1;

	(void)state;
	assert_int_equal(canp_arena_create(0, 0, CANP_HUGE_OFF, -1, &rep, &a), -EINVAL);
	assert_int_equal(canp_arena_create(4096, 8192, CANP_HUGE_OFF, -1, &rep, &a), -EINVAL);
	assert_string_not_equal(rep.reason, "");
	assert_ptr_equal(a, (void *)1);
}

/* The sanitizers map terabytes of shadow, so an address space limit cannot be set under them. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CAN_LIMIT 0
#else
#define CAN_LIMIT 1
#endif

/* In a child: room for `room` bytes of address space, then fn; its result is the exit status. */
static int in_limited_child(size_t room, int (*fn)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		char text[64];
		struct rlimit lim;

		if (canp_sysfile_key("", "/proc/self/status", "VmSize:", text, sizeof(text)))
			_exit(100);
		lim.rlim_cur = lim.rlim_max = strtoull(text, NULL, 10) * CANP_KIB + room;
		if (setrlimit(RLIMIT_AS, &lim))
			_exit(101);
		_exit(fn());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int shrinks(void)
{
	struct canp_hugepage_report rep;
	struct canp_arena *a;
	size_t got;

	if (canp_arena_create(64 * CANP_MIB, 8 * CANP_MIB, CANP_HUGE_OFF, -1, &rep, &a))
		return 1;
	got = canp_arena_bytes(a);
	/* 32 MiB of room, one step is an eighth: more than 24 must have been had. */
	if (got >= 32 * CANP_MIB || got < 24 * CANP_MIB)
		return 2;
	memset(canp_arena_carve(a, "all", got, 64), 1, got);
	canp_arena_destroy(a);
	return 0;
}

static int refuses(void)
{
	struct canp_hugepage_report rep;
	struct canp_arena *a;

	if (canp_arena_create(64 * CANP_MIB, 48 * CANP_MIB, CANP_HUGE_AUTO, -1, &rep, &a) !=
	    -ENOMEM)
		return 1;
	return rep.reason[0] && rep.bytes == 0 ? 0 : 2;
}

static void short_memory_shrinks_the_arena(void **state)
{
	(void)state;
	if (!CAN_LIMIT) {
		print_message("skipped: no address space limit under a sanitizer\n");
		skip();
	}
	assert_int_equal(in_limited_child(32 * CANP_MIB, shrinks), 0);
}

static void below_the_minimum_is_refused_with_a_reason(void **state)
{
	(void)state;
	if (!CAN_LIMIT) {
		print_message("skipped: no address space limit under a sanitizer\n");
		skip();
	}
	assert_int_equal(in_limited_child(32 * CANP_MIB, refuses), 0);
}

/* Runs fn in a child with stderr closed: true when it was ended by the assertion's abort. */
static bool aborts(void (*fn)(struct canp_arena *a))
{
	struct canp_arena *a = make(CANP_MIB);
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		signal(SIGABRT, SIG_DFL);
		close(STDERR_FILENO);
		fn(a);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	canp_arena_destroy(a);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void seal_once(struct canp_arena *a)
{
	canp_arena_seal(a);
}

static void seal_twice(struct canp_arena *a)
{
	canp_arena_seal(a);
	canp_arena_seal(a);
}

static void a_second_seal_is_a_bug(void **state)
{
	(void)state;
	assert_false(aborts(seal_once));
	assert_true(aborts(seal_twice));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(regions_are_zeroed_aligned_and_apart),
		cmocka_unit_test(exhaustion_and_seal_refuse),
		cmocka_unit_test(report_names_the_regions_in_order),
		cmocka_unit_test(all_pages_are_resident_after_create),
		cmocka_unit_test(bad_sizes_are_refused),
		cmocka_unit_test(short_memory_shrinks_the_arena),
		cmocka_unit_test(below_the_minimum_is_refused_with_a_reason),
		cmocka_unit_test(a_second_seal_is_a_bug),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
