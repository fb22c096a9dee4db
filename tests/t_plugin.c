/*
 * t_plugin.c - plugins without a job: what they are told and shown, what becomes of the rows they
 * keep and of the columns they add, and what is refused. Chunks are made up; behind the packer
 * stands a sink that collects.
 */
#include "core/base/units.h"
#include "io/ingest_shard.h"
#include "io/sink/colmask.h"
#include "tests/lib/plan_case.h"

/* One message of each record class, with signals of all kinds. */
#define SIGNALS                                                                                    \
	S("sel M : 0|2@1+ (1,0) [0|0] \"\" X")                                                     \
	S("neg : 8|12@1- (0.5,3) [0|0] \"V\" X")                                                   \
	S("mux m1 : 24|8@1+ (1,0) [0|0] \"\" X")                                                   \
	S("be : 39|16@0+ (1,0) [0|0] \"\" X")                                                      \
	S("odd : 5|40@1- (1,0) [0|0] \"\" X")                                                      \
	S("last : 56|8@1+ (1,0) [0|0] \"\" X")
#define DBC                                                                                        \
	"BA_DEF_ BO_ \"VFrameFormat\" INT 0 15;\nBA_DEF_ \"BusType\" STRING ;\n"                   \
	"BA_ \"BusType\" \"CAN\";\n" M(1, "Classic", 8) SIGNALS M(3, "Fd", 20)                     \
		SIGNALS S("flt : 64|32@1- (2,1) [0|0] \"\" X") M(2566844158, "J", 8) SIGNALS       \
		"BA_ \"VFrameFormat\" BO_ 3 14;\nSIG_VALTYPE_ 3 flt : 1;\n"

#define ROWS_MAX 12000u

/* ---- a plugin whose functions the test sets ---- */

static struct {
	int (*message)(const struct canp_plugin_message *m, struct canp_plugin_want *want);
	int (*batch)(struct canp_batch *b);
	char life[256];
	unsigned calls;
} fake;

static void life(const char *what)
{
	strcat(fake.life, what);
	strcat(fake.life, " ");
}

static int fake_open(const char *arg, void **ctx, char *err, uint32_t err_bytes)
{
	life("open");
	*ctx = &fake;
	if (strcmp(arg, "refuse"))
		return 0;
	snprintf(err, err_bytes, "the argument is not to be %s", arg);
	return -EINVAL;
}

static int fake_message(void *ctx, const struct canp_plugin_message *m,
			struct canp_plugin_want *want)
{
	assert_ptr_equal(ctx, &fake);
	want->batches = true;
	return fake.message ? fake.message(m, want) : 0;
}

static int fake_shard(void *ctx, unsigned shard, unsigned nr_shards, void **state)
{
	assert_ptr_equal(ctx, &fake);
	assert_true(shard < nr_shards);
	life("shard");
	*state = &fake.calls;
	return 0;
}

static int fake_batch(void *state, struct canp_batch *b)
{
	assert_ptr_equal(state, &fake.calls);
	if (!fake.calls++)
		life("batch");
	return fake.batch ? fake.batch(b) : 0;
}

static void fake_shard_end(void *ctx, unsigned shard, void *state)
{
	(void)ctx;
	(void)shard;
	assert_ptr_equal(state, &fake.calls);
	life("shard_end");
}

static void fake_close(void *ctx)
{
	assert_ptr_equal(ctx, &fake);
	life("close");
}

static const struct canp_plugin fake_plugin = {
	.abi = CANP_PLUGIN_ABI,
	.name = "fake",
	.open = fake_open,
	.message = fake_message,
	.shard = fake_shard,
	.batch = fake_batch,
	.shard_end = fake_shard_end,
	.close = fake_close,
};

/* ---- a pipeline of its own: source -> plugins -> pack -> sink ---- */

struct rows { /* one after the other, as a chunk has them */
	uint32_t n;
	uint8_t *rec;
	uint8_t *lens;
	struct canp_meta_run *meta; /* one a row; start is not used */
	unsigned chunks, ended;
	bool full; /* all chunks but the last since the end of a unit were full */
};

static struct bed {
	struct canp_plan *plan;
	struct canp_plugins *ps;
	struct canp_plugin_shard *sh;
	struct canp_flow *flow;
	struct canp_runscratch *scratch;
	void *mem;
	struct rows out;
	const struct canp_table *table;
	unsigned slot;
	unsigned nr;
} bed;

