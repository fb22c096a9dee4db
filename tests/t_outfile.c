/*
 * t_outfile.c - the output file on a simulated ring: whatever order, shortness and failure the
 * writes meet, a published file is whole, an unpublished one never has the final name, and no
 * staging block is lost.
 */
#include "tests/lib/simring.h"

#include "tests/lib/out_drive.h"

static const enum canp_io_policy policies[] = {CANP_IO_DIRECT, CANP_IO_AUTO, CANP_IO_DONTCACHE,
					       CANP_IO_BUFFERED};

static void start(struct out_drive *d, const char *base, uint64_t seed)
{
	struct canp_ring *ring = simring_new(seed);

	ring->delay_max = (unsigned)(seed % 7);
	out_drive_init(d, ring, base, seed);
}

static void stop(struct out_drive *d)
{
	out_drive_fini(d);
	canp_ring_destroy(d->ring);
}

static void published_bytes_equal_those_put(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 60; seed++) {
		size_t total;
		struct out_drive d;
		struct canp_out o;

		start(&d, seed % 5 == 0 ? "/dev/shm" : "/tmp", seed);
		d.ring->short_pct = (unsigned)(seed % 3) * 30;
		total = seed == 1 ? 0 : seed == 2 ? 8192 : (size_t)out_rnd(&d, 200000);
		assert_int_equal(
			out_drive_open(&d, &o, "part-00000.parquet", policies[seed % 4], false), 0);
		for (size_t left = total; left > 0;) {
			size_t n = 1 + (size_t)out_rnd(&d, left < 30000 ? left : 30000);

			assert_int_equal(out_drive_put(&d, &o, n), 0);
			left -= n;
			if (out_rnd(&d, 4) == 0)
				canp_out_flush(&o);
			if (out_rnd(&d, 8) == 0) {
				assert_int_equal(out_drive_sync(&d, &o), 0);
				assert_int_equal(canp_pool_avail(&d.pool, false), OUT_DRIVE_BLOCKS);
				out_drive_check(&d, ".part-00000.parquet.tmp", total - left);
			}
			assert_false(out_drive_exists(&d, "part-00000.parquet"));
		}
		assert_int_equal(out_drive_finish(&d, &o), 0);
		out_drive_check(&d, "part-00000.parquet", total);
		assert_int_equal(out_drive_files(&d), 1);
		stop(&d);
	}
}

static void over(struct canp_out *o, int err, void *arg)
{
	(void)o;
	*(int *)arg = err + 1;
}

/* What is discarded is counted, and nothing of it is ever seen; the end is told as always. */
static void discarded_bytes_make_no_file(void **state)
{
	static uint8_t data[100000];

	(void)state;
	for (int aborted = 0; aborted < 2; aborted++) {
		struct out_drive d;
		struct canp_out o;
		int told = 0;

		start(&d, "/tmp", 9);
		assert_int_equal(canp_out_open(&o, &(struct canp_out_opts){.ring = d.ring,
									   .pool = &d.pool,
									   .dirfd = -1,
									   .name = "part",
									   .discard = true}),
				 0);
		for (int i = 0; i < 50; i++) {
			assert_true(canp_out_room(&o) > 0);
			assert_int_equal(canp_out_put(&o, data, sizeof(data)), sizeof(data));
		}
		assert_int_equal(canp_out_pos(&o), 50 * sizeof(data));
		assert_int_equal(canp_pool_avail(&d.pool, false), OUT_DRIVE_BLOCKS);
		if (aborted)
			canp_out_abort(&o, over, &told);
		else
			canp_out_finish(&o, over, &told);
		assert_int_equal(told, 0);
		for (int i = 0; !told && i < 1000; i++)
			canp_ring_wait(d.ring, 1000000);
		assert_int_equal(told, 1);
		assert_int_equal(canp_out_stats(&o)->writes, 0);
		assert_int_equal(out_drive_files(&d), 0);
		stop(&d);
	}
}

static void the_sequence_of_publication_is_kept(void **state)
{
	static const unsigned want[] = {CANP_OP_FTRUNCATE, CANP_OP_FDATASYNC, CANP_OP_RENAME,
					CANP_OP_FSYNC, CANP_OP_CLOSE};
	struct out_drive d;
	struct canp_out o;

	(void)state;
	start(&d, "/tmp", 3);
	assert_int_equal(out_drive_open(&d, &o, "a.parquet", CANP_IO_DIRECT, false), 0);
	assert_int_equal(out_drive_put(&d, &o, 5000), 0);
	assert_int_equal(out_drive_finish(&d, &o), 0);
	assert_int_equal(d.ring->nr_order, 5);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(d.ring->order[i], want[i]);
	stop(&d);
}

