/*
 * t_reader.c - the streaming reader on a simulated ring: every window equals the file whatever the
 * order, size, delay and failure of the reads below it.
 */
#include "tests/lib/simring.h"

#include "tests/lib/reader_drive.h"

static const struct canp_reader_opts tiny = {.slice_bytes = 4096, .depth = 3, .streams = 3};

static void start(struct drive *d, const char *base, const struct canp_reader_opts *o,
		  uint64_t seed)
{
	struct canp_ring *ring = simring_new(seed);

	ring->delay_max = (unsigned)(seed % 6);
	drive_init(d, ring, base, o, seed);
}

static void stop(struct drive *d)
{
	drive_fini(d);
	canp_ring_destroy(d->ring);
}

static void windows_equal_the_file_for_any_order_and_short_reads(void **state)
{
	static const enum canp_io_policy policies[] = {CANP_IO_BUFFERED, CANP_IO_DIRECT,
						       CANP_IO_DONTCACHE, CANP_IO_AUTO};

	(void)state;
	for (uint64_t seed = 1; seed <= 48; seed++) {
		struct canp_reader_opts o = {.slice_bytes = 4096u << (seed % 4),
					     .depth = 1 + (uint32_t)(seed % 5),
					     .streams = 4};
		size_t sizes[DRIVE_FILES];
		struct drive d;

		start(&d, seed % 8 == 7 ? "/dev/shm" : "/tmp", &o, seed);
		d.ring->short_pct = (unsigned)(seed % 3) * 30;
		for (unsigned i = 0; i < DRIVE_FILES; i++) {
			sizes[i] = (size_t)drive_rnd(&d, 5) * 4096 + (size_t)drive_rnd(&d, 60000);
			if (i == seed % DRIVE_FILES)
				sizes[i] = (seed & 1) ? 0 : 8192;
			drive_make(&d, i, sizes[i]);
		}
		drive_files(&d, sizes, DRIVE_FILES, (unsigned)(seed % 4), policies[seed % 4]);
		assert_int_equal(canp_reader_stats(d.reader)->files, DRIVE_FILES);
		stop(&d);
	}
}

/* The walker leaves as much as it may, over many slices smaller than that. */
static void the_largest_straddle_survives_every_seam(void **state)
{
	struct canp_reader_opts o = {.slice_bytes = 65536, .depth = 2, .streams = 1};
	const size_t size = 3 * CANP_FORMAT_STRADDLE;
	struct canp_stream *s;
	const uint8_t *win;
	uint64_t base;
	size_t len;
	struct drive d;
	char path[128];
	bool eof;

	(void)state;
	start(&d, "/tmp", &o, 5);
	drive_make(&d, 0, size);
	drive_path(&d, 0, path, sizeof(path));
	assert_int_equal(canp_reader_open(d.reader, path, size, CANP_IO_AUTO, &s), 0);
	for (;;) {
		drive_peek(&d, s, &win, &len, &base, &eof);
		drive_check(0, win, len, base);
		if (eof)
			break;
		if (len <= CANP_FORMAT_STRADDLE)
			assert_int_equal(canp_reader_consume(s, 0, true), 0);
		else
			assert_int_equal(canp_reader_consume(s, len - CANP_FORMAT_STRADDLE, true),
					 0);
	}
	assert_int_equal(base + len, size);
	assert_int_equal(len, CANP_FORMAT_STRADDLE + 65536);
	canp_reader_close(s);
	stop(&d);
}

