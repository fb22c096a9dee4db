/*
 * t_ring.c - the asynchronous file operations. Every test runs on each rung of the io_uring ladder
 * and on the helper-thread ring; a kernel that refuses io_uring gives a skip with its reason.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/base/clock.h"
#include "core/base/compiler.h"
#include "core/runtime/ring.h"
#include "core/runtime/ring_compat.h"
#include "core/runtime/ring_uring_priv.h"

/* ---- fixture ----------------------------------------------------------------------------------
 */

struct kind {
	const char *name;
	enum canp_ring_kind kind;
	unsigned rung;
	bool restricted;
};

static struct kind kinds[] = {
	{"uring defer", CANP_RING_URING, 0, false}, {"uring coop", CANP_RING_URING, 1, false},
	{"uring plain", CANP_RING_URING, 2, false}, {"uring restricted", CANP_RING_URING, 0, true},
	{"sync", CANP_RING_SYNC, 0, false},
};

struct fix {
	struct canp_ring *r;
	int dir;
	char path[64];
};

static struct canp_ring_opts opts_of(const struct kind *k)
{
	struct canp_ring_opts o = {.kind = k->kind, .restrict_ops = k->restricted, .iowq_cpu = -1};

	canp_ring_first_rung = k->rung;
	return o;
}

/* Skips when the kernel refuses; any other failure is one. */
static int make_ring(const struct canp_ring_opts *o, const struct kind *k, struct canp_ring **r)
{
	int rc = canp_ring_create(o, r);

	if (k->kind == CANP_RING_URING && (rc == -EPERM || rc == -ENOSYS || rc == -EOPNOTSUPP)) {
		print_message("SKIP %s: %s\n", k->name, strerror(-rc));
		return 1;
	}
	assert_int_equal(rc, 0);
	return 0;
}

static void fix_dir(struct fix *f)
{
	snprintf(f->path, sizeof(f->path), "/tmp/t_ring.XXXXXX");
	assert_non_null(mkdtemp(f->path));
	f->dir = open(f->path, O_RDONLY | O_DIRECTORY);
	assert_true(f->dir >= 0);
}

static int fix_begin(struct fix *f, const struct kind *k)
{
	struct canp_ring_opts o = opts_of(k);

	memset(f, 0, sizeof(*f));
	if (make_ring(&o, k, &f->r))
		return 1;
	fix_dir(f);
	return 0;
}

static void fix_end(struct fix *f)
{
	canp_ring_destroy(f->r);
	canp_ring_fault_hook = NULL;
	close(f->dir);
	assert_int_equal(rmdir(f->path), 0);
}

static int file_in(const struct fix *f, const char *name, size_t bytes)
{
	int fd = openat(f->dir, name, O_RDWR | O_CREAT | O_TRUNC, 0600);
	unsigned char block[1000];

	assert_true(fd >= 0);
	for (size_t at = 0; at < bytes; at += sizeof(block)) {
		size_t n = bytes - at < sizeof(block) ? bytes - at : sizeof(block);

		for (size_t i = 0; i < n; i++)
			block[i] = (unsigned char)((at + i) * 31 + (at + i) / 256);
		assert_int_equal(pwrite(fd, block, n, (off_t)at), (ssize_t)n);
	}
	return fd;
}

static unsigned char byte_at(size_t i)
{
	return (unsigned char)(i * 31 + i / 256);
}

static void count_done(struct canp_ring_op *op)
{
	(*(unsigned *)op->arg)++;
}

/* Submits one operation and waits for its callback. */
static int32_t run(struct canp_ring *r, struct canp_ring_op *op)
{
	unsigned done = 0;

	op->done = count_done;
	op->arg = &done;
	canp_ring_submit(r, op);
	assert_int_equal(done, 0); /* never from inside submit */
	while (!done)
		canp_ring_wait(r, 5 * CANP_NS_PER_S);
	assert_int_equal(done, 1);
	return op->res;
}

static int32_t run_fd(struct canp_ring *r, enum canp_ring_opcode code, int fd)
{
	struct canp_ring_op op = {.opcode = code, .fd = fd};

	return run(r, &op);
}

static int32_t run_rw(struct canp_ring *r, enum canp_ring_opcode code, int fd, void *buf,
		      uint32_t len, uint64_t off)
{
	struct canp_ring_op op = {.opcode = code, .fd = fd, .buf = buf, .len = len, .off = off};

	return run(r, &op);
}

static int32_t run_path(struct canp_ring *r, enum canp_ring_opcode code, int fd, const char *path,
			const char *path2)
{
	struct canp_ring_op op = {.opcode = code, .fd = fd, .path = path, .path2 = path2};

	return run(r, &op);
}

#define FOR_EACH_KIND(k) for (struct kind *k = kinds; k < kinds + CANP_ARRAY_SIZE(kinds); k++)

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
		cmocka_unit_test(test_read_and_write_move_the_bytes),
		cmocka_unit_test(test_registered_files_are_used),
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
		cmocka_unit_test(test_fault_hook_and_bounded_retry),
		cmocka_unit_test(test_registered_buffers_are_used_where_they_cover),
		cmocka_unit_test(test_memlock_refusal_falls_back_to_plain_reads),
		cmocka_unit_test(test_capabilities_say_what_was_got),
		cmocka_unit_test(test_auto_always_gives_a_ring),
		cmocka_unit_test(A38_under_valgrind_auto_gives_helper_threads),
		cmocka_unit_test(test_operations_the_kernel_lacks_are_done_anyway),
		cmocka_unit_test(test_dontcache_reads_give_the_same_bytes),
	};

	return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