static unsigned nothing(void *state, struct canp_flow_node *n, uint64_t now_ns)
{
	(void)state;
	(void)n;
	(void)now_ns;
	return 0;
}

static void rows_add(struct rows *r, const struct canp_chunk *c, size_t stride)
{
	unsigned m = 0;

	assert_true(r->n + c->rows <= ROWS_MAX);
	for (unsigned i = 0; i < c->rows; i++, r->n++) {
		while (m + 1 < c->nr_meta && c->meta[m + 1].start <= i)
			m++;
		r->meta[r->n] = c->meta[m];
		r->lens[r->n] = c->lens ? c->lens[i] : 0xff;
		memcpy(r->rec + r->n * stride, c->rec + i * stride, stride);
	}
}

static void collect(void *state, struct canp_flow_node *n, struct canp_batch *b)
{
	const struct canp_ingest_rows *rows = b->native;

	(void)state;
	(void)n;
	if (!rows) {
		bed.out.ended++;
		return;
	}
	assert_int_equal(rows->slot, bed.slot);
	assert_int_equal(canp_batch_count(b), rows->chunk->rows);
	assert_int_equal(rows->chunk->meta[0].start, 0);
	bed.out.full &= rows->chunk->rows == CANP_CHUNK_ROWS;
	if (rows->chunk->rows < CANP_CHUNK_ROWS)
		bed.out.chunks += 1000; /* may be the last one only, which the test knows */
	bed.out.chunks++;
	rows_add(&bed.out, rows->chunk, rows->table->stride);
}

static void rows_init(struct rows *r)
{
	*r = (struct rows){.full = true};
	r->rec = calloc(ROWS_MAX, CANP_RUN_STRIDE_MAX);
	r->lens = calloc(ROWS_MAX, 1);
	r->meta = calloc(ROWS_MAX, sizeof(*r->meta));
	assert_true(r->rec && r->lens && r->meta);
}

static void rows_fini(struct rows *r)
{
	free(r->rec);
	free(r->lens);
	free(r->meta);
}

static void bed_flow(unsigned nr)
{
	const struct canp_flow_op src = {"src", CANP_FLOW_SOURCE, .poll = nothing},
				  pack = {"pack", CANP_FLOW_OPERATOR, .push = canp_plugin_pack},
				  sink = {"sink", CANP_FLOW_SINK, .push = collect};

	assert_int_equal(canp_flow_create("bed", &bed.flow), 0);
	assert_int_equal(canp_flow_add(bed.flow, &src), 0);
	for (unsigned i = 0; i < nr; i++) {
		struct canp_flow_op op = {canp_plugins_name(bed.ps, i), CANP_FLOW_OPERATOR,
					  .push = canp_plugin_push};

		assert_int_equal(canp_flow_add(bed.flow, &op), i + 1);
		canp_flow_edge(bed.flow, i, i + 1);
	}
	assert_int_equal(canp_flow_add(bed.flow, &pack), nr + 1);
	assert_int_equal(canp_flow_add(bed.flow, &sink), nr + 2);
	canp_flow_edge(bed.flow, nr, nr + 1);
	canp_flow_edge(bed.flow, nr + 1, nr + 2);
	assert_int_equal(canp_flow_build(bed.flow, 1, NULL), 0);
	for (unsigned i = 0; i < nr; i++)
		canp_flow_set_state(bed.flow, 0, i + 1, canp_plugin_shard_op(bed.sh, i));
	canp_flow_set_state(bed.flow, 0, nr + 1, bed.sh);
}

static void bed_open(const char *message, const struct canp_plugin_spec *specs, unsigned nr)
{
	struct canp_strbuf err = CANP_STRBUF_INIT;
	const char *who;

	fake.calls = 0;
	fake.life[0] = '\0';
	bed = (struct bed){.plan = plan_one(none, DBC), .nr = nr};
	assert_int_equal(canp_plugins_create(specs, nr, bed.plan, &err, note, NULL, &bed.ps), 0);
	assert_null(err.buf);
	bed.table = table(bed.plan, message);
	bed.slot = (unsigned)(bed.table - bed.plan->tables) + CANP_SLOT_FIRST_TABLE;
	bed.scratch = aligned_alloc(64, sizeof(*bed.scratch));
	bed.mem = aligned_alloc(64, canp_plugin_shard_bytes(bed.ps));
	assert_true(bed.scratch && bed.mem);
	memset(bed.mem, 0xa5, canp_plugin_shard_bytes(bed.ps));
	assert_int_equal(canp_plugin_shard_init(bed.ps, bed.mem, 0, 1, bed.scratch, &who, &bed.sh),
			 0);
	rows_init(&bed.out);
	bed_flow(nr);
}

