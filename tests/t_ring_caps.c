/*
 * t_ring_caps.c - what a ring does beside plain operations: faults that are put in, registered
 * memory and files, what an older kernel or a process without rights lacks. As in t_ring.c every
 * test runs on each rung of the io_uring ladder and on the helper-thread ring.
 */
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "core/runtime/ring_compat.h"
#include "tests/lib/ring_fix.h"

/* ---- faults -----------------------------------------------------------------------------------
 */

static unsigned hook_calls;

static void hook_short(struct canp_ring_op *op)
{
	if (op->opcode == CANP_OP_READ && op->res > 1)
		op->res /= 2;
	hook_calls++;
}

static void hook_eio(struct canp_ring_op *op)
{
	if (op->opcode == CANP_OP_FDATASYNC)
		op->res = -EIO;
	hook_calls++;
}

static void hook_eagain_thrice(struct canp_ring_op *op)
{
	if (op->opcode == CANP_OP_READ && hook_calls++ < 3)
		op->res = hook_calls & 1 ? -EAGAIN : -EINTR;
}

static void hook_eagain_ever(struct canp_ring_op *op)
{
	hook_calls++;
	op->res = -EAGAIN;
}

static void test_fault_hook_and_bounded_retry(void **state)
{
	(void)state;
	FOR_EACH_KIND(k)
	{
		unsigned char buf[1000];
		struct fix f;
		int fd;

		if (fix_begin(&f, k))
			continue;
		fd = file_in(&f, "a", 1000);
		hook_calls = 0;
		canp_ring_fault_hook = hook_short;
		assert_int_equal(run_rw(f.r, CANP_OP_READ, fd, buf, 1000, 0), 500);
		canp_ring_fault_hook = hook_eio;
		assert_int_equal(run_fd(f.r, CANP_OP_FDATASYNC, fd), -EIO);
		assert_int_equal(hook_calls, 2);
		/* Passing refusals are hidden from the caller... */
		hook_calls = 0;
		canp_ring_fault_hook = hook_eagain_thrice;
		memset(buf, 0, sizeof(buf));
		assert_int_equal(run_rw(f.r, CANP_OP_READ, fd, buf, 1000, 0), 1000);
		assert_int_equal(buf[999], byte_at(999));
		assert_int_equal(hook_calls, 4);
		/* ...but not for ever, and only for reads and writes. */
		hook_calls = 0;
		canp_ring_fault_hook = hook_eagain_ever;
		assert_int_equal(run_rw(f.r, CANP_OP_READ, fd, buf, 1000, 0), -EAGAIN);
		assert_int_equal(hook_calls, 1 + CANP_RING_RETRY_MAX);
		hook_calls = 0;
		assert_int_equal(run_fd(f.r, CANP_OP_FSYNC, fd), -EAGAIN);
		assert_int_equal(hook_calls, 1);
		canp_ring_fault_hook = NULL;
		close(fd);
		unlinkat(f.dir, "a", 0);
		fix_end(&f);
	}
}

/* ---- registered memory and capabilities -------------------------------------------------------
 */

