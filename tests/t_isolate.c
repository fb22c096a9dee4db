/*
 * t_isolate.c - what a worker process tells, and that nothing it may tell can do harm: events come
 * back as they were written; hostile bytes are refused without a read outside; the order of events
 * is checked; what a capturing grouper was told makes the same rows in a real one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/hash.h"
#include "core/base/strbuf.h"
#include "io/isolate_event.h"
#include "simd/simd.h"

#define TAPE_BYTES (1u << 20)

struct tape {
	uint8_t *p;
	size_t len, max;
	struct canp_iso_out out;
};

static void *tape_room(void *arg, size_t size)
{
	struct tape *t = arg;
	uint8_t *p = t->p + t->len;

	assert_int_equal(size % 8, 0);
	assert_in_range(size, 8, CANP_ISO_EVENT_MAX);
	if (t->len + size > t->max)
		return NULL;
	t->len += size;
	return p;
}

static void tape_open(struct tape *t, size_t max)
{
	t->p = malloc(TAPE_BYTES);
	assert_non_null(t->p);
	t->len = 0;
	t->max = max;
	t->out = (struct canp_iso_out){.room = tape_room, .arg = t};
}

/* One event from a copy that ends where the memory ends: a read behind it would be a fault. */
static uint8_t *fence, *fence_end;

static int parse_fenced(const uint8_t *p, size_t len, struct canp_iso_event *ev)
{
	if (!fence) {
		fence = mmap(NULL, 128 << 10, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			     -1, 0);
		assert_true(fence != MAP_FAILED);
		fence_end = fence + (64 << 10);
		assert_int_equal(mprotect(fence_end, 64 << 10, PROT_NONE), 0);
	}
	assert_true(len <= 64 << 10);
	memcpy(fence_end - len, p, len);
	return canp_iso_parse(fence_end - len, len, ev);
}

static void fill(uint8_t *p, size_t n, uint64_t seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)canp_hash_mix(seed + i);
}

static void write_file(struct tape *t, const uint8_t *frames, size_t n)
{
	static const struct canp_format_stats stats = {
		.members = 7, .bytes_inflated = 1ull << 40, .unverified_tail = true};
	struct canp_fault f;

	canp_iso_put_format(&t->out, canp_formats[1], true);
	canp_iso_put_bus(&t->out, 0, NULL, 3);
	canp_iso_put_bus(&t->out, 1, "can1", 70000);
	assert_int_equal(canp_iso_put_name(&t->out, "LOG-1", 5), 1);
	assert_int_equal(canp_iso_put_name(&t->out, "", 0), 2);
	canp_iso_put_device(&t->out, 1);
	canp_iso_put_push(&t->out, 1, INT64_MIN, 0x1fffffff, 0xff, 15, frames, 64);
	canp_iso_put_push(&t->out, 0, 5, 0, 0, 0, NULL, 0);
	canp_iso_put_push24(&t->out, 1, frames, n, 1000, -5);
	canp_fault_set(&f, CANP_FAULT_JUNK, 123, 45, "odd");
	canp_iso_put_fault(&t->out, &f);
	canp_iso_put_end(&t->out, &stats, true);
}