static void bed_close(void)
{
	canp_plugin_shard_fini(bed.sh);
	canp_flow_destroy(bed.flow);
	canp_plugins_destroy(bed.ps);
	canp_plan_destroy(bed.plan);
	rows_fini(&bed.out);
	free(bed.mem);
	free(bed.scratch);
}

static uint32_t rng = 1;

static uint32_t any(uint32_t below)
{
	rng = rng * 1664525u + 1013904223u;
	return (uint32_t)((uint64_t)(rng >> 8) * below >> 24);
}

/* A chunk of made-up rows, some of them short, of up to 4 origins. */
struct made {
	uint8_t rec[CANP_CHUNK_ROWS * 96] CANP_ALIGNED(64);
	uint8_t lens[CANP_CHUNK_ROWS];
	struct canp_meta_run meta[4];
	struct canp_chunk c;
};

static void make_chunk(struct made *m, unsigned rows, bool is_short)
{
	const struct canp_table *t = bed.table;
	unsigned stride = canp_table_frame_stride(t);
	uint16_t at = 0;

	memset(m, 0, sizeof(*m));
	m->c = (struct canp_chunk){.rec = m->rec, .rows = rows, .meta = m->meta};
	for (unsigned i = 0; i < rows; i++) {
		uint8_t *rec = m->rec + i * stride, len = t->payload_max;

		canp_put_le64(rec, rng + i);
		m->lens[i] = 0xff;
		if (is_short && any(4) == 0)
			m->lens[i] = len = (uint8_t)any(t->need);
		for (unsigned k = 0; k < len; k++)
			rec[t->payload_off + k] = (uint8_t)any(256);
		if (t->cls != CANP_REC_S)
			rec[t->cls == CANP_REC_F ? 12 : 20] = len;
	}
	m->c.lens = is_short ? m->lens : NULL;
	for (unsigned k = 0; k < 4 && at < rows; k++, at = (uint16_t)(at + 1 + any(100))) {
		m->meta[k] = (struct canp_meta_run){
			.start = at, .bus = (uint8_t)any(3), .src = any(2), .device = any(2)};
		m->c.nr_meta++;
	}
}

static void push(const struct canp_chunk *c)
{
	struct canp_ingest_rows rows = {.chunk = c, .table = bed.table, .slot = bed.slot};
	struct canp_batch b;

	canp_ingest_batch(&b, c->rows, &rows);
	canp_flow_emit(canp_flow_node(bed.flow, 0, 0), &b);
}

static void end_unit(void)
{
	struct canp_batch b;

	canp_ingest_batch(&b, 0, NULL);
	canp_flow_emit(canp_flow_node(bed.flow, 0, 0), &b);
}

/* ---- tests ---- */

static int want_all(const struct canp_plugin_message *m, struct canp_plugin_want *want)
{
	for (uint32_t i = 0; i < m->nr_signals; i++)
		want->columns[want->nr_columns++] = i;
	want->user = (void *)(uintptr_t)m->id;
	return 0;
}

static const struct made *shown;