static void an_idle_file_holds_no_block(void **state)
{
	struct out_drive d;
	struct canp_out o[8];
	char name[32];

	(void)state;
	start(&d, "/tmp", 4);
	/* More files than blocks, each with an odd tail. */
	for (unsigned i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "p%u", i);
		assert_int_equal(out_drive_open(&d, &o[i], name, CANP_IO_AUTO, false), 0);
	}
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < 8; i++) {
			assert_int_equal(out_drive_put(&d, &o[i], 1000 * i + 777), 0);
			canp_out_flush(&o[i]);
		}
	}
	while (canp_ring_inflight(d.ring))
		canp_ring_wait(d.ring, 0);
	assert_int_equal(canp_pool_avail(&d.pool, false), OUT_DRIVE_BLOCKS);
	for (unsigned i = 0; i < 8; i++) {
		assert_false(canp_out_busy(&o[i]));
		assert_int_equal(out_drive_finish(&d, &o[i]), 0);
		snprintf(name, sizeof(name), "p%u", i);
		out_drive_check(&d, name, 5 * (1000 * i + 777));
	}
	stop(&d);
}

struct trouble {
	enum canp_ring_opcode opcode;
	int err;
	unsigned skip, times; /* operations let through before; failures, UINT32_MAX: for ever */
	uint64_t off;         /* of the first failed one */
};

static int make_trouble(void *arg, struct canp_ring_op *op)
{
	struct trouble *t = arg;

	if (op->opcode != t->opcode || t->times == 0)
		return 0;
	if (t->skip > 0) {
		t->skip--;
		return 0;
	}
	if (t->off == UINT64_MAX)
		t->off = op->off;
	t->times -= t->times != UINT32_MAX;
	return t->err;
}

/* Any operation may fail for good: error at finish at the latest, nothing under the final name,
 * abort leaves an empty directory, all blocks home. */
static void a_failed_operation_publishes_nothing(void **state)
{
	static const struct trouble kinds[] = {
		{CANP_OP_WRITE, -EIO, 0, 1, UINT64_MAX},
		{CANP_OP_WRITE, -ENOSPC, 3, UINT32_MAX, UINT64_MAX},
		{CANP_OP_WRITE, -EIO, 7, 1, UINT64_MAX}, /* the tail */
		{CANP_OP_FTRUNCATE, -EIO, 0, 1, UINT64_MAX},
		{CANP_OP_FDATASYNC, -EIO, 0, 1, UINT64_MAX},
		{CANP_OP_FDATASYNC, -ENOSPC, 0, 1, UINT64_MAX},
		{CANP_OP_RENAME, -EACCES, 0, 1, UINT64_MAX},
		{CANP_OP_WRITE, -EAGAIN, 2, UINT32_MAX, UINT64_MAX},
		{CANP_OP_FDATASYNC, -EINTR, 0, UINT32_MAX, UINT64_MAX},
	};

	(void)state;
	for (unsigned k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		for (uint64_t seed = 1; seed <= 8; seed++) {
			struct trouble t = kinds[k];
			struct out_drive d;
			struct canp_out o;
			uint64_t off;
			int rc;

			start(&d, "/tmp", seed);
			d.ring->inject = make_trouble;
			d.ring->inject_arg = &t;
			assert_int_equal(out_drive_open(&d, &o, "x.parquet", CANP_IO_DIRECT, false),
					 0);
			rc = out_drive_put(&d, &o, 7 * OUT_DRIVE_BLOCK + 1234);
			if (rc == 0)
				rc = out_drive_finish(&d, &o);
			assert_int_not_equal(rc, 0);
			assert_int_equal(rc, canp_out_error(&o, &off));
			assert_true(rc == t.err || rc == -EIO);
			if (kinds[k].opcode == CANP_OP_WRITE && t.times == 0)
				assert_int_equal(off, t.off);
			assert_int_equal(canp_out_put(&o, "x", 1), rc);
			assert_int_equal(canp_out_room(&o), 0);
			assert_false(out_drive_exists(&d, "x.parquet"));
			assert_int_equal(out_drive_abort(&d, &o), 0);
			assert_int_equal(out_drive_files(&d), 0);
			stop(&d);
		}
	}
}

