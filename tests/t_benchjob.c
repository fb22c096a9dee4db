/*
 * t_benchjob.c - job files of canp-bench: the grammar (sections, globals, includes, words), what
 * keys mean, what wrong files are told, and that no bytes harm the reader.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/base/compiler.h"
#include "core/base/units.h"
#include "tools/benchjob.h"
#include "tools/benchjob_mem.h"

static const char *test_env(const char *name)
{
	return !strcmp(name, "DATA") ? "/data" : !strcmp(name, "EMPTY") ? "" : NULL;
}

static const struct canp_benchjob_vars vars = {
	.ncpus = 4, .pagesize = 4096, .mb_memory = 1000, .env = test_env};

struct parsed {
	struct canp_benchjob_file f;
	struct canp_strbuf err;
	int rc;
};

static void parse(struct parsed *p, const char *text)
{
	*p = (struct parsed){0};
	p->rc = canp_benchjob_parse(&p->f, text, strlen(text), "x.job", &vars, &p->err);
}

static void parsed_end(struct parsed *p)
{
	canp_benchjob_fini(&p->f);
	canp_strbuf_fini(&p->err);
}

/* The value that counts: the last one. */
static const char *value(const struct canp_benchjob_section *s, const char *key)
{
	for (unsigned i = s->nr; i-- > 0;)
		if (!strcmp(s->pairs[i].key, key))
			return s->pairs[i].value ? s->pairs[i].value : "(alone)";
	return "(none)";
}

/* ---- the grammar ----------------------------------------------------------------------------- */

static void sections_take_the_globals_before_them_and_their_own_win(void **state)
{
	struct parsed p;

	(void)state;
	parse(&p, "; comment\n[global]\nbs=4k\niodepth=2\n\n[a]\nbs=1m\n[global]\niodepth=8\n"
		  "[b]\ntime_based\n  size = 10m   # rest\n");
	assert_int_equal(p.rc, 0);
	assert_int_equal(p.f.nr, 2);
	assert_string_equal(p.f.sections[0].name, "a");
	assert_string_equal(value(&p.f.sections[0], "bs"), "1m");
	assert_string_equal(value(&p.f.sections[0], "iodepth"), "2");
	assert_string_equal(value(&p.f.sections[1], "bs"), "4k");
	assert_string_equal(value(&p.f.sections[1], "iodepth"), "8");
	assert_string_equal(value(&p.f.sections[1], "time-based"), "(alone)");
	assert_string_equal(value(&p.f.sections[1], "size"), "10m");
	assert_string_equal(p.f.sections[1].where, "x.job:10");
	parsed_end(&p);
}

static void values_keep_signs_of_comments_inside_words(void **state)
{
	struct parsed p;

	(void)state;
	parse(&p, "[a]\nfilename=/d/a#1;2\ndescription=x y ; gone\nargs=--a=b\r\n");
	assert_string_equal(value(&p.f.sections[0], "filename"), "/d/a#1;2");
	assert_string_equal(value(&p.f.sections[0], "description"), "x y");
	assert_string_equal(value(&p.f.sections[0], "args"), "--a=b");
	parsed_end(&p);
}

static void words_stand_for_the_machine_and_the_environment(void **state)
{
	static const struct {
		const char *text, *want;
	} c[] = {
		{"${DATA}/log", "/data/log"},
		{"$ncpus", "4"},
		{"$ncpus*2", "8"},
		{"2*$ncpus+1", "9"},
		{"$mb_memory/4-50m", "200m"},
		{"$pagesize*2", "8192"},
		{"0-$ncpus", "0-4"},
		{"${EMPTY}x", "x"},
		{"$other", "$other"},
		{"$mb_memory/0", "1000/0"},
		{"99999999999999999999*$ncpus", "99999999999999999999*4"},
	};
	struct parsed p;
	char text[200];

	(void)state;
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(c); i++) {
		snprintf(text, sizeof(text), "[a]\nk=%s\n", c[i].text);
		parse(&p, text);
		assert_int_equal(p.rc, 0);
		assert_string_equal(value(&p.f.sections[0], "k"), c[i].want);
		parsed_end(&p);
	}
}