static int look(struct canp_batch *b)
{
	const struct canp_plugin_message *m = b->type;
	const struct canp_table *t = bed.table;
	unsigned stride = canp_table_frame_stride(t);

	assert_string_equal(m->name, t->name);
	assert_int_equal(m->id & 0x1fffffff, t->id);
	assert_int_equal(m->id >> 31, t->ext);
	assert_ptr_equal(m->user, (void *)(uintptr_t)m->id);
	assert_int_equal(b->nr_src, shown->c.nr_meta);
	assert_int_equal(b->payload_bytes, t->payload_max);
	assert_int_equal(m->nr_columns, m->nr_signals);
	for (uint32_t i = 0; i < b->nr_rows; i++) {
		const uint8_t *pay = b->payload + (size_t)i * b->stride;
		unsigned len = shown->lens[i] == 0xff ? t->payload_max : shown->lens[i];

		assert_int_equal(b->ts_ns[i], canp_le64(shown->rec + i * stride));
		assert_int_equal(b->len[i], len);
		assert_memory_equal(pay, shown->rec + i * stride + t->payload_off, t->payload_max);
		for (uint32_t k = 0; k < m->nr_columns; k++) {
			const struct canp_plugin_signal *s = &m->signals[m->columns[k]];
			const struct canp_col *c = col(t, s->name);
			bool there = b->present[k][i / 64] >> (i % 64) & 1;
			uint64_t raw;
			double d;

			assert_int_equal(there,
					 canp_plan_extract(t, idx(t, s->name), pay, len, &raw));
			if (!there)
				continue;
			memcpy(&d, &b->column[k][i], sizeof(d));
			if (s->is_float)
				assert_true(d == canp_plan_phys(c, raw).d ||
					    isnan(canp_plan_phys(c, raw).d));
			else
				assert_true(b->column[k][i] ==
					    (uint64_t)canp_plan_raw_signed(c, raw));
		}
	}
	return 0;
}

static void a_batch_shows_the_rows_and_signals_of_its_chunk(void **state)
{
	static const char *const messages[] = {"Classic", "Fd", "J"};
	static struct made m;

	(void)state;
	fake.message = want_all;
	fake.batch = look;
	shown = &m;
	for (unsigned k = 0; k < 3; k++) {
		bed_open(messages[k], &(struct canp_plugin_spec){.plugin = &fake_plugin}, 1);
		for (unsigned i = 0; i < 40; i++) {
			make_chunk(&m, i % 3 ? 1 + any(256) : 256, i & 1);
			push(&m.c);
		}
		assert_int_equal(fake.calls, 40);
		bed_close();
		assert_string_equal(fake.life, "open shard batch shard_end close ");
	}
}

static uint64_t mask[CANP_BATCH_WORDS];

static int drop_masked(struct canp_batch *b)
{
	/* Bits above the rows, and rows dropped before, must not come back. */
	for (unsigned w = 0; w < CANP_BATCH_WORDS; w++)
		b->keep[w] = mask[w];
	return 0;
}

static void kept_rows_are_packed_in_order_with_their_origins(void **state)
{
	static const uint32_t shares[] = {0, 1, 10, 50, 90, 99, 100};
	static struct made m;
	struct rows want;

	(void)state;
	fake.message = NULL;
	fake.batch = drop_masked;
	for (unsigned s = 0; s < sizeof(shares) / sizeof(shares[0]); s++) {
		bed_open(s & 1 ? "Fd" : "Classic",
			 &(struct canp_plugin_spec){.plugin = &fake_plugin}, 1);
		rows_init(&want);
		for (unsigned unit = 0; unit < 2; unit++) {
			unsigned before = want.n, n;

			for (unsigned i = 0; i < 10; i++) {
				make_chunk(&m, i < 9 ? 256 : 1 + any(256), any(2));
				for (unsigned r = 0; r < 256; r++) {
					bool keep = any(100) < shares[s];
					struct canp_chunk one = m.c;
					struct canp_meta_run origin;
					unsigned k = 0;

					mask[r / 64] &= ~(1ull << r % 64);
					mask[r / 64] |= (uint64_t)keep << r % 64;
					if (!keep || r >= m.c.rows)
						continue;
					while (k + 1 < m.c.nr_meta && m.meta[k + 1].start <= r)
						k++;
					origin = m.meta[k];
					one.rec += r * bed.table->stride;
					one.lens = one.lens ? one.lens + r : NULL;
					one.rows = one.nr_meta = 1;
					one.meta = &origin;
					rows_add(&want, &one, bed.table->stride);
				}
				push(&m.c);
			}
			end_unit();
			n = want.n - before;
			/* Full chunks, and one that is not when the rows do not come out even. */
			assert_int_equal(bed.out.chunks % 1000, (n + 255) / 256);
			assert_int_equal(bed.out.chunks / 1000, n % 256 != 0);
			bed.out.chunks = 0;
		}
		assert_int_equal(bed.out.ended, 2);
		assert_int_equal(bed.out.n, want.n);
		assert_memory_equal(bed.out.rec, want.rec, (size_t)want.n * bed.table->stride);
		assert_memory_equal(bed.out.lens, want.lens, want.n);
		for (uint32_t i = 0; i < want.n; i++) {
			assert_int_equal(bed.out.meta[i].src, want.meta[i].src);
			assert_int_equal(bed.out.meta[i].bus, want.meta[i].bus);
			assert_int_equal(bed.out.meta[i].device, want.meta[i].device);
		}
		assert_true(shares[s] == 0 ? want.n == 0 : shares[s] < 100 || want.n > 4600);
		rows_fini(&want);
		bed_close();
	}
}