static void I05_events_come_back_as_they_were_written(void **state)
{
	uint8_t frames[3000 * 24];
	struct canp_iso_state st = {0};
	struct canp_iso_event ev;
	struct tape t;
	size_t at = 0, seen = 0;
	unsigned kinds[CANP_ISO_NR] = {0};

	(void)state;
	fill(frames, sizeof(frames), 1);
	tape_open(&t, TAPE_BYTES);
	write_file(&t, frames, 3000);
	while (at < t.len) {
		size_t len = t.len - at < CANP_ISO_EVENT_MAX ? t.len - at : CANP_ISO_EVENT_MAX;
		int n = parse_fenced(t.p + at, len, &ev);

		assert_true(n > 0);
		assert_true(canp_iso_follow(&st, &ev));
		kinds[ev.kind]++;
		if (ev.kind == CANP_ISO_FORMAT)
			assert_true(ev.format.format == canp_formats[1] && ev.format.gz);
		if (ev.kind == CANP_ISO_BUS && ev.bus == 1)
			assert_string_equal(ev.name.name, "can1");
		if (ev.kind == CANP_ISO_BUS)
			assert_true(ev.name.named == (ev.bus == 1));
		if (ev.kind == CANP_ISO_PUSH && ev.push.len)
			assert_memory_equal(ev.push.data, frames, 64);
		if (ev.kind == CANP_ISO_PUSH24) {
			assert_memory_equal(ev.push24.frames, frames + seen * 24, ev.push24.n * 24);
			seen += ev.push24.n;
			assert_true(ev.push24.mul == 1000 && ev.push24.add == -5);
		}
		if (ev.kind == CANP_ISO_FAULT)
			assert_true(ev.fault.code == CANP_FAULT_JUNK && ev.fault.offset == 123 &&
				    !strcmp(ev.fault.detail, "odd"));
		if (ev.kind == CANP_ISO_END)
			assert_true(ev.end.stats.members == 7 && ev.end.stats.unverified_tail &&
				    ev.end.whole);
		at += (size_t)n;
	}
	assert_int_equal(seen, 3000);
	assert_true(st.ended);
	for (unsigned k = 1; k < CANP_ISO_NR; k++)
		assert_true(kinds[k] > 0);
	free(t.p);
}

static void I05_a_cut_event_asks_for_more_and_nothing_is_read_behind(void **state)
{
	uint8_t frames[3 * 24] = {0};
	struct canp_iso_event ev;
	struct tape t;

	(void)state;
	tape_open(&t, TAPE_BYTES);
	write_file(&t, frames, 1);
	for (size_t at = 0; at < t.len;) {
		uint32_t size;

		memcpy(&size, t.p + at, sizeof(size));
		for (size_t len = 0; len < size; len++)
			assert_int_equal(parse_fenced(t.p + at, len, &ev), 0);
		assert_int_equal(parse_fenced(t.p + at, size, &ev), size);
		at += size;
	}
	free(t.p);
}

/* Every byte of a good tape, in turn, becomes something else; and pure noise. */
static void I05_hostile_events_are_refused_without_harm(void **state)
{
	uint8_t frames[3 * 24] = {0}, noise[512];
	uint64_t refused = 0, taken = 0;
	struct canp_iso_event ev;
	struct tape t;

	(void)state;
	tape_open(&t, TAPE_BYTES);
	write_file(&t, frames, 3);
	for (size_t at = 0; at < t.len;) {
		uint32_t size;

		memcpy(&size, t.p + at, sizeof(size));
		for (uint32_t i = 0; i < size; i++)
			for (unsigned v = 0; v < 256; v += 5) {
				uint8_t was = t.p[at + i];
				int n, skim;

				t.p[at + i] = (uint8_t)v;
				n = parse_fenced(t.p + at, size, &ev);
				/* What is checked first is what is taken later. */
				skim = canp_iso_skim(fence_end - size, size, &ev);
				if (n > 0 || skim < 0)
					assert_int_equal(skim, n);
				t.p[at + i] = was;
				assert_true(n == 0 || n == -EBADMSG || (n > 0 && n <= (int)size));
				if (n > 0 && ev.kind == CANP_ISO_PUSH)
					assert_true(ev.push.len <= 64);
				if (n > 0 && ev.kind == CANP_ISO_PUSH24)
					assert_true(ev.push24.n * 24 < size);
				refused += n < 0;
				taken += n > 0;
			}
		at += size;
	}
	assert_true(refused > 100 && taken > 100);
	for (uint64_t i = 0; i < 20000; i++) {
		size_t len = 8 + i % (sizeof(noise) - 8);
		int n;

		fill(noise, len, i * 1000);
		noise[1] &= 1; /* sizes that are not refused at once */
		noise[2] = noise[3] = 0;
		noise[0] &= 0xf8;
		noise[4] = (uint8_t)(i % (CANP_ISO_NR + 1));
		n = parse_fenced(noise, len, &ev);
		assert_true(n == 0 || n == -EBADMSG || (n >= 8 && n <= (int)len));
	}
	free(t.p);
}