static void write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void includes_stand_where_they_are_named(void **state)
{
	char dir[] = "/tmp/t_benchjob.XXXXXX", path[64], other[64], sub[64];
	struct canp_strbuf err = CANP_STRBUF_INIT;
	struct canp_benchjob_file f = {0};

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/a.job", dir);
	snprintf(sub, sizeof(sub), "%s/sub", dir);
	snprintf(other, sizeof(other), "%s/sub/b.job", dir);
	mkdir(sub, 0755);
	write_text(path, "[global]\nbs=1k\ninclude sub/b.job\n[one]\ninclude=sub/b.job\n");
	write_text(other, "iodepth=7\n");
	assert_int_equal(canp_benchjob_read(&f, path, &vars, &err), 0);
	assert_int_equal(f.nr, 1);
	assert_int_equal(f.sections[0].nr, 3);
	assert_string_equal(value(&f.sections[0], "iodepth"), "7");
	assert_non_null(strstr(f.sections[0].pairs[2].where, "b.job:1"));
	canp_benchjob_fini(&f);
	/* A file that includes itself ends with an error, not with the stack. */
	write_text(other, "[x]\ninclude b.job\n");
	assert_int_equal(canp_benchjob_read(&f, other, &vars, &err), -EINVAL);
	assert_non_null(strstr(err.buf, "does a file include itself?"));
	canp_benchjob_fini(&f);
	canp_strbuf_fini(&err);
	unlink(path);
	unlink(other);
	rmdir(sub);
	rmdir(dir);
}

/* Wrong text, what is said of it. */
static void wrong_grammar_is_told_with_file_and_line(void **state)
{
	static const struct {
		const char *text, *says;
	} c[] = {
		{"bs=4k\n", "x.job:1: 'bs' stands before the first [section]"},
		{"[a\nbs=4k\n", "x.job:1: '[a' has no ']'"},
		{"[a] b\n", "x.job:1: 'b' after the name of the section"},
		{"[]\n", "x.job:1: a section needs a name"},
		{"[a]\n=5\n", "x.job:2: '=' without a key before it"},
		{"[a]\nread fast\n", "x.job:2: 'read fast' is no key; lines are KEY=VALUE, KEY or "
				     "[SECTION]"},
		{"[a]\n\nfilename=${NOWHERE}/x\n",
		 "x.job:3: ${NOWHERE} is not set in the environment"},
		{"[a]\nfilename=${DATA\n", "x.job:2: '${' without '}'"},
		{"[a]\nfilename=${}\n", "x.job:2: '${}' is no name of the environment"},
		{"[a]\ninclude nowhere.job\n",
		 "x.job:2: include of 'nowhere.job': No such file or directory"},
		{"[a]\ninclude=\n", "x.job:2: include needs the name of a file"},
	};
	struct parsed p;

	(void)state;
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(c); i++) {
		parse(&p, c[i].text);
		assert_int_equal(p.rc, -EINVAL);
		if (strncmp(p.err.buf, c[i].says, strcspn(c[i].says, "(")))
			fail_msg("have '%s', want '%s'", p.err.buf, c[i].says);
		parsed_end(&p);
	}
}

static void limits_hold(void **state)
{
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	struct parsed p;

	(void)state;
	for (unsigned i = 0; i <= CANP_BENCHJOB_SECTIONS_MAX; i++)
		canp_strbuf_puts(&sb, "[a]\n");
	parse(&p, sb.buf);
	assert_int_equal(p.rc, -EINVAL);
	assert_non_null(strstr(p.err.buf, "x.job:257: more than 256 sections"));
	parsed_end(&p);
	canp_strbuf_reset(&sb);
	canp_strbuf_puts(&sb, "[a]\n");
	for (unsigned i = 0; i <= CANP_BENCHJOB_PAIRS_MAX; i++)
		canp_strbuf_puts(&sb, "k=v\n");
	parse(&p, sb.buf);
	assert_int_equal(p.rc, -EINVAL);
	parsed_end(&p);
	canp_strbuf_reset(&sb);
	canp_strbuf_puts(&sb, "[a]\nk=");
	for (unsigned i = 0; i <= CANP_BENCHJOB_LINE_MAX; i++)
		canp_strbuf_putc(&sb, 'x');
	parse(&p, sb.buf);
	assert_int_equal(p.rc, -EINVAL);
	assert_non_null(strstr(p.err.buf, "x.job:2: the line is longer"));
	parsed_end(&p);
	canp_strbuf_fini(&sb);
}