static int add_two(const struct canp_plugin_message *m, struct canp_plugin_want *want)
{
	static char name[16] = "sum";

	(void)m;
	want->nr_extra = 2;
	want->extra[0].name = name;
	want->extra[0].unit = "W";
	want->extra[1].name = "rest";
	want->nr_columns = 1;
	want->columns[0] = 1;
	return 0;
}

/* The first column counts the rows, every third is null; of the second the first half is
 * forgotten. */
static int fill_two(struct canp_batch *b)
{
	for (uint32_t i = 0; i < b->nr_rows; i++) {
		double ts = (double)b->ts_ns[i];

		b->extra[0][i] = i % 3 ? ts * 0.5 : (double)NAN;
		if (i >= b->nr_rows / 2)
			b->extra[1][i] = i & 1 ? (double)INFINITY : -0.0;
		if (i % 5 == 4)
			canp_batch_drop(b, i);
	}
	return 0;
}

static void added_columns_are_values_or_null_in_every_record_class(void **state)
{
	static const char *const messages[] = {"Classic", "Fd", "J"};
	static struct made m;

	(void)state;
	fake.message = add_two;
	fake.batch = fill_two;
	for (unsigned k = 0; k < 3; k++) {
		const struct canp_table *t;
		uint32_t row = 0;
		uint64_t bits;
		double d;

		bed_open(messages[k], &(struct canp_plugin_spec){.plugin = &fake_plugin}, 1);
		t = bed.table;
		assert_string_equal(col(t, "sum")->plugin, "fake");
		assert_string_equal(col(t, "sum")->unit, "W");
		assert_int_equal(col(t, "sum")->type, CANP_COL_F64);
		assert_false(col(t, "sum")->hidden);
		assert_int_equal(t->stride, canp_table_frame_stride(t) + 32);
		make_chunk(&m, 200, true);
		push(&m.c);
		end_unit();
		for (uint32_t i = 0; i < 200; i++) {
			const uint8_t *rec = bed.out.rec + (size_t)row * t->stride;
			unsigned len = bed.out.lens[row];

			if (i % 5 == 4)
				continue;
			assert_memory_equal(rec, m.rec + i * canp_table_frame_stride(t),
					    canp_table_frame_stride(t));
			assert_int_equal(canp_plan_extract(t, idx(t, "sum"), rec + t->payload_off,
							   len, &bits),
					 i % 3 != 0);
			memcpy(&d, &bits, sizeof(d));
			if (i % 3)
				assert_true(d == (double)canp_le64(rec) * 0.5);
			assert_int_equal(canp_plan_extract(t, idx(t, "rest"), rec + t->payload_off,
							   len, &bits),
					 i >= 100);
			memcpy(&d, &bits, sizeof(d));
			if (i >= 100)
				assert_true(i & 1 ? isinf(d) : d == 0 && signbit(d));
			row++;
		}
		assert_int_equal(bed.out.n, row);
		bed_close();
	}
}

static int fail_sometimes(struct canp_batch *b)
{
	b->extra[0][0] = b->extra[1][0] = 7;
	canp_batch_drop(b, 1);
	return fake.calls % 3 ? 0 : -EIO;
}

static int fail_always(struct canp_batch *b)
{
	memset(b->keep, 0, sizeof(b->keep));
	return -EIO;
}

