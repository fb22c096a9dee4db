/*
 * t_tune.c - the decision of `canp-appliance tune`: a table of machines and what is proposed for
 * each, and what must hold for any numbers at all. The decision is a part of a program, not of a
 * library, so its source is included.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>

#include "io/ingest_cfg.h"
#include "core/runtime/runtime_cfg.h"
#include "tools/appliance_tune_decide.c"

#define M (1024.0 * 1024.0)
#define G (1024ull * 1024 * 1024)

static const struct canp_tune_current defaults = {
	.depth = 4,
	.slice = 1 << 20,
	.prefetch = 4,
	.write_depth = 8,
	.mem_per_core = 256 << 20,
	.writer_mem = 1 << 30,
	.inflate = "auto",
	.hugepages = "auto",
};

/* A machine whose numbers leave nothing to propose. */
static const struct canp_tune_facts plain = {
	.cpus = 8,
	.allowed = 8,
	.cores = 8,
	.nodes = 1,
	.page_bytes = 4096,
	.mem_total = 64 * G,
	.room = 60 * G,
	.total_2m = 2048,
	.free_2m = 2048,
	.thp = "madvise",
	.memlock = UINT64_MAX,
	.nofile = 65536,
	.uring = true,
	.registered = true,
	.files = 200,
	.bytes = 200 * 15 * (1ull << 20),
	.input_node = -1,
	.direct = true,
	.reads = {{4, 1 << 20, 2000 * M},
		  {16, 1 << 20, 2040 * M},
		  {16, 256 << 10, 2050 * M},
		  {8, 4 << 20, 2030 * M}},
	.nr_reads = 4,
	.writes = {{8, 1000 * M}, {16, 1010 * M}, {32, 1020 * M}},
	.nr_writes = 3,
	.inflate_interleaved = 500 * M,
	.inflate_isal = 200 * M,
};

static unsigned changes(const struct canp_tune_plan *p)
{
	unsigned n = 0;

	for (unsigned k = 0; k < CANP_TUNE_NR; k++) {
		const struct canp_tune_value *v = &p->v[k];

		assert_string_equal(v->key, canp_tune_key_name((enum canp_tune_key)k));
		assert_true(*v->reason);
		assert_int_equal(v->change, strcmp(v->was, v->now) != 0);
		n += v->change;
	}
	return n;
}

static const char *now(const struct canp_tune_plan *p, enum canp_tune_key k)
{
	return p->v[k].now;
}

static void a_machine_that_is_well_keeps_everything(void **state)
{
	struct canp_tune_plan p;

	(void)state;
	canp_tune_decide(&plain, &defaults, &p);
	assert_int_equal(changes(&p), 0);
	assert_int_equal(p.nr_advice, 0);
}

/* One fact or setting differs from the plain machine; what is proposed, and the values. */
struct tune_case {
	const char *name;
	struct canp_tune_facts f;
	struct canp_tune_current c;
	struct {
		enum canp_tune_key key;
		const char *value;
	} want[4];
	unsigned nr, advice;
};

#define CASES 13u
#define WITH_READS(a, b, c, d)                                                                     \
	{                                                                                          \
		{4, 1 << 20, (a)*M}, {16, 1 << 20, (b)*M}, {16, 256 << 10, (c)*M},                 \
		{                                                                                  \
			8, 4 << 20, (d)*M                                                          \
		}                                                                                  \
	}