/* Bytes of a job file, changed, cut and put together at random: whatever comes out, the reader ends
 * and what it made can be freed. Sanitizer builds see the rest. */
static void any_bytes_can_be_read(void **state)
{
	static const char seed[] = "[global]\nbs=$ncpus*2m\n[a]\nrw=read\nfilename=${DATA}/x\n"
				   "include nowhere\n[b]\nstonewall\nsize=1m ; x\n";
	uint64_t x = 1;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		struct canp_strbuf err = CANP_STRBUF_INIT;
		struct canp_benchjob_file f = {0};
		char text[sizeof(seed)];
		size_t len;

		memcpy(text, seed, sizeof(seed));
		for (unsigned k = 0; k < 1 + i % 8; k++) {
			x = x * 6364136223846793005u + 1442695040888963407u;
			text[(x >> 33) % (sizeof(seed) - 1)] = (char)(x >> 20);
			if (x >> 60 == 0)
				memmove(text, text + 9, sizeof(text) - 9);
		}
		len = (x >> 40) % sizeof(seed);
		canp_benchjob_parse(&f, text, len, "x", &vars, &err);
		for (unsigned s = 0; s < f.nr; s++)
			assert_non_null(f.sections[s].name);
		canp_benchjob_fini(&f);
		canp_strbuf_fini(&err);
	}
}

/* ---- keys ------------------------------------------------------------------------------------ */

static int open_text(struct canp_benchjob *j, struct parsed *p, const char *text)
{
	parse(p, text);
	assert_int_equal(p->rc, 0);
	return canp_benchjob_open(j, &p->f.sections[0], NULL, &p->err);
}

static void a_job_file_of_fio_means_the_same(void **state)
{
	struct canp_benchjob j;
	struct parsed p;

	(void)state;
	assert_int_equal(open_text(&j, &p,
				   "[global]\nioengine=io_uring\ndirect=1\nbs=1M\nrw=read\n"
				   "group_reporting\nthread\n[seq]\nfilename=/dev/null\n"
				   "size=256m\niodepth=16\ntime_based=1\nruntime=10\n"
				   "ramp_time=500ms\nnumjobs=2\nrate=100m\nstartdelay=1\n"),
			 0);
	assert_int_equal(j.cfg.rw, CANP_CFG_RW_READ);
	assert_int_equal(j.cfg.bs, 1 << 20);
	assert_int_equal(j.cfg.iodepth, 16);
	assert_int_equal(j.cfg.ioengine, CANP_CFG_ENGINE_URING);
	assert_true(j.cfg.direct && j.cfg.time_based && j.cfg.group_reporting && j.cfg.thread);
	/* A number alone is seconds. */
	assert_int_equal(j.cfg.runtime, 10 * CANP_NS_PER_S);
	assert_int_equal(j.cfg.ramp_time, 500 * CANP_NS_PER_MS);
	assert_int_equal(j.cfg.startdelay, CANP_NS_PER_S);
	assert_int_equal(j.log.size, 256 << 20);
	assert_int_equal(j.cfg.rate, 100 << 20);
	canp_benchjob_close(&j);
	parsed_end(&p);
}

static void keys_of_fio_set_what_a_job_of_stages_has(void **state)
{
	struct canp_benchjob j;
	struct parsed p;

	(void)state;
	assert_int_equal(open_text(&j, &p,
				   "[a]\nstages=inflate,crc,decode\nbs=256k\niodepth=8\n"
				   "ioengine=sync\ndirect=0\nnrfiles=3\nblock=128k\n"
				   "dataset_codec=store\noutput=csv\n"),
			 0);
	assert_int_equal(j.first, CANP_STAGE_INFLATE);
	assert_int_equal(j.last, CANP_STAGE_DECODE);
	assert_int_equal(j.cli.job.slice_bytes, 256 << 10);
	assert_int_equal(j.cli.job.depth, 8);
	assert_int_equal(j.cli.job.ring, CANP_RING_SYNC);
	assert_int_equal(j.cli.in.io, CANP_CFG_IO_BUFFERED);
	assert_int_equal(j.cfg.nrfiles, 3);
	assert_int_equal(j.log.member_bytes, 128 << 10);
	assert_int_equal(j.log.level, 0);
	assert_int_equal(j.cli.in.sink, CANP_CFG_SINK_CSV);
	canp_benchjob_close(&j);
	parsed_end(&p);
	assert_int_equal(open_text(&j, &p, "[a]\noutput=null\nmode=memory\n"), 0);
	assert_int_equal(j.last, CANP_STAGE_ENCODE);
	/* What a mode stands for. */
	assert_int_equal(j.cli.job.depth, 2);
	canp_benchjob_close(&j);
	parsed_end(&p);
}