static void test_registered_buffers_are_used_where_they_cover(void **state)
{
	(void)state;
	FOR_EACH_KIND(k)
	{
		struct canp_ring_opts o = opts_of(k);
		struct iovec iov = {.iov_len = 1u << 20};
		unsigned char outside[100], *in;
		struct fix f = {0};
		bool fixed;
		int fd;

		iov.iov_base = mmap(NULL, iov.iov_len, PROT_READ | PROT_WRITE,
				    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		assert_true(iov.iov_base != MAP_FAILED);
		in = iov.iov_base;
		o.buffers = &iov;
		o.nr_buffers = 1;
		if (make_ring(&o, k, &f.r)) {
			munmap(iov.iov_base, iov.iov_len);
			continue;
		}
		fix_dir(&f);
		fixed = canp_ring_caps(f.r)->fixed_buffers;
		if (k->kind == CANP_RING_SYNC)
			assert_false(fixed);
		else if (!fixed)
			print_message("note %s: %s\n", k->name, canp_ring_caps(f.r)->reason);
		fd = file_in(&f, "a", 5000);
		assert_int_equal(run_rw(f.r, CANP_OP_READ, fd, in + 4096, 5000, 0), 5000);
		for (size_t i = 0; i < 5000; i++)
			assert_int_equal(in[4096 + i], byte_at(i));
		assert_int_equal(run_rw(f.r, CANP_OP_WRITE, fd, in + 4096, 100, 5000), 100);
		/* The last byte of the region is in, one past it is not. */
		assert_int_equal(run_rw(f.r, CANP_OP_READ, fd, in + (1u << 20) - 100, 100, 0), 100);
		if (fixed)
			assert_int_equal(canp_uring_fixed_ops(f.r), 3);
		assert_int_equal(run_rw(f.r, CANP_OP_READ, fd, outside, 100, 5000), 100);
		assert_memory_equal(outside, in + 4096, 100);
		if (fixed)
			assert_int_equal(canp_uring_fixed_ops(f.r), 3);
		close(fd);
		unlinkat(f.dir, "a", 0);
		fix_end(&f);
		munmap(iov.iov_base, iov.iov_len);
	}
}

/* Files with a place in the ring's table: operations go by the place, descriptors are reused, the
 * table runs full, and closing by an operation gives the place back. */
static void test_registered_files_are_used(void **state)
{
	(void)state;
	for (size_t i = 0; i < CANP_ARRAY_SIZE(kinds); i++) {
		const struct kind *k = &kinds[i];
		struct canp_ring_opts o = opts_of(k);
		struct fix f = {0};
		uint64_t used = 0;
		bool table;

		if (make_ring(&o, k, &f.r))
			continue;
		fix_dir(&f);
		table = canp_ring_caps(f.r)->fixed_files;
		if (k->kind == CANP_RING_SYNC)
			assert_false(table);
		else if (!table)
			print_message("note %s: %s\n", k->name, canp_ring_caps(f.r)->reason);
		for (unsigned round = 0; round < 1100; round++) {
			int fd = file_in(&f, "a", 3000 + round);
			unsigned char buf[100];

			canp_ring_file_add(f.r, fd);
			canp_ring_file_add(f.r, fd);
			assert_int_equal(run_rw(f.r, CANP_OP_READ, fd, buf, 100, 2950 + round), 50);
			assert_int_equal(buf[49], byte_at(2999 + round));
			used++;
			canp_ring_file_del(f.r, fd);
			canp_ring_file_del(f.r, fd);
			/* Without a place the descriptor itself serves. */
			assert_int_equal(run_rw(f.r, CANP_OP_READ, fd, buf, 10, 0), 10);
			close(fd);
			unlinkat(f.dir, "a", 0);
		}
		if (table)
			assert_int_equal(canp_uring_file_ops(f.r), used);
		fix_end(&f);
	}
}

/* In a child: without the right to lock memory the ring still works and says what was refused. */
static int child_without_memlock(void)
{
	struct canp_ring_opts o = {.kind = CANP_RING_URING, .iowq_cpu = -1};
	struct rlimit lim = {64 << 10, 64 << 10};
	struct iovec iov = {.iov_len = 8u << 20};
	bool root = geteuid() == 0;
	struct canp_ring *r;
	int rc;

	iov.iov_base =
		mmap(NULL, iov.iov_len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (iov.iov_base == MAP_FAILED || setrlimit(RLIMIT_MEMLOCK, &lim))
		return 10;
	if (root && (setgid(65534) || setuid(65534)))
		return 11;
	o.buffers = &iov;
	o.nr_buffers = 1;
	rc = canp_ring_create(&o, &r);
	/* An ordinary user's other rings are charged to the same small limit. */
	if (rc == -EPERM || rc == -ENOSYS || (rc == -ENOMEM && !root))
		return 77;
	if (rc)
		return 12;
	if (canp_ring_caps(r)->fixed_buffers)
		return 13;
	if (!strstr(canp_ring_caps(r)->reason, "not registered") ||
	    !strstr(canp_ring_caps(r)->reason, "MEMLOCK"))
		return 14;
	rc = open("/proc/self/exe", O_RDONLY);
	if (run_rw(r, CANP_OP_READ, rc, iov.iov_base, 4, 0) != 4 ||
	    memcmp(iov.iov_base, "\177ELF", 4))
		return 15;
	canp_ring_destroy(r);
	return 0;
}

static void test_memlock_refusal_falls_back_to_plain_reads(void **state)
{
	int st;
	pid_t pid;

	(void)state;
	canp_ring_first_rung = 0;
	pid = fork();
	if (pid == 0)
		_exit(child_without_memlock());
	assert_int_equal(waitpid(pid, &st, 0), pid);
	assert_true(WIFEXITED(st));
	if (WEXITSTATUS(st) == 77) {
		print_message("SKIP: io_uring refused, or no locked memory is left to this user\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(st), 0);
}

static void test_capabilities_say_what_was_got(void **state)
{
	(void)state;
	FOR_EACH_KIND(k)
	{
		const struct canp_ring_caps *c;
		struct fix f;

		if (fix_begin(&f, k))
			continue;
		c = canp_ring_caps(f.r);
		assert_int_equal(c->kind, k->kind);
		if (k->kind == CANP_RING_URING) {
			assert_true(c->features != 0);
			if (k->rung == 1)
				assert_false(c->defer_taskrun);
			if (k->rung == 2)
				assert_false(c->defer_taskrun || c->coop_taskrun);
			/* What was asked for was got, or the reason says why not. */
			if (k->rung == 0)
				assert_true((c->defer_taskrun && c->single_issuer) || c->reason[0]);
			assert_true(c->restricted == k->restricted || c->reason[0]);
		}
		fix_end(&f);
	}
}

static void test_auto_always_gives_a_ring(void **state)
{
	struct canp_ring_opts o = {.kind = CANP_RING_AUTO, .iowq_cpu = -1};
	struct canp_ring *r;

	(void)state;
	/* Below the last rung nothing is left: what a refusing kernel looks like. */
	canp_ring_first_rung = 3;
	assert_int_equal(canp_ring_create(&o, &r), 0);
	assert_int_equal(canp_ring_caps(r)->kind, CANP_RING_SYNC);
	assert_non_null(strstr(canp_ring_caps(r)->reason, "io_uring"));
	canp_ring_destroy(r);
	o.kind = CANP_RING_URING;
	assert_int_equal(canp_ring_create(&o, &r), -EINVAL);
	canp_ring_first_rung = 0;
	o.kind = CANP_RING_AUTO;
	assert_int_equal(canp_ring_create(&o, &r), 0);
	canp_ring_destroy(r);
	canp_ring_destroy(NULL);
}

/* Valgrind stops all threads while one waits in io_uring. */
static void A38_under_valgrind_auto_gives_helper_threads(void **state)
{
	struct canp_ring_opts o = {.kind = CANP_RING_AUTO, .iowq_cpu = -1};
	const char *was = getenv("LD_PRELOAD");
	char *keep = was ? strdup(was) : NULL;
	struct canp_ring *r;

	(void)state;
	setenv("LD_PRELOAD", "/usr/libexec/valgrind/vgpreload_core-amd64-linux.so", 1);
	assert_int_equal(canp_ring_create(&o, &r), 0);
	assert_int_equal(canp_ring_caps(r)->kind, CANP_RING_SYNC);
	assert_non_null(strstr(canp_ring_caps(r)->reason, "valgrind"));
	canp_ring_destroy(r);
	if (keep)
		setenv("LD_PRELOAD", keep, 1);
	else
		unsetenv("LD_PRELOAD");
	free(keep);
}

/* What an older kernel does: the operation is not offered, so it is made on the spot. */
static void test_operations_the_kernel_lacks_are_done_anyway(void **state)
{
	(void)state;
	FOR_EACH_KIND(k)
	{
		struct canp_ring_op op = {.opcode = CANP_OP_FTRUNCATE, .off = 5};
		struct fix f;
		struct stat st;

		if (k->kind != CANP_RING_URING || fix_begin(&f, k))
			continue;
		canp_container_of(f.r, struct ring_uring, ring)->supported = 0;
		op.fd = file_in(&f, "a", 100);
		assert_int_equal(run(f.r, &op), 0);
		assert_int_equal(fstat(op.fd, &st), 0);
		assert_int_equal(st.st_size, 5);
		assert_int_equal(run_fd(f.r, CANP_OP_CLOSE, op.fd), 0);
		assert_int_equal(run_path(f.r, CANP_OP_UNLINK, f.dir, "a", NULL), 0);
		fix_end(&f);
	}
}

/* In a child, because the variable is looked at once in a program's life. */
static int child_with_fault_env(void)
{
	struct canp_ring_opts o = {.kind = CANP_RING_SYNC, .iowq_cpu = -1};
	int fd = open("/proc/self/exe", O_RDONLY);
	struct canp_ring *r;
	int32_t res[4];
	char buf[64];

	setenv("CANP_RING_FAULT", "read:5:2", 1);
	if (canp_ring_create(&o, &r))
		return 10;
	for (unsigned i = 0; i < 4; i++)
		res[i] = run_rw(r, CANP_OP_READ, fd, buf, 64, 0);
	canp_ring_destroy(r);
	return res[0] == 64 && res[1] == -EIO && res[2] == 64 && res[3] == -EIO ? 0 : 11;
}

static void test_debug_builds_take_faults_from_the_environment(void **state)
{
#ifdef CANP_DEBUG
	pid_t pid = fork();
	int st;

	(void)state;
	if (pid == 0)
		_exit(child_with_fault_env());
	assert_int_equal(waitpid(pid, &st, 0), pid);
	assert_true(WIFEXITED(st));
	assert_int_equal(WEXITSTATUS(st), 0);
#else
	(void)state;
	print_message("SKIP: only in debug flavours\n");
	(void)child_with_fault_env;
	skip();
#endif
}

static void test_dontcache_reads_give_the_same_bytes(void **state)
{
	(void)state;
	FOR_EACH_KIND(k)
	{
		unsigned char buf[3000];
		struct canp_ring_op op = {.opcode = CANP_OP_READ,
					  .buf = buf,
					  .len = 3000,
					  .rw_flags = CANP_RWF_DONTCACHE};
		struct fix f;

		if (fix_begin(&f, k))
			continue;
		op.fd = file_in(&f, "a", 3000);
		if (run(f.r, &op) == 3000)
			assert_int_equal(buf[2999], byte_at(2999));
		else
			assert_int_equal(op.res, -EOPNOTSUPP);
		close(op.fd);
		unlinkat(f.dir, "a", 0);
		fix_end(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* First: no ring may have been made before it. */
		cmocka_unit_test(test_debug_builds_take_faults_from_the_environment),
		cmocka_unit_test(test_registered_files_are_used),
		cmocka_unit_test(test_fault_hook_and_bounded_retry),
		cmocka_unit_test(test_registered_buffers_are_used_where_they_cover),
		cmocka_unit_test(test_memlock_refusal_falls_back_to_plain_reads),
		cmocka_unit_test(test_capabilities_say_what_was_got),
		cmocka_unit_test(test_auto_always_gives_a_ring),
		cmocka_unit_test(A38_under_valgrind_auto_gives_helper_threads),
		cmocka_unit_test(test_operations_the_kernel_lacks_are_done_anyway),
		cmocka_unit_test(test_dontcache_reads_give_the_same_bytes),
	};

	return cmocka_run_group_tests_name("ring, what it can", tests, NULL, NULL);
}