static void an_error_keeps_the_rows_and_fifty_in_a_row_end_the_plugin(void **state)
{
	struct canp_plugin_sum sum;
	static struct made m;
	uint64_t raw;

	(void)state;
	fake.message = add_two;
	fake.batch = fail_sometimes;
	bed_open("Classic", &(struct canp_plugin_spec){.plugin = &fake_plugin}, 1);
	for (unsigned i = 1; i <= 30; i++) {
		uint32_t before;

		make_chunk(&m, 10, false);
		push(&m.c);
		before = bed.out.n;
		end_unit();
		assert_int_equal(bed.out.n - before, i % 3 ? 9 : 10);
		assert_int_equal(canp_plan_extract(bed.table, idx(bed.table, "sum"),
						   bed.out.rec + before * bed.table->stride +
							   bed.table->payload_off,
						   8, &raw),
				 i % 3 != 0);
	}
	canp_plugin_shard_fini(bed.sh);
	canp_plugins_sum(bed.ps, 0, &sum);
	assert_int_equal(sum.batches, 30);
	assert_int_equal(sum.rows_seen, 300);
	assert_int_equal(sum.rows_dropped, 20);
	assert_int_equal(sum.errors, 10);
	assert_false(sum.out);
	bed_close();

	fake.batch = fail_always;
	bed_open("Classic", &(struct canp_plugin_spec){.plugin = &fake_plugin}, 1);
	for (unsigned i = 1; i <= 70; i++) {
		make_chunk(&m, 10, false);
		push(&m.c);
		assert_int_equal(fake.calls, canp_min(i, CANP_PLUGIN_ERRORS_MAX));
	}
	end_unit();
	assert_int_equal(bed.out.n, 700);
	canp_plugins_sum(bed.ps, 0, &sum);
	assert_true(sum.out);
	bed_close();
}

static int seen_mask(struct canp_batch *b)
{
	for (unsigned i = 0; i < b->nr_rows; i++) {
		if (fake.calls % 2)
			assert_true(canp_batch_kept(b, i)); /* first: sees all */
		else
			assert_int_equal(canp_batch_kept(b, i), i % 2 == 0);
		if (fake.calls % 2 ? i % 2 == 1 : i < 10)
			canp_batch_drop(b, i);
	}
	return 0;
}

static void a_later_plugin_sees_what_an_earlier_one_kept(void **state)
{
	const struct canp_plugin_spec twice[] = {{.plugin = &fake_plugin},
						 {.plugin = &fake_plugin}};
	static struct made m;

	(void)state;
	fake.message = NULL;
	fake.batch = seen_mask;
	bed_open("J", twice, 2);
	assert_string_equal(canp_plugins_name(bed.ps, 0), "fake");
	assert_string_equal(canp_plugins_name(bed.ps, 1), "fake-2");
	make_chunk(&m, 100, false);
	push(&m.c);
	end_unit();
	assert_int_equal(bed.out.n, 45);
	assert_int_equal(canp_le64(bed.out.rec), canp_le64(m.rec + 10 * bed.table->stride));
	bed_close();
}

static int want_fd(const struct canp_plugin_message *m, struct canp_plugin_want *want)
{
	want->batches = !strcmp(m->name, "Fd");
	return 0;
}

static void messages_nobody_wants_pass_as_they_came(void **state)
{
	static struct made m;

	(void)state;
	fake.message = want_fd;
	fake.batch = fail_always;
	bed_open("Classic", &(struct canp_plugin_spec){.plugin = &fake_plugin}, 1);
	assert_false(canp_plugins_want(bed.ps, bed.slot));
	for (unsigned i = 0; i < 5; i++) {
		make_chunk(&m, 7, true);
		push(&m.c);
	}
	assert_int_equal(bed.out.n, 35);
	assert_int_equal(fake.calls, 0);
	assert_int_equal(canp_plugin_pack_held(bed.sh, bed.slot), 0);
	bed_close();
}

static int bad_want;

static int want_bad(const struct canp_plugin_message *m, struct canp_plugin_want *want)
{
	static const char *const names[] = {"neg", "TS", "9x", "a b", "", NULL};

	switch (bad_want) {
	case 0 ... 5:
		want->nr_extra = 1;
		want->extra[0].name = names[bad_want];
		return 0;
	case 6:
		want->nr_extra = 2;
		want->extra[0].name = want->extra[1].name = "same";
		return 0;
	case 7:
		want->nr_extra = CANP_PLUGIN_EXTRA_MAX + 1;
		return 0;
	case 8:
		want->nr_columns = 1;
		want->columns[0] = m->nr_signals;
		return 0;
	default:
		return -ENOENT;
	}
}