static void make_cases(struct tune_case *c)
{
	for (unsigned i = 0; i < CASES; i++)
		c[i] = (struct tune_case){.f = plain, .c = defaults};
	c[0].name = "deeper reads are faster and reading limits";
	memcpy(c[0].f.reads, (struct canp_tune_read[])WITH_READS(1400, 2400, 1500, 2450),
	       4 * sizeof(struct canp_tune_read));
	c[0].want[0].key = CANP_TUNE_DEPTH, c[0].want[0].value = "16", c[0].nr = 1;
	c[1].name = "fewer bytes in flight win among equals";
	memcpy(c[1].f.reads, (struct canp_tune_read[])WITH_READS(1000, 2400, 2380, 2450),
	       4 * sizeof(struct canp_tune_read));
	c[1].want[0].key = CANP_TUNE_DEPTH, c[1].want[0].value = "16";
	c[1].want[1].key = CANP_TUNE_SLICE, c[1].want[1].value = "256k", c[1].nr = 2;
	c[2].name = "faster reads that nobody needs are left";
	memcpy(c[2].f.reads, (struct canp_tune_read[])WITH_READS(3000, 9000, 9000, 9000),
	       4 * sizeof(struct canp_tune_read));
	c[3].name = "inputs so slow that cores would wait";
	memcpy(c[3].f.reads, (struct canp_tune_read[])WITH_READS(120, 121, 119, 118),
	       4 * sizeof(struct canp_tune_read));
	c[3].want[0].key = CANP_TUNE_CORES, c[3].want[0].value = "1", c[3].nr = 1;
	c[4].name = "more shards than CPUs";
	c[4].c.cores = 12;
	c[4].want[0].key = CANP_TUNE_CORES, c[4].want[0].value = "0", c[4].nr = 1;
	c[5].name = "ISA-L clearly faster";
	c[5].f.inflate_interleaved = 180 * M;
	c[5].want[0].key = CANP_TUNE_INFLATE, c[5].want[0].value = "isal", c[5].nr = 1;
	c[6].name = "small memory";
	c[6].f.room = 2 * G;
	c[6].want[0].key = CANP_TUNE_MEM_PER_CORE, c[6].want[0].value = "160m";
	c[6].want[1].key = CANP_TUNE_WRITER_MEM, c[6].want[1].value = "256m", c[6].nr = 2;
	c[7].name = "hardly any memory";
	c[7].f.room = 500ull << 20;
	c[7].want[0].key = CANP_TUNE_CORES, c[7].want[0].value = "5";
	c[7].want[1].key = CANP_TUNE_MEM_PER_CORE, c[7].want[1].value = "64m";
	c[7].want[2].key = CANP_TUNE_WRITER_MEM, c[7].want[2].value = "64m", c[7].nr = 3;
	c[8].name = "small files";
	c[8].f.files = 10000, c[8].f.bytes = 10000 * (500ull << 10);
	c[8].want[0].key = CANP_TUNE_PREFETCH, c[8].want[0].value = "9", c[8].nr = 1;
	c[9].name = "a slow output";
	c[9].f.writes[0].bps = 300 * M;
	c[9].want[0].key = CANP_TUNE_WRITE_DEPTH, c[9].want[0].value = "16", c[9].nr = 1;
	c[10].name = "reserved pages that are not used, and a quota";
	c[10].c.hugepages = "off";
	c[10].f.quota = 4, c[10].f.cores = 4;
	c[10].want[0].key = CANP_TUNE_HUGEPAGES, c[10].want[0].value = "auto";
	c[10].nr = 1, c[10].advice = 1;
	c[11].name = "nothing reserved, memlock, page cache";
	c[11].f.free_2m = c[11].f.total_2m = 0;
	c[11].f.registered = c[11].f.direct = false;
	c[11].advice = 3;
	c[12].name = "two nodes, the device beside one of them, and cores to choose";
	c[12].f.nodes = 2, c[12].f.input_node = 1, c[12].c.cores = 4;
	c[12].advice = 1;
}

static void each_machine_gets_its_profile(void **state)
{
	struct tune_case *c = calloc(CASES, sizeof(*c));
	struct canp_tune_plan p;

	(void)state;
	assert_non_null(c);
	make_cases(c);
	for (unsigned i = 0; i < CASES; i++) {
		canp_tune_decide(&c[i].f, &c[i].c, &p);
		if (changes(&p) != c[i].nr || p.nr_advice != c[i].advice)
			for (unsigned k = 0; k < CANP_TUNE_NR; k++)
				print_message("%s: %s %s -> %s: %s\n", c[i].name, p.v[k].key,
					      p.v[k].was, p.v[k].now, p.v[k].reason);
		assert_int_equal(changes(&p), c[i].nr);
		assert_int_equal(p.nr_advice, c[i].advice);
		for (unsigned w = 0; w < c[i].nr; w++)
			assert_string_equal(now(&p, c[i].want[w].key), c[i].want[w].value);
	}
	free(c);
}

static void what_is_given_by_name_stays(void **state)
{
	struct tune_case *c = calloc(CASES, sizeof(*c));
	struct canp_tune_plan p;

	(void)state;
	assert_non_null(c);
	make_cases(c);
	for (unsigned i = 0; i < CASES; i++) {
		memset(c[i].c.fixed, 1, sizeof(c[i].c.fixed));
		canp_tune_decide(&c[i].f, &c[i].c, &p);
		assert_int_equal(changes(&p), 0);
	}
	/* Only the depth is given: among ways to read with it. */
	c[1].c.fixed[CANP_TUNE_CORES] = false;
	c[1].c.fixed[CANP_TUNE_SLICE] = false;
	canp_tune_decide(&c[1].f, &c[1].c, &p);
	assert_false(p.v[CANP_TUNE_DEPTH].change);
	assert_false(p.v[CANP_TUNE_SLICE].change);
	free(c);
}