/* The same bytes with the same straddling, from a file and from memory. */
static void memory_is_read_as_a_file_is(void **state)
{
	static uint8_t data[300000 + CANP_FORMAT_TAIL_PAD];
	static const size_t sizes[] = {0, 1, 4096, 8192, 300000};
	struct drive d;

	(void)state;
	start(&d, "/tmp", &tiny, 3);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + (i >> 8));
	for (size_t i = 0; i < CANP_ARRAY_SIZE(sizes); i++) {
		struct canp_stream *s;
		uint64_t base, seen = 0;
		const uint8_t *win;
		bool eof = false;
		size_t len, n;

		assert_int_equal(canp_reader_open_mem(d.reader, data, sizes[i], &s), 0);
		assert_int_equal(canp_stream_size(s), sizes[i]);
		for (;;) {
			assert_int_equal(canp_reader_peek(s, &win, &len, &base, &eof), 0);
			assert_int_equal(base, seen);
			assert_memory_equal(win, data + base, len);
			assert_true(len <= 4096 + 100 && base + len <= sizes[i]);
			assert_true(eof == (base + len == sizes[i]));
			if (eof)
				break;
			/* Leaves up to 100 bytes; now and then looks at the same window again. */
			n = len - (size_t)drive_rnd(&d, len < 100 ? len : 100);
			assert_int_equal(canp_reader_consume(s, n, true), 0);
			seen += n;
		}
		assert_null(canp_reader_fault(s));
		canp_reader_close(s);
	}
	assert_int_equal(canp_reader_stats(d.reader)->reads, 0);
	stop(&d);
}

static void look_ahead_keeps_depth_slices_in_flight(void **state)
{
	struct canp_stream *a, *b, *c, *none;
	struct drive d;
	char path[128];

	(void)state;
	start(&d, "/tmp", &tiny, 6);
	for (unsigned i = 0; i < 3; i++)
		drive_make(&d, i, i == 0 ? 8192 : 40960);
	drive_path(&d, 0, path, sizeof(path));
	assert_int_equal(canp_reader_open(d.reader, path, UINT64_MAX, CANP_IO_AUTO, &a), 0);
	assert_int_equal(canp_stream_size(a), 8192);
	assert_int_equal(canp_reader_inflight(d.reader), 2);
	drive_path(&d, 1, path, sizeof(path));
	assert_int_equal(canp_reader_open(d.reader, path, UINT64_MAX, CANP_IO_AUTO, &b), 0);
	assert_int_equal(canp_reader_inflight(d.reader), 3); /* depth; one slot is for the window */
	drive_path(&d, 2, path, sizeof(path));
	assert_int_equal(canp_reader_open(d.reader, path, UINT64_MAX, CANP_IO_AUTO, &c), 0);
	assert_int_equal(canp_reader_inflight(d.reader), 3);
	assert_int_equal(canp_reader_open(d.reader, path, UINT64_MAX, CANP_IO_AUTO, &none),
			 -EAGAIN);
	assert_int_equal(drive_walk(&d, a, 0), 8192);
	canp_reader_close(a);
	assert_int_equal(drive_walk(&d, b, 1), 40960);
	canp_reader_close(b);
	assert_int_equal(drive_walk(&d, c, 2), 40960);
	canp_reader_close(c);
	stop(&d);
}

struct bad_spot {
	uint64_t from, to; /* reads that touch [from, to) fail */
	int err;
	unsigned left; /* times, UINT32_MAX: for ever */
};

static int fail_reads(void *arg, struct canp_ring_op *op)
{
	struct bad_spot *bad = arg;

	if (op->opcode != CANP_OP_READ || op->off >= bad->to || op->off + op->len <= bad->from ||
	    bad->left == 0)
		return 0;
	bad->left -= bad->left != UINT32_MAX;
	return bad->err;
}

