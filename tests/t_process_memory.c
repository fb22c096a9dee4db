/*
 * t_process_memory.c - what the process pool takes and what it allows its workers: payload memory,
 * heaps, limits.
 */
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/lib/pool_watch.h"

bool pool_sync_ring;

/* ---- payload ---- */

static uint64_t frame_of(const void *p)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	uint64_t v = 0;

	if (fd < 0)
		return 0;
	if (pread(fd, &v, 8, (off_t)((uintptr_t)p / 4096 * 8)) != 8)
		v = 0;
	close(fd);
	return v & ((1ull << 55) - 1);
}

/* Answers with the page frames that it sees its input and its output in. */
static int task_frames(void *in, size_t n, void **out, size_t *out_n, void *user)
{
	char *o = canp_process_alloc(n);
	uint64_t *f = (uint64_t *)o;

	(void)user;
	if (!o)
		return -ENOMEM;
	for (size_t i = 4096; i < n; i += 4096)
		o[i] = (char)(((char *)in)[i] + 1);
	f[0] = frame_of(in);
	f[1] = frame_of((char *)in + n / 2);
	f[2] = frame_of(o + n / 2);
	*out = o;
	*out_n = n;
	return 0;
}

static void D28_large_payload_is_the_same_memory_in_both_processes(void **state)
{
	size_t n = 64 << 20;
	process_pool_t *p = pool_n(1, 16);
	char *in = pool_alloc_payload(p, n);
	uint64_t *f;
	task_result_t r;

	(void)state;
	assert_non_null(in);
	assert_true((uintptr_t)in % 64 == 0);
	for (size_t i = 0; i < n; i += 4096)
		in[i] = (char)(i >> 12);
	for (int k = 0; k < 8; k++) { /* 512 MiB of output in 256 MiB: it comes back */
		assert_int_equal(pool_submit_sync(p, task_frames, in, n, NULL, TASK_PRIORITY_HIGH,
						  60000, &r),
				 0);
		assert_int_equal(r.output_size, n);
		f = r.output_data;
		/* A page is in this process's table once it was looked at. */
		assert_int_equal(((volatile char *)r.output_data)[n / 2],
				 (char)((n / 2 >> 12) + 1));
		if (frame_of(in)) {
			assert_int_equal(f[0], frame_of(in));
			assert_int_equal(f[1], frame_of(in + n / 2));
			assert_int_equal(f[2], frame_of((char *)r.output_data + n / 2));
		}
		for (size_t i = 4096; i < n; i += 4096)
			if (((char *)r.output_data)[i] != (char)((i >> 12) + 1))
				fail();
		task_result_release(&r);
	}
	assert_true(stats_of(p).payload_bytes >= n);
	pool_free_payload(p, in);
	assert_int_equal(stats_of(p).payload_bytes, 0);
	pool_destroy(p);
}

/* Payload passed on as it is: input as output, a part of it, and what is not returned goes back. */
static int task_in_place(void *in, size_t n, void **out, size_t *out_n, void *user)
{
	for (int i = 0; i < 10; i++)
		if (!canp_process_alloc(1 << 20))
			return -ENOMEM;
	if (user)
		return 0;
	*(char *)in += 1;
	*out = (char *)in + 1;
	*out_n = n - 1;
	return 0;
}

static void D28_nothing_leaks_from_the_heaps(void **state)
{
	process_pool_t *p = pool_of((pool_config_t){
		.worker_count = 1, .queue_size = 16, .shm_bytes = 16 << 20, .restart_max = 60});
	char *in = pool_alloc_payload(p, 5000);
	task_result_t r;

	(void)state;
	memset(in, 7, 5000);
	for (int i = 0; i < 50; i++) {
		assert_int_equal(pool_submit_sync(p, task_in_place, in, 5000, NULL, 0, 0, &r), 0);
		assert_ptr_equal(r.output_data, in + 1);
		assert_int_equal(in[0], 8 + i);
		task_result_release(&r);
		assert_int_equal(pool_submit_sync(p, task_in_place, in, 5000, in, 0, 0, &r), 0);
	}
	/* Too large, for the caller and for the worker. */
	assert_null(pool_alloc_payload(p, 17 << 20));
	assert_int_equal(errno, ENOMEM);
	assert_non_null(pool_alloc_payload(p, 15 << 20));
	pool_free_payload(p, NULL);
	pool_destroy(p);
}