/* Must be refused with these words, and everything opened be closed. */
static void refused(const struct canp_plugin_spec *specs, unsigned nr, const char *words)
{
	struct canp_plan *plan = plan_one(none, DBC);
	struct canp_strbuf err = CANP_STRBUF_INIT;
	struct canp_plugins *ps = NULL;

	assert_true(canp_plugins_create(specs, nr, plan, &err, note, NULL, &ps) < 0);
	assert_null(ps);
	if (!err.buf || !strstr(err.buf, words))
		fail_msg("'%s' does not say '%s'", err.buf ? err.buf : "", words);
	canp_strbuf_fini(&err);
	canp_plan_destroy(plan);
}

static void what_cannot_be_is_refused_by_name(void **state)
{
	static const char *const words[] = {
		"has a column neg already",
		"has a column TS already",
		"'9x' is no name",
		"'a b' is no name",
		"'' is no name",
		"'' is no name",
		"has a column same already",
		"adds 9 (at most 8)",
		"asks for signal 6 of 6",
		"message Classic: a signal it needs is not there",
	};
	struct canp_plugin p = fake_plugin;
	struct canp_plugin_spec spec = {.plugin = &p}, many[3] = {spec, spec, spec};

	(void)state;
	fake.message = want_bad;
	fake.life[0] = '\0';
	for (bad_want = 0; bad_want < 10; bad_want++) {
		refused(&spec, 1, words[bad_want]);
		assert_string_equal(fake.life, "open close ");
		fake.life[0] = '\0';
	}
	/* Two plugins, one name of a column. */
	fake.message = add_two;
	refused(many, 2, "plugin fake-2: message Classic has a column sum already");
	fake.life[0] = '\0';
	refused(&(struct canp_plugin_spec){.plugin = &p, .arg = "refuse"}, 1,
		"plugin fake: the argument is not to be refuse");
	assert_string_equal(fake.life, "open ");
	fake.life[0] = '\0';
	p.abi = 77;
	refused(&spec, 1, "made for plugin ABI 77, this program has 1");
	p = fake_plugin;
	p.name = "Fake";
	refused(&spec, 1, "its name is not one of");
	p.name = NULL;
	refused(&spec, 1, "its name is not one of");
	p = fake_plugin;
	p.batch = NULL;
	refused(&spec, 1, "it has no batch()");
	assert_string_equal(fake.life, "");
	refused(&(struct canp_plugin_spec){.file = "/no/such/plugin.so"}, 1, "cannot load");
}

static void columns_of_plugins_change_the_schema_and_only_theirs(void **state)
{
	struct canp_plan *plain = plan_one(none, DBC), *other = plan_one(none, DBC);
	const struct canp_plan_extra e = {"more", "kW", "x"};
	struct canp_strbuf err = CANP_STRBUF_INIT;

	(void)state;
	assert_true(plain->schema_hash == other->schema_hash);
	assert_int_equal(canp_plan_widen(other, CANP_SLOT_FIRST_TABLE, &e, 1, &err), 0);
	assert_true(plain->schema_hash != other->schema_hash);
	assert_int_equal(other->tables[0].nr_cols, plain->tables[0].nr_cols + 2);
	assert_int_equal(other->tables[1].stride, plain->tables[1].stride);
	assert_int_equal(canp_plan_widen(other, CANP_SLOT_FIRST_TABLE, &e, 1, &err), -EINVAL);
	canp_plan_destroy(plain);
	canp_plan_destroy(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_batch_shows_the_rows_and_signals_of_its_chunk),
		cmocka_unit_test(kept_rows_are_packed_in_order_with_their_origins),
		cmocka_unit_test(added_columns_are_values_or_null_in_every_record_class),
		cmocka_unit_test(an_error_keeps_the_rows_and_fifty_in_a_row_end_the_plugin),
		cmocka_unit_test(a_later_plugin_sees_what_an_earlier_one_kept),
		cmocka_unit_test(messages_nobody_wants_pass_as_they_came),
		cmocka_unit_test(what_cannot_be_is_refused_by_name),
		cmocka_unit_test(columns_of_plugins_change_the_schema_and_only_theirs),
	};

	canp_simd_init(CANP_ISA_AUTO, NULL);
	return cmocka_run_group_tests(tests, setup, teardown);
}