/* Everything before the bad block comes, then the fault names the block; others go on. */
static void an_unreadable_block_ends_the_file_exactly_there(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 16; seed++) {
		struct bad_spot bad = {81920 + 4096 * seed, 81920 + 4096 * seed + 512, -EIO,
				       UINT32_MAX};
		struct canp_reader_opts o = {.slice_bytes = 65536, .depth = 3, .streams = 3};
		struct canp_stream *s;
		const struct canp_fault *f;
		struct drive d;
		char path[128];

		start(&d, "/tmp", &o, seed);
		d.ring->short_pct = seed % 2 ? 20 : 0;
		d.ring->inject = fail_reads;
		d.ring->inject_arg = &bad;
		drive_make(&d, 0, 400000);
		drive_path(&d, 0, path, sizeof(path));
		assert_int_equal(canp_reader_open(d.reader, path, 400000,
						  seed % 3 ? CANP_IO_DIRECT : CANP_IO_BUFFERED, &s),
				 0);
		assert_null(canp_reader_fault(s));
		assert_in_range(drive_walk(&d, s, 0), bad.from - 4095, bad.from);
		f = canp_reader_fault(s);
		assert_non_null(f);
		assert_int_equal(f->code, CANP_FAULT_IO);
		assert_in_range(f->offset, bad.from - 4095, bad.from);
		assert_int_equal(f->offset + f->bytes, 400000);
		assert_non_null(strstr(f->detail, "error"));
		assert_int_equal(canp_reader_stats(d.reader)->faults, 1);
		canp_reader_close(s);
		bad.left = 0;
		assert_int_equal(canp_reader_open(d.reader, path, 400000, CANP_IO_AUTO, &s), 0);
		assert_int_equal(drive_walk(&d, s, 0), 400000);
		canp_reader_close(s);
		stop(&d);
	}
}

static void passing_errors_are_read_over(void **state)
{
	static const int errs[] = {-EIO, -EINTR, -EAGAIN};

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct bad_spot bad = {20000, 30000, errs[i], 2};
		struct canp_reader_opts o = {.slice_bytes = 1u << 20, .depth = 2, .streams = 2};
		size_t size = 300000;
		struct drive d;

		start(&d, "/tmp", &o, i + 1);
		d.ring->inject = fail_reads;
		d.ring->inject_arg = &bad;
		drive_make(&d, 0, size);
		drive_files(&d, &size, 1, 0, CANP_IO_DIRECT);
		assert_int_equal(bad.left, 0);
		assert_true(canp_reader_stats(d.reader)->rereads >= 2);
		assert_int_equal(canp_reader_stats(d.reader)->faults, 0);
		stop(&d);
	}
}

/* The first operations of each mode are refused, as a file system without it would. */
static int refuse_mode(void *arg, struct canp_ring_op *op)
{
	int fl = fcntl(op->fd, F_GETFL);

	(void)arg;
	if (op->opcode != CANP_OP_READ)
		return 0;
	if (op->rw_flags & RWF_DONTCACHE)
		return -EOPNOTSUPP;
	return fl & O_DIRECT ? -EINVAL : 0;
}

static void a_refused_mode_falls_back_to_buffered(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		enum canp_io_policy p = i ? CANP_IO_DIRECT : CANP_IO_DONTCACHE;
		struct canp_stream *s;
		struct drive d;
		char path[128];

		start(&d, "/tmp", &tiny, 11 + i);
		d.ring->inject = refuse_mode;
		drive_make(&d, 0, 50001);
		drive_path(&d, 0, path, sizeof(path));
		assert_int_equal(canp_reader_open(d.reader, path, 50001, p, &s), 0);
		assert_int_equal(canp_stream_policy(s), p);
		assert_int_equal(drive_walk(&d, s, 0), 50001);
		assert_null(canp_reader_fault(s));
		assert_int_equal(canp_stream_policy(s), CANP_IO_BUFFERED);
		assert_int_equal(canp_reader_stats(d.reader)->fallbacks, 1);
		canp_reader_close(s);
		stop(&d);
	}
}