static void passing_errors_and_refusals_do_no_harm(void **state)
{
	static const struct trouble kinds[] = {
		{CANP_OP_WRITE, -EINTR, 1, 5, UINT64_MAX},
		{CANP_OP_WRITE, -EAGAIN, 0, 5, UINT64_MAX},
		{CANP_OP_WRITE, -EINVAL, 2, 3, UINT64_MAX},
		{CANP_OP_WRITE, -EOPNOTSUPP, 0, 4, UINT64_MAX},
		{CANP_OP_FDATASYNC, -EINTR, 0, 2, UINT64_MAX},
		{CANP_OP_FSYNC, -EINVAL, 0, 1, UINT64_MAX},
	};

	(void)state;
	for (unsigned k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		for (uint64_t seed = 1; seed <= 8; seed++) {
			struct trouble t = kinds[k];
			struct out_drive d;
			struct canp_out o;

			start(&d, "/tmp", seed);
			d.ring->short_pct = 20;
			d.ring->inject = make_trouble;
			d.ring->inject_arg = &t;
			assert_int_equal(out_drive_open(&d, &o, "x.parquet", CANP_IO_DIRECT, false),
					 0);
			assert_int_equal(out_drive_put(&d, &o, 100001), 0);
			assert_int_equal(out_drive_finish(&d, &o), 0);
			assert_int_equal(t.times, 0);
			out_drive_check(&d, "x.parquet", 100001);
			stop(&d);
		}
	}
}

static void a_full_disk_is_waited_out_when_asked(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct trouble t = {CANP_OP_WRITE, seed % 2 ? -ENOSPC : -EDQUOT,
				    (unsigned)(seed % 9), UINT32_MAX, UINT64_MAX};
		const size_t total = 8 * OUT_DRIVE_BLOCK + 99;
		struct out_drive d;
		struct canp_out o;
		unsigned called;
		int rc;

		start(&d, "/tmp", seed);
		d.ring->inject = make_trouble;
		d.ring->inject_arg = &t;
		assert_int_equal(out_drive_open(&d, &o, "x.parquet", CANP_IO_DIRECT, true), 0);
		rc = out_drive_put(&d, &o, total);
		if (rc != 0) {
			assert_int_equal(rc, -EAGAIN);
			assert_true(canp_out_waiting(&o));
			canp_out_retry(&o); /* still full */
			for (unsigned i = 0; i < 50; i++)
				canp_ring_wait(d.ring, 0);
			assert_true(canp_out_waiting(&o));
			t.times = 0; /* space again */
			canp_out_retry(&o);
			assert_int_equal(out_drive_put(&d, &o, total - canp_out_pos(&o)), 0);
		}
		called = d.called;
		canp_out_finish(&o, out_drive_cb, &d);
		for (unsigned i = 0; i < 100; i++)
			canp_ring_wait(d.ring, 0);
		if (t.times) {
			assert_int_equal(d.called, called);
			assert_true(canp_out_waiting(&o));
			t.times = 0;
			canp_out_retry(&o);
		}
		if (d.called == called)
			assert_int_equal(out_drive_wait(&d, called), 0);
		assert_int_equal(d.err, 0);
		assert_int_equal(canp_out_error(&o, NULL), 0);
		assert_true(canp_out_stats(&o)->waits > 0);
		out_drive_check(&d, "x.parquet", total);
		stop(&d);
	}
}

/* Abort comes at any turn of a put or a finish: one callback, its own, and either nothing or the
 * whole published file is left. */
static void abort_at_any_moment_leaves_nothing_half(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 120; seed++) {
		const size_t total = 3 * OUT_DRIVE_BLOCK + 4097;
		struct trouble t = {CANP_OP_WRITE, -ENOSPC, 1, UINT32_MAX, UINT64_MAX};
		struct out_drive d;
		struct canp_out o;
		unsigned called;

		start(&d, "/tmp", seed);
		if (seed % 5 == 0) {
			d.ring->inject = make_trouble;
			d.ring->inject_arg = &t;
		}
		assert_int_equal(out_drive_open(&d, &o, "x.parquet", CANP_IO_AUTO, seed % 5 == 0),
				 0);
		assert_int_equal(out_drive_put(&d, &o, total), 0);
		if (seed % 3) {
			canp_out_finish(&o, out_drive_cb, &d);
			for (uint64_t i = 0; i < seed / 3 && d.called == 0; i++)
				canp_ring_wait(d.ring, 0);
		}
		called = d.called;
		if (called == 0) {
			assert_int_equal(out_drive_abort(&d, &o), 0);
			for (unsigned i = 0; i < 100; i++)
				canp_ring_wait(d.ring, 0);
			assert_int_equal(d.called, 1);
		}
		assert_false(out_drive_exists(&d, ".x.parquet.tmp"));
		if (out_drive_exists(&d, "x.parquet"))
			out_drive_check(&d, "x.parquet", total);
		else
			assert_int_equal(out_drive_files(&d), 0);
		stop(&d);
	}
}