/* Calls of malloc() in this process, and in a worker as it tells. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define COUNT_MALLOC 1
static unsigned long mallocs;
void *__libc_malloc(size_t n);
void *malloc(size_t n);
void *malloc(size_t n)
{
	__atomic_add_fetch(&mallocs, 1, __ATOMIC_RELAXED);
	return __libc_malloc(n);
}
#else
#define COUNT_MALLOC 0
static unsigned long mallocs;
#endif

static int task_mallocs(void *in, size_t n, void **out, size_t *out_n, void *user)
{
	unsigned long *v = canp_process_alloc(sizeof(*v));

	(void)in;
	(void)n;
	(void)user;
	*v = mallocs;
	*out = v;
	*out_n = sizeof(*v);
	return 0;
}

static void D54_no_task_costs_a_malloc(void **state)
{
	process_pool_t *p = pool_n(1, 128);
	unsigned long before, here;
	task_future_t *f[64];
	task_desc_t d[64];
	char in[1000] = {1};
	task_result_t r;

	(void)state;
	if (!COUNT_MALLOC) {
		pool_destroy(p);
		skip();
	}
	memset(d, 0, sizeof(d));
	for (int i = 0; i < 64; i++)
		d[i] = (task_desc_t){
			.func = task_mallocs, .input_data = in, .input_size = i % 2 ? 16 : 100};
	pool_submit_sync(p, task_mallocs, in, sizeof(in), NULL, 0, 0, &r);
	before = *(unsigned long *)r.output_data;
	task_result_release(&r);
	here = mallocs;
	for (int k = 0; k < 50; k++) {
		assert_int_equal(pool_submit_batch_into(p, d, 64, f), 0);
		for (int i = 0; i < 64; i++) {
			assert_int_equal(pool_future_wait(f[i], &r, UINT32_MAX), 0);
			assert_int_equal(*(unsigned long *)r.output_data, before);
		}
		canp_process_future_put_batch(f, 64);
		pool_submit_sync(p, task_mallocs, in, sizeof(in), NULL, 0, 5000, &r);
		assert_int_equal(*(unsigned long *)r.output_data, before);
		task_result_release(&r);
	}
	assert_int_equal(mallocs, here);
	pool_destroy(p);
}

static void D54_the_heap_gives_back_what_it_got(void **state)
{
	process_pool_t *p = pool_of((pool_config_t){.worker_count = 1, .shm_bytes = 4 << 20});
	void *v[64];
	unsigned seed = 7;

	(void)state;
	memset(v, 0, sizeof(v));
	for (int i = 0; i < 20000; i++) {
		unsigned k = (unsigned)rand_r(&seed) % 64;

		if (v[k]) {
			unsigned char *c = v[k];

			assert_int_equal(c[0], k);
			assert_int_equal(c[99], k);
			pool_free_payload(p, v[k]);
			v[k] = NULL;
		} else {
			v[k] = pool_alloc_payload(p, 100 + (size_t)rand_r(&seed) % 60000);
			if (v[k])
				memset(v[k], (int)k, 100);
		}
	}
	for (unsigned k = 0; k < 64; k++)
		pool_free_payload(p, v[k]);
	assert_int_equal(stats_of(p).payload_bytes, 0);
	v[0] = pool_alloc_payload(p, 3 << 20); /* all of it in one piece again */
	assert_non_null(v[0]);
	pool_destroy(p);
}

/* ---- limits ---- */