static void growing_and_shrinking_files_end_cleanly(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 12; seed++) {
		enum canp_io_policy p = seed % 2 ? CANP_IO_DIRECT : CANP_IO_BUFFERED;
		size_t cut = 10000 + 4096 * (seed % 3) + (seed % 4 ? 77 : 2288);
		const struct canp_fault *f;
		struct canp_stream *s;
		struct drive d;
		char path[128];

		start(&d, "/tmp", &tiny, seed);
		d.ring->short_pct = seed % 3 ? 30 : 0;
		drive_make(&d, 0, 40000);
		drive_path(&d, 0, path, sizeof(path));
		/* Listed at 33,333 bytes, has grown since. */
		assert_int_equal(canp_reader_open(d.reader, path, 33333, p, &s), 0);
		assert_int_equal(drive_walk(&d, s, 0), 33333);
		assert_null(canp_reader_fault(s));
		canp_reader_close(s);
		/* Cut while it is open, before anything was read. */
		assert_int_equal(canp_reader_open(d.reader, path, 40000, p, &s), 0);
		assert_int_equal(truncate(path, (off_t)cut), 0);
		assert_int_equal(drive_walk(&d, s, 0), cut);
		f = canp_reader_fault(s);
		assert_non_null(f);
		assert_int_equal(f->code, CANP_FAULT_TRUNCATED);
		assert_int_equal(f->offset, cut);
		assert_int_equal(f->bytes, 40000 - cut);
		canp_reader_close(s);
		/* Cut between listing and opening. */
		assert_int_equal(canp_reader_open(d.reader, path, 40000, p, &s), 0);
		assert_int_equal(drive_walk(&d, s, 0), cut);
		assert_int_equal(canp_reader_fault(s)->code, CANP_FAULT_TRUNCATED);
		canp_reader_close(s);
		stop(&d);
	}
}

static void closing_early_gives_every_slot_back(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 30; seed++) {
		struct drive d;
		char path[128];

		start(&d, "/tmp", &tiny, seed);
		drive_make(&d, 0, 50000);
		drive_path(&d, 0, path, sizeof(path));
		for (unsigned i = 0; i < 40; i++) {
			struct canp_stream *s;
			const uint8_t *win;
			uint64_t base;
			size_t len;
			bool eof;

			while (canp_reader_open(d.reader, path, 50000, CANP_IO_AUTO, &s) == -EAGAIN)
				canp_ring_wait(d.ring, 0);
			for (uint64_t k = drive_rnd(&d, 4); k > 0; k--) {
				drive_peek(&d, s, &win, &len, &base, &eof);
				canp_reader_consume(s, len / 2, true);
			}
			canp_reader_close(s);
		}
		size_t size = 50000;

		drive_files(&d, &size, 1, 0, CANP_IO_DIRECT);
		stop(&d);
	}
}

static void what_cannot_be_opened_says_why(void **state)
{
	struct canp_reader_opts bad = {.slice_bytes = 5000, .depth = 1, .streams = 1};
	struct canp_stream *s = NULL;
	struct drive d;
	char path[128];

	(void)state;
	assert_int_equal(canp_reader_bytes(&bad), 0);
	start(&d, "/tmp", &tiny, 1);
	assert_int_equal(canp_reader_open(d.reader, "/no/such", 1, CANP_IO_AUTO, &s), -ENOENT);
	assert_int_equal(canp_reader_open(d.reader, d.dir, 1, CANP_IO_AUTO, &s), -EOPNOTSUPP);
	snprintf(path, sizeof(path), "%s/pipe", d.dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(canp_reader_open(d.reader, path, 1, CANP_IO_AUTO, &s), -EOPNOTSUPP);
	assert_null(s);
	assert_int_equal(canp_reader_stats(d.reader)->files, 0);
	stop(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(windows_equal_the_file_for_any_order_and_short_reads),
		cmocka_unit_test(the_largest_straddle_survives_every_seam),
		cmocka_unit_test(memory_is_read_as_a_file_is),
		cmocka_unit_test(look_ahead_keeps_depth_slices_in_flight),
		cmocka_unit_test(an_unreadable_block_ends_the_file_exactly_there),
		cmocka_unit_test(passing_errors_are_read_over),
		cmocka_unit_test(a_refused_mode_falls_back_to_buffered),
		cmocka_unit_test(growing_and_shrinking_files_end_cleanly),
		cmocka_unit_test(closing_early_gives_every_slot_back),
		cmocka_unit_test(what_cannot_be_opened_says_why),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