static void a_taken_name_is_never_replaced(void **state)
{
	struct out_drive d;
	struct canp_out o, p;
	char path[128];
	FILE *f;

	(void)state;
	start(&d, "/tmp", 9);
	snprintf(path, sizeof(path), "%s/x.parquet", d.dir);
	f = fopen(path, "w");
	fputs("mine", f);
	fclose(f);
	assert_int_equal(out_drive_open(&d, &o, "x.parquet", CANP_IO_AUTO, false), 0);
	assert_int_equal(out_drive_open(&d, &p, "x.parquet", CANP_IO_AUTO, false), -EEXIST);
	assert_int_equal(out_drive_put(&d, &o, 100), 0);
	assert_int_equal(out_drive_finish(&d, &o), -EEXIST);
	assert_int_equal(out_drive_abort(&d, &o), 0);
	assert_int_equal(out_drive_files(&d), 1);
	f = fopen(path, "r");
	assert_non_null(fgets(path, sizeof(path), f));
	fclose(f);
	assert_string_equal(path, "mine");
	stop(&d);
}

/* Commit at a point, write on, lose the process; the next one cuts to the point and goes on. */
static void a_released_temporary_is_resumed_at_its_commit(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct out_drive d;
		struct canp_out o;
		struct canp_out_opts opts;
		uint64_t commit;
		unsigned called;

		start(&d, seed % 4 ? "/tmp" : "/dev/shm", seed);
		d.ring->short_pct = 25;
		assert_int_equal(out_drive_open(&d, &o, "r.parquet", policies[seed % 4], false), 0);
		commit = seed == 1 ? 8192 : out_rnd(&d, 60000);
		assert_int_equal(out_drive_put(&d, &o, commit), 0);
		assert_int_equal(out_drive_sync(&d, &o), 0);
		assert_int_equal(out_drive_put(&d, &o, out_rnd(&d, 40000)), 0);
		canp_out_flush(&o);
		called = d.called;
		canp_out_release(&o, out_drive_cb, &d);
		assert_int_equal(out_drive_wait(&d, called), 0);
		assert_true(out_drive_exists(&d, ".r.parquet.tmp"));
		opts = (struct canp_out_opts){
			.ring = d.ring,
			.pool = &d.pool,
			.dirfd = d.dirfd,
			.name = "r.parquet",
			.policy = policies[(seed + 1) % 4],
			.resume = true,
			.resume_bytes = 1u << 30,
		};
		assert_int_equal(canp_out_open(&o, &opts), -ENODATA);
		opts.resume_bytes = commit;
		assert_int_equal(canp_out_open(&o, &opts), 0);
		assert_int_equal(canp_out_pos(&o), commit);
		assert_int_equal(out_drive_put(&d, &o, 33333), 0);
		assert_int_equal(out_drive_finish(&d, &o), 0);
		out_drive_check(&d, "r.parquet", commit + 33333);
		assert_int_equal(out_drive_files(&d), 1);
		stop(&d);
	}
}

static void bad_names_and_pools_are_refused(void **state)
{
	struct canp_pool odd;
	struct out_drive d;
	struct canp_out o;
	char name[300];

	(void)state;
	start(&d, "/tmp", 1);
	memset(name, 'n', sizeof(name));
	name[241] = 0;
	assert_int_equal(out_drive_open(&d, &o, name, CANP_IO_AUTO, false), -ENAMETOOLONG);
	assert_int_equal(out_drive_open(&d, &o, "", CANP_IO_AUTO, false), -EINVAL);
	assert_int_equal(out_drive_open(&d, &o, "a/b", CANP_IO_AUTO, false), -EINVAL);
	odd = d.pool;
	d.pool.slot_bytes = 4096;
	assert_int_equal(out_drive_open(&d, &o, "a", CANP_IO_AUTO, false), -EINVAL);
	d.pool = odd;
	assert_int_equal(out_drive_files(&d), 0);
	stop(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published_bytes_equal_those_put),
		cmocka_unit_test(discarded_bytes_make_no_file),
		cmocka_unit_test(the_sequence_of_publication_is_kept),
		cmocka_unit_test(an_idle_file_holds_no_block),
		cmocka_unit_test(a_failed_operation_publishes_nothing),
		cmocka_unit_test(passing_errors_and_refusals_do_no_harm),
		cmocka_unit_test(a_full_disk_is_waited_out_when_asked),
		cmocka_unit_test(abort_at_any_moment_leaves_nothing_half),
		cmocka_unit_test(a_taken_name_is_never_replaced),
		cmocka_unit_test(a_released_temporary_is_resumed_at_its_commit),
		cmocka_unit_test(bad_names_and_pools_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