static void the_command_line_beats_the_file(void **state)
{
	struct canp_benchjob_file over = {0};
	struct canp_benchjob j;
	struct parsed p;

	(void)state;
	parse(&p, "[a]\nrw=read\nfilename=x\nbs=4k\n");
	assert_int_equal(canp_benchjob_add(&over, "bs", "64k", "--bs", &vars, &p.err), 0);
	assert_int_equal(canp_benchjob_open(&j, &p.f.sections[0], &over.global, &p.err), 0);
	assert_int_equal(j.cfg.bs, 64 << 10);
	canp_benchjob_close(&j);
	canp_benchjob_fini(&over);
	parsed_end(&p);
}

static void wrong_keys_and_values_are_told_precisely(void **state)
{
	static const struct {
		const char *text, *says;
	} c[] = {
		{"bss=4k", "x.job:2: unknown option bss; did you mean bs?"},
		{"rw=reed", "x.job:2: rw: 'reed'"},
		{"rw=reed", "randwrite"},
		{"bs=4q", "x.job:2: bs: '4q' is not a whole number with an optional suffix"},
		{"numjobs=0", "x.job:2: numjobs: 0 is out of range; valid: 1..64"},
		{"runtime", "x.job:2: runtime needs a value: runtime=.."},
		{"runtime=10x", "x.job:2: runtime: '10x' is not"},
		{"time_based", "x.job:2: time_based needs runtime="},
		{"stages=read,crc", "x.job:2: stages: 'crc' does not follow 'read'"},
		{"stages=inflat", "x.job:2: stages: no stage is called 'inflat'"},
		{"rw=read", "x.job:2: rw= needs filename= or directory="},
		{"rw=read\nfilename=x\nstages=read", "x.job:4: rw= moves blocks of any files"},
		{"percentile_list=50:40", "percentile-list: 40 does not come after 50"},
		{"percentile_list=0", "'0' is not a number above 0"},
		{"steadystate=bw:5", "x.job:2: steadystate: 'bw:5' is not bw, bw_slope"},
		{"ioengine=null", "x.job:2: ioengine=null moves nothing, so stages must begin "
				  "behind read"},
		{"bs=1k\nstages=read", "x.job:2: slice: 1024 is out of range"},
		{"dataset=list", "x.job:2: dataset=list needs filename="},
		{"dataset=dir", "x.job:2: dataset=dir needs directory="},
		{"rate=1k", "x.job:2: rate of a job of stages is in whole MB/s"},
		{"rate=10m\nstages=decode", "x.job:2: rate slows the device down"},
		{"output=avro", "x.job:2: sink: 'avro'"},
		{"rw=read\nfilename=x\ndirect=1\nbs=1000",
		 "x.job:5: direct=1 needs bs in multiples of 512"},
		{"rw=read\nfilename=x\niomem=huge", "iomem: 'huge' is not malloc, mmap,"},
		{"rw=read\nfilename=x\niomem=huge", "(x.job:4)"},
		{"rw=read\nfilename=x\nmem=mmaphuge", "mmaphuge needs a file on a hugetlbfs"},
		{"rw=read\nfilename=x\niomem=shm:/x", "iomem: shm takes no file"},
		{"command=kernels\nrw=read", "x.job:2: command= runs a command of canp-bench"},
	};
	struct canp_benchjob j;
	struct parsed p;
	char text[300];

	(void)state;
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(c); i++) {
		snprintf(text, sizeof(text), "[a]\n%s\n", c[i].text);
		assert_int_equal(open_text(&j, &p, text), -EINVAL);
		if (!strstr(p.err.buf, c[i].says))
			fail_msg("%s: have '%s', want '%s'", c[i].text, p.err.buf, c[i].says);
		canp_benchjob_close(&j);
		parsed_end(&p);
	}
}

/* ---- memory of the blocks -------------------------------------------------------------------- */