static bool follow(struct canp_iso_state *st, struct canp_iso_event ev)
{
	return canp_iso_follow(st, &ev);
}

static void I05_events_out_of_order_are_refused(void **state)
{
	const struct canp_iso_event format = {.kind = CANP_ISO_FORMAT},
				    end = {.kind = CANP_ISO_END};
	struct canp_iso_state st = {0}, begun = {.begun = true};

	(void)state;
	assert_false(follow(&st, end)); /* FORMAT is first */
	st = (struct canp_iso_state){0};
	assert_true(follow(&st, format));
	assert_false(follow(&st, format));
	st = begun;
	assert_false(follow(&st, (struct canp_iso_event){.kind = CANP_ISO_PUSH, .bus = 0}));
	st = begun;
	assert_false(follow(&st, (struct canp_iso_event){.kind = CANP_ISO_BUS, .bus = 1}));
	st = begun;
	assert_true(follow(&st, (struct canp_iso_event){.kind = CANP_ISO_BUS, .bus = 0}));
	assert_true(follow(&st, (struct canp_iso_event){.kind = CANP_ISO_PUSH24, .bus = 0}));
	assert_false(follow(&st, (struct canp_iso_event){.kind = CANP_ISO_PUSH24, .bus = 1}));
	assert_true(follow(&st, (struct canp_iso_event){.kind = CANP_ISO_DEVICE, .device = 0}));
	assert_false(follow(&st, (struct canp_iso_event){.kind = CANP_ISO_DEVICE, .device = 1}));
	st = begun;
	for (unsigned i = 0; i < CANP_ISO_DEVICES_MAX; i++)
		assert_true(follow(&st, (struct canp_iso_event){.kind = CANP_ISO_NAME}));
	assert_false(follow(&st, (struct canp_iso_event){.kind = CANP_ISO_NAME}));
	st = begun;
	assert_true(follow(&st, end));
	assert_false(follow(&st, end));
}

static void I05_a_lane_that_wants_no_more_gets_no_more(void **state)
{
	uint8_t frames[3000 * 24] = {0};
	struct tape t;

	(void)state;
	tape_open(&t, 100);
	write_file(&t, frames, 3000);
	assert_true(t.len <= 100);
	free(t.p);
}

/* ---- a grouper that tells, and one that is told ---- */

struct rows {
	uint64_t hash, nr;
};

static void take(void *arg, unsigned slot, const struct canp_table *table,
		 const struct canp_chunk *chunk)
{
	struct rows *r = arg;

	r->nr += chunk->rows;
	r->hash = canp_hash_mix(
		r->hash + slot +
		canp_hash_bytes((const char *)chunk->rec, (size_t)chunk->rows * table->stride));
	for (unsigned i = 0; i < chunk->nr_meta; i++)
		r->hash = canp_hash_mix(r->hash + chunk->meta[i].start + chunk->meta[i].bus * 7u +
					chunk->meta[i].device * 11u);
}

static void calls(struct canp_group *g, const uint8_t *frames, size_t n)
{
	const struct canp_busref *a, *b;

	canp_group_file_begin(g, 4);
	a = canp_group_bus(g, NULL, 0);
	b = canp_group_bus(g, "can1", 1);
	assert_ptr_equal(canp_group_bus(g, NULL, 0), a);
	canp_group_push24(g, a, frames, n, 1000, 77);
	canp_group_device(g, 0);
	for (unsigned i = 0; i < 700; i++)
		canp_group_push(g, i % 3 ? a : b, i * 1000, 256 + i % 3, i % 50 ? 0 : CANP_FF_GAP,
				8, frames + i, i % 9);
	canp_group_push24(g, b, frames, n / 2, 1, 0);
}