static int task_hog(void *in, size_t n, void **out, size_t *out_n, void *user)
{
	(void)in;
	(void)n;
	(void)out;
	(void)out_n;
	for (int i = 0; i < 400; i++) {
		char *v = malloc(1 << 20);

		if (!v)
			return -ENOMEM;
		memset(v, 1, 1 << 20);
		__asm__ volatile("" ::"r"(v) : "memory");
	}
	(void)user;
	return 0;
}

static void D34_a_memory_hog_ends_as_resource(void **state)
{
	struct canp_process_limits l = {
		.mem_max_bytes = 64 << 20, .pids_max = 50, .cpu_quota_us = 50000};
	process_pool_t *p = pool_of((pool_config_t){.worker_count = 1, .limits = &l});
	struct canp_process_limits_state st;
	char path[320];
	struct stat sb;
	task_result_t r;

	(void)state;
	canp_process_pool_limits(p, &st);
	if (!st.memory) {
		print_message("skipped: no memory group here (%s)\n", st.reason);
		pool_destroy(p);
		return;
	}
	assert_int_equal(pool_submit_sync(p, task_hog, NULL, 0, NULL, 0, 0, &r), -EDQUOT);
	assert_int_equal(r.outcome, CANP_PROCESS_RESOURCE);
	assert_int_equal(r.signal, SIGKILL);
	assert_int_equal(pool_submit_sync(p, task_rc, NULL, 0, NULL, 0, 0, &r), 0);
	snprintf(path, sizeof(path), "%s", st.path);
	pool_destroy(p);
	assert_int_equal(stat(path, &sb), -1); /* the group is gone, too */
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void check_file(const char *base, const char *file, const char *want)
{
	char path[400], *text;
	size_t len;

	snprintf(path, sizeof(path), "%s/%s", base, file);
	text = read_all(path, &len);
	assert_string_equal(text, want);
	free(text);
}

static void D34_limits_are_written_in_version_2(void **state)
{
	struct canp_process_limits l = {
		.mem_max_bytes = 1000000, .pids_max = 50, .cpu_quota_us = 50000};
	struct canp_process_limits_state st;
	process_pool_t *p;

	(void)state;
	mkdir(in_dir("v2"), 0755);
	write_file(in_dir("v2/cgroup.controllers"), "cpu memory pids\n");
	l.cgroup_root = in_dir("v2");
	p = pool_of((pool_config_t){.worker_count = 1, .limits = &l});
	canp_process_pool_limits(p, &st);
	assert_true(st.cgroup_v2 && st.memory && st.cpu && st.pids);
	assert_string_equal(st.reason, "");
	check_file(st.path, "memory.max", "1000000");
	check_file(st.path, "cpu.max", "50000 100000");
	check_file(st.path, "pids.max", "50");
	check_file(st.path, "cgroup.procs", "0");
	pool_destroy(p);
}

static void D34_limits_are_written_in_version_1(void **state)
{
	struct canp_process_limits l = {.mem_max_bytes = 1000000,
					.pids_max = 50,
					.cpu_quota_us = 50000,
					.cpu_period_us = 200000};
	struct canp_process_limits_state st;
	char path[400];
	process_pool_t *p;
	const char *root;

	(void)state;
	root = in_dir("v1");
	mkdir(root, 0755);
	snprintf(path, sizeof(path), "%s/memory", root);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/cpu", root);
	mkdir(path, 0755);
	snprintf(path, sizeof(path), "%s/pids", root);
	mkdir(path, 0755);
	l.cgroup_root = root;
	p = pool_of((pool_config_t){.worker_count = 1, .limits = &l});
	canp_process_pool_limits(p, &st);
	assert_true(!st.cgroup_v2 && st.memory && st.cpu && st.pids);
	check_file(st.path, "memory.limit_in_bytes", "1000000");
	pool_destroy(p);
	/* No controller at all: said, and refused only when it is required. */
	mkdir(in_dir("v0"), 0755);
	l.cgroup_root = in_dir("v0");
	p = pool_of((pool_config_t){.worker_count = 1, .limits = &l});
	canp_process_pool_limits(p, &st);
	assert_false(st.memory || st.cpu || st.pids);
	assert_true(st.reason[0]);
	pool_destroy(p);
	l.required = true;
	assert_null(pool_create(&(pool_config_t){.worker_count = 1, .limits = &l}));
}

static int task_rlimits(void *in, size_t n, void **out, size_t *out_n, void *user)
{
	struct rlimit r;

	(void)in;
	(void)n;
	(void)out;
	(void)out_n;
	(void)user;
	if (getrlimit(RLIMIT_NOFILE, &r) || r.rlim_cur != 64)
		return 1;
	if (getrlimit(RLIMIT_CORE, &r) || r.rlim_cur != 0)
		return 2;
	return 0;
}

static int task_forbidden(void *in, size_t n, void **out, size_t *out_n, void *user)
{
	int fd;

	(void)n;
	(void)out;
	(void)out_n;
	fd = open(in, user ? O_RDWR | O_CREAT : O_RDONLY, 0600);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int forbidden(process_pool_t *p, const char *path, bool write_it)
{
	task_result_t r;

	pool_submit_sync(p, task_forbidden, (void *)(uintptr_t)path, strlen(path) + 1,
			 write_it ? (void *)1L : NULL, 0, 0, &r);
	return r.rc;
}

static void D34_workers_give_up_what_they_do_not_need(void **state)
{
	const char *ro[] = {"/usr", NULL}, *rw[] = {dir, NULL};
	struct canp_process_limits l = {.nofile = 64, .no_core = true};
	struct canp_process_limits_state st;
	process_pool_t *p = pool_of((pool_config_t){.worker_count = 1, .limits = &l});

	(void)state;
	assert_int_equal(pool_submit_sync(p, task_rlimits, NULL, 0, NULL, 0, 0, NULL), 0);
	pool_destroy(p);
	l.landlock_ro = ro;
	l.landlock_rw = rw;
	p = pool_of((pool_config_t){.worker_count = 1, .limits = &l});
	canp_process_pool_limits(p, &st);
	if (st.landlock) {
		assert_int_equal(forbidden(p, "/usr", false), 0);
		assert_int_equal(forbidden(p, "/etc/passwd", false), -EACCES);
		assert_int_equal(forbidden(p, in_dir("rw"), true), 0);
		assert_int_equal(forbidden(p, "/usr/canp-test", true), -EACCES);
	} else {
		print_message("skipped: %s\n", st.reason);
	}
	pool_destroy(p);
	l = (struct canp_process_limits){.seccomp = true};
	p = pool_of((pool_config_t){.worker_count = 1, .limits = &l});
	canp_process_pool_limits(p, &st);
	if (st.seccomp) {
		assert_true(st.no_new_privs);
		assert_int_equal(forbidden(p, "/etc/passwd", false), -EPERM);
		assert_int_equal(pool_submit_sync(p, task_rc, NULL, 0, NULL, 0, 0, NULL), 0);
	} else {
		print_message("skipped: %s\n", st.reason);
	}
	pool_destroy(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(D28_large_payload_is_the_same_memory_in_both_processes),
		cmocka_unit_test(D28_nothing_leaks_from_the_heaps),
		cmocka_unit_test(D34_a_memory_hog_ends_as_resource),
		cmocka_unit_test(D34_limits_are_written_in_version_1),
		cmocka_unit_test(D34_limits_are_written_in_version_2),
		cmocka_unit_test(D34_workers_give_up_what_they_do_not_need),
		cmocka_unit_test(D54_no_task_costs_a_malloc),
		cmocka_unit_test(D54_the_heap_gives_back_what_it_got),
	};

	return cmocka_run_group_tests(tests, dir_make, dir_remove);
}