static void every_kind_of_block_memory_can_be_used(void **state)
{
	static const char *const kinds[] = {"malloc", "mmap", "mmap:/tmp/canp-t-benchjob", "shm",
					    "thp"};
	const size_t bytes = (3u << 20) + 512;

	(void)state;
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(kinds); i++) {
		struct canp_strbuf err = CANP_STRBUF_INIT;
		struct canp_benchjob_mem m;
		enum canp_benchjob_iomem kind;
		const char *file;

		assert_int_equal(canp_benchjob_mem_parse(kinds[i], &kind, &file, &err), 0);
		assert_int_equal(canp_benchjob_mem_get(&m, kind, file, bytes, &err), 0);
		assert_int_equal((uintptr_t)m.p % 4096, 0);
		assert_int_equal(m.bytes, bytes);
		memset(m.p, (int)i, bytes);
		/* 769 pages, of which not one may be counted twice. */
		assert_in_range(canp_benchjob_mem_pieces(&m), 0, 769);
		if (geteuid() == 0 && !access("/proc/kpageflags", R_OK))
			assert_in_range(canp_benchjob_mem_pieces(&m), 1, 769);
		canp_benchjob_mem_put(&m);
		assert_null(m.base);
		canp_benchjob_mem_put(&m);
		canp_strbuf_fini(&err);
	}
	/* A file of memory has no name that would stay behind. */
	assert_int_equal(access("/tmp/canp-t-benchjob", F_OK), -1);
}

static void huge_pages_that_cannot_be_had_are_told(void **state)
{
	struct canp_strbuf err = CANP_STRBUF_INIT;
	struct canp_benchjob_mem m;

	(void)state;
	/* A terabyte of them is on no machine that runs this. */
	assert_true(canp_benchjob_mem_get(&m, CANP_BENCHJOB_IOMEM_SHMHUGE, NULL, 1ull << 40, &err) <
		    0);
	assert_non_null(strstr(err.buf, "524288 huge pages of 2 MiB are needed"));
	assert_non_null(strstr(err.buf, "iomem=thp"));
	canp_strbuf_fini(&err);
	canp_benchjob_mem_put(&m);
	assert_int_equal(
		canp_benchjob_mem_get(&m, CANP_BENCHJOB_IOMEM_MMAPHUGE, "/tmp/x", 4096, &err),
		-ENOTSUP);
	assert_non_null(strstr(err.buf, "/tmp/x is not on a hugetlbfs"));
	canp_strbuf_fini(&err);
}

static void every_row_is_a_key(void **state)
{
	struct canp_benchjob rows = {0};
	struct canp_opts *o = canp_benchjob_opts(&rows);
	static const char *const issue[] = {"stonewall",
					    "numjobs",
					    "loops",
					    "runtime",
					    "time-based",
					    "ramp-time",
					    "group-reporting",
					    "startdelay",
					    "rate",
					    "repeat",
					    "steadystate",
					    "percentile-list",
					    "write-bw-log",
					    "write-lat-log",
					    "stages",
					    "dataset",
					    "container",
					    "dataset-codec",
					    "level",
					    "block",
					    "ids",
					    "workload",
					    "corrupt",
					    "seed",
					    "ioengine",
					    "iodepth",
					    "bs",
					    "hugepages",
					    "cores",
					    "simd",
					    "inflate",
					    "output",
					    "codec",
					    "mode"};

	(void)state;
	assert_non_null(o);
	for (unsigned i = 0; i < CANP_ARRAY_SIZE(issue); i++)
		if (!canp_opts_find(o, canp_benchjob_key(issue[i])))
			fail_msg("no row for %s", issue[i]);
	canp_benchjob_close(&rows);
}

/* ---- numbers --------------------------------------------------------------------------------- */