static void told(struct canp_group *g, const struct tape *t)
{
	const struct canp_busref *bus[CANP_ISO_BUSES_MAX];
	struct canp_iso_event ev;
	size_t at = 0;

	canp_group_file_begin(g, 4);
	while (at < t->len) {
		int n = canp_iso_parse(t->p + at, t->len - at, &ev);

		assert_true(n > 0);
		at += (size_t)n;
		if (ev.kind == CANP_ISO_BUS)
			bus[ev.bus] = canp_group_bus(g, ev.name.named ? ev.name.name : NULL,
						     ev.name.number);
		else if (ev.kind == CANP_ISO_DEVICE)
			canp_group_device(g, ev.device);
		else if (ev.kind == CANP_ISO_PUSH)
			canp_group_push(g, bus[ev.bus], ev.push.ts_ns, ev.push.id, ev.push.flags,
					ev.push.dlc, ev.push.data, ev.push.len);
		else
			canp_group_push24(g, bus[ev.bus], ev.push24.frames, ev.push24.n,
					  ev.push24.mul, ev.push24.add);
	}
}

static void I05_told_calls_make_the_same_rows(void **state)
{
	static const char dbc[] = "BO_ 256 A: 8 X\n SG_ a : 0|8@1+ (1,0) [0|0] \"\" X\n"
				  "BO_ 257 B: 8 X\n SG_ b : 8|8@1+ (1,0) [0|0] \"\" X\n";
	char path[] = "/tmp/t_isolate_XXXXXX";
	struct canp_plan_dbc pd = {NULL, path};
	struct canp_strbuf err = CANP_STRBUF_INIT;
	struct canp_group_capture c;
	struct canp_group_counts counts;
	struct rows direct = {0}, replay = {0};
	struct canp_plan *plan;
	uint8_t *frames = calloc(5000, 24);
	void *mem, *small = aligned_alloc(64, canp_group_capture_bytes());
	struct canp_group *g;
	struct tape t;
	int fd = mkstemp(path);

	(void)state;
	assert_int_equal(write(fd, dbc, sizeof(dbc) - 1), sizeof(dbc) - 1);
	close(fd);
	assert_int_equal(canp_plan_create(&(struct canp_plan_opts){.dbcs = &pd, .nr_dbcs = 1}, &err,
					  NULL, NULL, &plan),
			 0);
	unlink(path);
	for (unsigned i = 0; i < 5000; i++) {
		canp_put_be64(frames + i * 24, i * 3);
		canp_put_be32(frames + i * 24 + 8, 255 + i % 4);
		frames[i * 24 + 12] = 8;
		fill(frames + i * 24 + 16, 8, i);
	}
	mem = aligned_alloc(64, (canp_group_bytes(plan) + 63) / 64 * 64);
	assert_true(mem && small && frames);
	g = canp_group_init(mem,
			    &(struct canp_group_opts){plan, take, &direct, INT64_MIN, INT64_MAX});
	calls(g, frames, 5000);
	counts = *canp_group_counts(g);
	canp_group_flush(g);
	canp_group_fini(g);
	tape_open(&t, TAPE_BYTES);
	c = (struct canp_group_capture){&t.out, canp_iso_put_bus, canp_iso_put_device,
					canp_iso_put_push, canp_iso_put_push24};
	calls(canp_group_capture_init(small, &c), frames, 5000);
	g = canp_group_init(mem,
			    &(struct canp_group_opts){plan, take, &replay, INT64_MIN, INT64_MAX});
	told(g, &t);
	assert_memory_equal(&counts, canp_group_counts(g), sizeof(counts));
	canp_group_flush(g);
	canp_group_fini(g);
	assert_true(direct.nr > 3000 && replay.nr == direct.nr);
	assert_int_equal(replay.hash, direct.hash);
	canp_plan_destroy(plan);
	canp_strbuf_fini(&err);
	free(t.p);
	free(mem);
	free(small);
	free(frames);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(I05_events_come_back_as_they_were_written),
		cmocka_unit_test(I05_a_cut_event_asks_for_more_and_nothing_is_read_behind),
		cmocka_unit_test(I05_hostile_events_are_refused_without_harm),
		cmocka_unit_test(I05_events_out_of_order_are_refused),
		cmocka_unit_test(I05_a_lane_that_wants_no_more_gets_no_more),
		cmocka_unit_test(I05_told_calls_make_the_same_rows),
	};

	if (canp_simd_init(CANP_ISA_AUTO, NULL))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