static void reads_that_grow_get_their_memory(void **state)
{
	struct canp_tune_facts f = plain;
	struct canp_tune_plan p;

	(void)state;
	f.reads[0].bps = 1000 * M;
	f.reads[3] = (struct canp_tune_read){32, 4 << 20, 2400 * M};
	canp_tune_decide(&f, &defaults, &p);
	assert_string_equal(now(&p, CANP_TUNE_DEPTH), "32");
	assert_string_equal(now(&p, CANP_TUNE_SLICE), "4m");
	assert_string_equal(now(&p, CANP_TUNE_MEM_PER_CORE), "1g");
	/* Too much for a small machine: another way, or none. */
	f.room = 3 * G;
	canp_tune_decide(&f, &defaults, &p);
	assert_false(p.v[CANP_TUNE_SLICE].change);
}

/* Where a way with few bytes in flight feeds the cores, a faster one with more is not taken. */
static void reads_are_as_deep_as_needed(void **state)
{
	struct canp_tune_facts f = plain;
	struct canp_tune_plan p;

	(void)state;
	memcpy(f.reads, (struct canp_tune_read[])WITH_READS(1500, 2600, 1200, 9000),
	       4 * sizeof(struct canp_tune_read));
	canp_tune_decide(&f, &defaults, &p);
	assert_string_equal(now(&p, CANP_TUNE_DEPTH), "16");
	assert_string_equal(now(&p, CANP_TUNE_SLICE), "1m");
}

/* Whatever was measured, each proposal is a value that its option takes. */
static void every_proposal_is_accepted_by_its_option(void **state)
{
	static const uint64_t rooms[] = {0, 1, 100ull << 20, 1ull << 30, 7 * G, 600 * G};
	static const double speeds[] = {0, 1, 50 * M, 900 * M, 40000 * M};
	uint32_t rng = 7;

	(void)state;
	for (unsigned n = 0; n < 4000; n++) {
		struct canp_ingest_cfg in;
		struct canp_runtime_cfg rt;
		struct canp_opt_bind binds[] = {{&canp_ingest_opt_table, &in},
						{&canp_runtime_opt_table, &rt}};
		struct canp_tune_facts f = plain;
		struct canp_tune_current c = defaults;
		struct canp_tune_plan p, again;
		struct canp_opts *o;
#define RND(k) ((rng = rng * 1664525u + 1013904223u) >> 16) % (k)
		f.cores = f.allowed = RND(300);
		f.room = rooms[RND(6)];
		f.free_2m = RND(5000);
		f.free_1g = RND(40);
		f.files = RND(3) * 1000;
		f.bytes = RND(60000) * 100000ull;
		f.nr_reads = RND(5);
		f.nr_writes = RND(4);
		for (unsigned i = 0; i < 4; i++) {
			f.reads[i].bps = speeds[RND(5)];
			f.writes[i].bps = speeds[RND(5)];
		}
		f.inflate_isal = speeds[RND(5)];
		f.inflate_interleaved = speeds[RND(5)];
		c.cores = RND(3) ? 0 : RND(256);
		c.depth = 1 + RND(64);
		c.slice = 128u << 10 << RND(7);
		c.mem_per_core = (64ull << 20) << RND(8);
		c.writer_mem = (64ull << 20) << RND(8);
		canp_tune_decide(&f, &c, &p);
		canp_tune_decide(&f, &c, &again);
		assert_memory_equal(&p, &again, sizeof(p));
		changes(&p);
		if (n % 20)
			continue;
		assert_int_equal(canp_opts_create(binds, 2, &o), 0);
		for (unsigned k = 0; k < CANP_TUNE_NR; k++)
			if (canp_opts_set(o, p.v[k].key, p.v[k].now, CANP_OPT_CLI, NULL))
				fail_msg("%s", canp_opts_error(o));
		canp_opts_destroy(o);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_machine_that_is_well_keeps_everything),
		cmocka_unit_test(each_machine_gets_its_profile),
		cmocka_unit_test(what_is_given_by_name_stays),
		cmocka_unit_test(reads_that_grow_get_their_memory),
		cmocka_unit_test(reads_are_as_deep_as_needed),
		cmocka_unit_test(every_proposal_is_accepted_by_its_option),
	};

	return cmocka_run_group_tests_name("tune", tests, NULL, NULL);
}