static void percentiles_and_steady_states_are_read(void **state)
{
	struct canp_strbuf err = CANP_STRBUF_INIT;
	double v[CANP_BENCHJOB_PERCENTILES_MAX], limit;
	unsigned kind;

	(void)state;
	assert_int_equal(canp_benchjob_percentiles("50:99:99.9", v, &err), 3);
	assert_true(v[2] > 99.89 && v[2] < 99.91);
	assert_int_equal(canp_benchjob_percentiles("", v, &err), 0);
	assert_int_equal(canp_benchjob_percentiles("101", v, &err), -EINVAL);
	assert_int_equal(canp_benchjob_percentiles("nan", v, &err), -EINVAL);
	assert_int_equal(canp_benchjob_percentiles("1:2:3:4:5:6:7:8:9:10:11:12:13:14:15:16:17:18:"
						   "19:20:21",
						   v, &err),
			 -EINVAL);
	assert_int_equal(canp_benchjob_steady_parse("bw_slope:0.5%", &kind, &limit), 0);
	assert_int_equal(kind, CANP_BENCHJOB_STEADY_BW_SLOPE);
	assert_int_equal(canp_benchjob_steady_parse("", &kind, &limit), 0);
	assert_int_equal(kind, CANP_BENCHJOB_STEADY_OFF);
	assert_int_equal(canp_benchjob_steady_parse("bw", &kind, &limit), -EINVAL);
	assert_int_equal(canp_benchjob_steady_parse("mw:5%", &kind, &limit), -EINVAL);
	assert_int_equal(canp_benchjob_steady_parse("bw:-5%", &kind, &limit), -EINVAL);
	canp_strbuf_fini(&err);
}

static void steady_is_a_small_deviation_or_a_small_slope(void **state)
{
	const double flat[] = {100, 102, 98, 101, 99}, rising[] = {100, 110, 120, 130, 140};
	const double waves[] = {100, 140, 100, 140, 100}, none[] = {0, 0};

	(void)state;
	assert_true(canp_benchjob_is_steady(flat, 5, CANP_BENCHJOB_STEADY_BW, 5));
	assert_false(canp_benchjob_is_steady(flat, 5, CANP_BENCHJOB_STEADY_BW, 1));
	assert_false(canp_benchjob_is_steady(rising, 5, CANP_BENCHJOB_STEADY_BW_SLOPE, 5));
	assert_true(canp_benchjob_is_steady(rising, 5, CANP_BENCHJOB_STEADY_BW_SLOPE, 9));
	assert_false(canp_benchjob_is_steady(waves, 5, CANP_BENCHJOB_STEADY_BW, 5));
	assert_true(canp_benchjob_is_steady(waves, 5, CANP_BENCHJOB_STEADY_BW_SLOPE, 1));
	assert_false(canp_benchjob_is_steady(none, 2, CANP_BENCHJOB_STEADY_BW, 50));
	assert_false(canp_benchjob_is_steady(flat, 1, CANP_BENCHJOB_STEADY_BW, 50));
}

static void latencies_add_up(void **state)
{
	struct canp_benchjob_lat *l = calloc(3, sizeof(*l));

	(void)state;
	canp_hist_init(&l[0].h);
	canp_hist_init(&l[1].h);
	for (unsigned i = 1; i <= 10; i++)
		canp_benchjob_lat_add(&l[i % 2], i);
	/* l[2] is all zeros, as results are. */
	canp_benchjob_lat_merge(&l[2], &l[0]);
	canp_benchjob_lat_merge(&l[2], &l[1]);
	assert_int_equal(l[2].h.count, 10);
	assert_int_equal(l[2].h.min, 1);
	assert_int_equal(l[2].h.max, 10);
	/* Of 1..10: sqrt(8.25). */
	assert_true(canp_benchjob_lat_dev(&l[2]) > 2.8722 && canp_benchjob_lat_dev(&l[2]) < 2.8723);
	free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sections_take_the_globals_before_them_and_their_own_win),
		cmocka_unit_test(values_keep_signs_of_comments_inside_words),
		cmocka_unit_test(words_stand_for_the_machine_and_the_environment),
		cmocka_unit_test(includes_stand_where_they_are_named),
		cmocka_unit_test(wrong_grammar_is_told_with_file_and_line),
		cmocka_unit_test(limits_hold),
		cmocka_unit_test(any_bytes_can_be_read),
		cmocka_unit_test(a_job_file_of_fio_means_the_same),
		cmocka_unit_test(keys_of_fio_set_what_a_job_of_stages_has),
		cmocka_unit_test(the_command_line_beats_the_file),
		cmocka_unit_test(wrong_keys_and_values_are_told_precisely),
		cmocka_unit_test(every_kind_of_block_memory_can_be_used),
		cmocka_unit_test(huge_pages_that_cannot_be_had_are_told),
		cmocka_unit_test(every_row_is_a_key),
		cmocka_unit_test(percentiles_and_steady_states_are_read),
		cmocka_unit_test(steady_is_a_small_deviation_or_a_small_slope),
		cmocka_unit_test(latencies_add_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
