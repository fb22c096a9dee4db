/*
 * t_live.c - the live page: what the job puts is what others read, whole or not at all; whatever
 * lies there instead is refused; what is shown of it is valid JSON and valid metrics.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/clock.h"
#include "core/base/json.h"
#include "core/observe/metrics.h"
#include "io/live_priv.h"
#include "tests/lib/tmpdir.h"

#define SHARDS 3u
#define S      1000000000ull

static char root[64];

static int setup(void **state)
{
	(void)state;
	return tmpdir_make(root, sizeof(root), "/tmp/t_live");
}

static int teardown(void **state)
{
	(void)state;
	return tmpdir_remove(root);
}

static const char *in_root(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	return path;
}

/* Every number has a value of its own; names as a job gives them. */
static struct canp_live *sample(void)
{
	struct canp_live *l = canp_live_alloc(SHARDS);
	struct canp_live_job *j;

	assert_non_null(l);
	j = &l->job;
	j->state = CANP_LIVE_RUNNING;
	j->updates = 7;
	j->started_ns = 10 * S;
	j->updated_ns = 14 * S;
	j->progress_ns = 13 * S;
	j->files_total = 40;
	j->files = 10;
	j->files_damaged = 2;
	j->bytes_total = 4000;
	j->bytes = 1000;
	j->frames = 123456;
	j->rss_bytes = 1 << 20;
	j->file_ns_log2[20] = 6;
	j->file_ns_log2[30] = 4;
	j->file_ns_sum = 5 * S;
	strcpy(j->id, "0123456789abcdef0123456789abcdef");
	strcpy(j->out, "/data/\"out\"");
	j->nr_ops = 2;
	strcpy(j->ops[0], "read");
	strcpy(j->ops[1], "write");
	j->nr_pools = 1;
	strcpy(j->pools[0], "pages");
	for (unsigned i = 0; i < SHARDS; i++) {
		struct canp_live_shard *s = &l->shard[i];

		s->cpu = (int)i;
		s->busy_ns = 3 * S;
		s->idle_ns = S;
		s->turns = 100 + i;
		s->unit = i ? i : CANP_LIVE_NONE;
		s->ops[1].rows_in = 1000 * (i + 1);
		s->pools[0] = (struct canp_live_pool){.gets = 10,
						      .puts = 6,
						      .hits = 5,
						      .in_use = 4,
						      .slots = 8,
						      .slot_bytes = 64};
	}
	return l;
}

static struct canp_live_page *page(void)
{
	struct canp_live_page *p;

	assert_int_equal(canp_live_page_create(root, SHARDS, &p), 0);
	return p;
}

static void others_read_what_the_job_put(void **state)
{
	struct canp_live *l = sample(), *r, *mine = canp_live_alloc(SHARDS);
	struct canp_live_page *p = page();
	char path[280];
	struct stat st;

	(void)state;
	strcpy(path, canp_live_page_path(p));
	/* Nothing was put yet. */
	assert_int_equal(canp_live_read(path, &r), -EAGAIN);
	canp_live_page_put(p, l);
	assert_int_equal(canp_live_read(path, &r), 0);
	assert_memory_equal(r, l, canp_live_bytes(SHARDS));
	assert_int_equal(canp_live_page_copy(p, mine), 0);
	assert_memory_equal(mine, l, canp_live_bytes(SHARDS));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_true(canp_live_alive(r));
	canp_live_page_destroy(p);
	assert_int_equal(stat(path, &st), -1);
	free(l);
	free(r);
	free(mine);
}

static void A35_a_reader_sees_a_change_with_the_next_renewal(void **state)
{
	struct canp_live *l = sample(), *r;
	struct canp_live_page *p = page();

	(void)state;
	for (uint64_t n = 0; n < 5; n++) {
		l->shard[1].pools[0].in_use = n;
		canp_live_page_put(p, l);
		assert_int_equal(canp_live_read(canp_live_page_path(p), &r), 0);
		assert_int_equal(r->shard[1].pools[0].in_use, n);
		free(r);
	}
	canp_live_page_destroy(p);
	free(l);
}

/* ---- never torn ---- */

struct race {
	struct canp_live_page *p;
	int stop;
};

static void fill(struct canp_live *l, uint64_t n)
{
	uint64_t *shards = (uint64_t *)l->shard;

	l->job.updates = n;
	for (size_t i = 0; i < SHARDS * sizeof(l->shard[0]) / 8; i++)
		shards[i] = n;
}

static void assert_whole(const struct canp_live *l)
{
	const uint64_t *shards = (const uint64_t *)l->shard;

	for (size_t i = 0; i < SHARDS * sizeof(l->shard[0]) / 8; i++)
		if (shards[i] != l->job.updates)
			fail_msg("torn: word %zu of update %llu", i,
				 (unsigned long long)l->job.updates);
}

static void *renew(void *arg)
{
	struct race *r = arg;
	struct canp_live *l = sample();

	for (uint64_t n = 1; !__atomic_load_n(&r->stop, __ATOMIC_RELAXED); n++) {
		struct timespec ts = {.tv_nsec = 20000};

		fill(l, n);
		canp_live_page_put(r->p, l);
		/* Not without a pause: a reader must have a chance. */
		nanosleep(&ts, NULL);
	}
	free(l);
	return NULL;
}

static void a_page_that_is_being_renewed_is_never_seen_torn(void **state)
{
	struct race r = {.p = page()};
	struct canp_live *l = canp_live_alloc(SHARDS), *o;
	unsigned read = 0, copied = 0;
	pthread_t t;

	(void)state;
	fill(l, 0);
	canp_live_page_put(r.p, l);
	assert_int_equal(pthread_create(&t, NULL, renew, &r), 0);
	for (unsigned i = 0; i < 2000; i++) {
		if (canp_live_page_copy(r.p, l) == 0) {
			assert_whole(l);
			copied++;
		}
		if (canp_live_read(canp_live_page_path(r.p), &o) == 0) {
			assert_whole(o);
			free(o);
			read++;
		}
	}
	__atomic_store_n(&r.stop, 1, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	assert_true(read && copied);
	canp_live_page_destroy(r.p);
	free(l);
}

/* ---- pages by others ---- */

struct file {
	struct canp_live_head head;
	struct canp_live_job job;
	struct canp_live_shard shard[SHARDS];
};

static void good_file(struct file *f)
{
	struct canp_live *l = sample();

	f->head.magic = CANP_LIVE_MAGIC;
	f->head.seq = 2;
	memcpy(&f->job, l, canp_live_bytes(SHARDS));
	free(l);
}

static int read_bytes(const void *data, size_t len, mode_t mode)
{
	const char *path = in_root("canp-77.live");
	struct canp_live *l;
	int fd, rc;

	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), (ssize_t)len);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
	rc = canp_live_read(path, &l);
	if (!rc)
		free(l);
	return rc;
}

static void damaged_and_foreign_pages_are_refused(void **state)
{
	static struct file f, good;

	(void)state;
	good_file(&good);
	assert_int_equal(read_bytes(&good, sizeof(good), 0600), 0);
	/* Others may write to it. */
	assert_int_equal(read_bytes(&good, sizeof(good), 0620), -EACCES);
	assert_int_equal(read_bytes(&good, sizeof(good), 0602), -EACCES);
	for (size_t len = 0; len < sizeof(good); len += 97)
		assert_int_equal(read_bytes(&good, len, 0600), -EBADMSG);
#define REFUSED(change, error)                                                                     \
	do {                                                                                       \
		f = good;                                                                          \
		change;                                                                            \
		assert_int_equal(read_bytes(&f, sizeof(f), 0600), error);                          \
	} while (0)
	REFUSED(f.head.magic++, -EBADMSG);
	REFUSED(f.job.magic++, -EBADMSG);
	REFUSED(f.job.version++, -EPROTO);
	REFUSED(f.job.snapshot_bytes--, -EBADMSG);
	REFUSED(f.job.nr_shards = 0, -EBADMSG);
	REFUSED(f.job.nr_shards = SHARDS + 1, -EBADMSG);
	REFUSED(f.job.nr_shards = UINT32_MAX, -EBADMSG);
	REFUSED(f.job.nr_ops = CANP_LIVE_OPS_MAX + 1, -EBADMSG);
	REFUSED(f.job.nr_pools = CANP_LIVE_POOLS_MAX + 1, -EBADMSG);
	REFUSED(f.job.state = CANP_LIVE_STATE_NR, -EBADMSG);
	REFUSED(f.job.pid = -1, -EBADMSG);
	/* The writer died in the middle of a renewal. */
	REFUSED(f.head.seq = 3, -EAGAIN);
}

static void what_is_no_file_is_refused(void **state)
{
	struct canp_live *l;

	(void)state;
	assert_int_equal(canp_live_read(in_root("none"), &l), -ENOENT);
	assert_int_equal(canp_live_read(root, &l), -EACCES);
	assert_int_equal(mkfifo(in_root("fifo"), 0600), 0);
	assert_int_equal(canp_live_read(in_root("fifo"), &l), -EACCES);
	assert_int_equal(symlink("/etc/passwd", in_root("link")), 0);
	assert_int_equal(canp_live_read(in_root("link"), &l), -EACCES);
}

static void texts_are_cut_and_cleaned(void **state)
{
	static struct file f;
	struct canp_live *l;

	(void)state;
	good_file(&f);
	memset(f.job.out, 'x', sizeof(f.job.out));
	memset(f.job.ops, 0x1b, sizeof(f.job.ops));
	strcpy(f.job.id, "\033[2Jboo\n\177");
	assert_int_equal(read_bytes(&f, sizeof(f), 0600), 0);
	assert_int_equal(canp_live_read(in_root("canp-77.live"), &l), 0);
	assert_int_equal(strlen(l->job.out), sizeof(l->job.out) - 1);
	assert_string_equal(l->job.id, "?[2Jboo??");
	for (unsigned i = 0; i < CANP_LIVE_OPS_MAX; i++)
		assert_int_equal(strspn(l->job.ops[i], "?"), CANP_LIVE_NAME - 1);
	free(l);
}

/* Whatever numbers a page holds, showing it must stay within bounds and give valid texts. */
static void random_pages_are_refused_or_shown_whole(void **state)
{
	static struct file f;
	uint64_t rng = 42;

	(void)state;
	for (unsigned round = 0; round < 300; round++) {
		struct canp_strbuf sb = CANP_STRBUF_INIT;
		struct canp_json js = CANP_JSON_INIT(&sb, 0);
		struct canp_json_doc *doc;
		struct canp_live *l;
		uint64_t *w = (uint64_t *)&f;

		good_file(&f);
		for (unsigned k = 0; k < 1 + round * 8; k++) {
			rng = rng * 6364136223846793005ULL + 1442695040888963407ULL;
			w[(rng >> 33) % (sizeof(f) / 8)] = rng ^ rng << 21;
		}
		if (round % 3) {
			f.head.magic = f.job.magic = CANP_LIVE_MAGIC;
			f.head.seq = 4;
			f.job.version = CANP_LIVE_VERSION;
			f.job.snapshot_bytes = (uint32_t)canp_live_bytes(SHARDS);
			f.job.nr_shards = SHARDS;
			f.job.nr_ops %= CANP_LIVE_OPS_MAX + 1;
			f.job.nr_pools %= CANP_LIVE_POOLS_MAX + 1;
			f.job.state %= CANP_LIVE_STATE_NR;
			f.job.pid = 1;
		}
		if (read_bytes(&f, sizeof(f), 0600))
			continue;
		assert_int_equal(canp_live_read(in_root("canp-77.live"), &l), 0);
		canp_json_object(&js);
		canp_live_json(l, &js);
		canp_json_end(&js);
		assert_int_equal(canp_json_parse(sb.buf, sb.len, 16, &doc, NULL), 0);
		canp_json_doc_destroy(doc);
		canp_strbuf_fini(&sb);
		free(l);
	}
}

/* ---- where pages lie ---- */

static void a_page_never_goes_through_what_others_put_there(void **state)
{
	struct canp_live_page *p;
	struct canp_live *l = sample();
	char name[64], victim[128];
	struct stat st;

	(void)state;
	strcpy(victim, in_root("victim"));
	close(open(victim, O_WRONLY | O_CREAT, 0600));
	snprintf(name, sizeof(name), "canp-%d.live", (int)getpid());
	/* A link of our own number: in memory only, and the link's target stays as it is. */
	assert_int_equal(symlink(victim, in_root(name)), 0);
	p = page();
	assert_string_equal(canp_live_page_path(p), "");
	canp_live_page_put(p, l);
	assert_int_equal(canp_live_page_copy(p, l), 0);
	canp_live_page_destroy(p);
	assert_int_equal(stat(victim, &st), 0);
	assert_int_equal(st.st_size, 0);
	assert_int_equal(lstat(in_root(name), &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	unlink(in_root(name));
	/* A page left behind by a dead process with our number is replaced. */
	close(open(in_root(name), O_WRONLY | O_CREAT, 0644));
	p = page();
	assert_string_equal(canp_live_page_path(p), in_root(name));
	canp_live_page_destroy(p);
	free(l);
}

static void a_page_without_a_place_lives_in_memory(void **state)
{
	struct canp_live_page *p;
	struct canp_live *l = sample(), *r = canp_live_alloc(SHARDS);

	(void)state;
	assert_int_equal(canp_live_page_create("/nowhere/at/all", SHARDS, &p), 0);
	assert_string_equal(canp_live_page_path(p), "");
	canp_live_page_put(p, l);
	assert_int_equal(canp_live_page_copy(p, r), 0);
	assert_memory_equal(r, l, canp_live_bytes(SHARDS));
	canp_live_page_destroy(p);
	assert_int_equal(canp_live_page_create(root, 0, &p), -EINVAL);
	assert_int_equal(canp_live_page_create(root, CANP_LIVE_SHARDS_MAX + 1, &p), -EINVAL);
	canp_live_page_destroy(NULL);
	free(l);
	free(r);
}

static void lists_pages_by_process(void **state)
{
	static const char *const names[] = {"canp-9.live", "canp-12.live",          "canp-0.live",
					    "canp-.live",  "canp-7.livex",          "canp-7",
					    "x",           "canp-99999999999.live", "canp--3.live"};
	struct canp_live_entry v[8];

	(void)state;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		close(open(in_root(names[i]), O_WRONLY | O_CREAT, 0600));
	assert_int_equal(canp_live_list(root, v, 8), 2);
	assert_int_equal(v[0].pid, 9);
	assert_int_equal(v[1].pid, 12);
	assert_string_equal(v[1].path, in_root("canp-12.live"));
	assert_int_equal(canp_live_list(root, v, 1), 1);
	assert_int_equal(canp_live_list("/nowhere", v, 8), 0);
	/* The first of the usual places. */
	setenv("XDG_RUNTIME_DIR", root, 1);
	assert_true(canp_live_list(NULL, v, 8) >= 2);
	unsetenv("XDG_RUNTIME_DIR");
}

static void a_number_that_was_used_again_is_another_process(void **state)
{
	struct canp_live *l = sample();
	int status;
	pid_t pid;

	(void)state;
	assert_true(canp_live_alive(l));
	l->job.pid_start++;
	assert_false(canp_live_alive(l));
	pid = fork();
	if (pid == 0)
		_exit(0);
	l->job.pid = pid;
	l->job.pid_start = canp_live_pid_start(pid);
	assert_true(l->job.pid_start != 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_false(canp_live_alive(l));
	free(l);
}

/* ---- what to think of it ---- */

static enum canp_live_health judge(const struct canp_live *l, bool alive, uint64_t now_ns)
{
	const char *why = NULL;
	enum canp_live_health h = canp_live_judge(l, alive, now_ns, 60 * S, &why);

	assert_non_null(why);
	return h;
}

static void G22_a_job_is_well_broken_or_stalled(void **state)
{
	struct canp_live *l = sample();

	(void)state;
	assert_int_equal(judge(l, true, 15 * S), CANP_LIVE_WELL);
	assert_int_equal(judge(l, false, 15 * S), CANP_LIVE_BROKEN);
	/* progress at 13 s, sign of life at 14 s */
	assert_int_equal(judge(l, true, 73 * S), CANP_LIVE_WELL);
	assert_int_equal(judge(l, true, 73 * S + 1), CANP_LIVE_STALLED);
	l->job.progress_ns = 75 * S;
	assert_int_equal(judge(l, true, 74 * S), CANP_LIVE_WELL);
	assert_int_equal(judge(l, true, 74 * S + 1), CANP_LIVE_STALLED);
	/* A clock that went back a little is no stall. */
	assert_int_equal(judge(l, true, 1), CANP_LIVE_WELL);
	l->job.state = CANP_LIVE_DRAINING;
	assert_int_equal(judge(l, true, 60 * S), CANP_LIVE_WELL);
	l->job.state = CANP_LIVE_DONE;
	assert_int_equal(judge(l, false, 9999 * S), CANP_LIVE_WELL);
	l->job.state = CANP_LIVE_FAILED;
	assert_int_equal(judge(l, true, 14 * S), CANP_LIVE_BROKEN);
	free(l);
}

/* ---- texts ---- */

static double num(const struct canp_json_val *v, const char *key)
{
	const struct canp_json_val *m = canp_json_get(v, key);

	assert_non_null(m);
	assert_int_equal(m->type, CANP_JSON_NUMBER);
	return m->num;
}

static void json_says_what_the_page_says(void **state)
{
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	struct canp_json js = CANP_JSON_INIT(&sb, 2);
	const struct canp_json_val *v, *s, *o;
	struct canp_live *l = sample();
	struct canp_json_doc *doc;

	(void)state;
	canp_json_object(&js);
	canp_live_json(l, &js);
	canp_json_end(&js);
	assert_int_equal(canp_json_parse(sb.buf, sb.len, 16, &doc, NULL), 0);
	v = canp_json_root(doc);
	assert_string_equal(canp_json_get(v, "state")->str, "running");
	assert_string_equal(canp_json_get(v, "output")->str, "/data/\"out\"");
	assert_true(num(v, "frames") == 123456);
	assert_true(num(v, "progress") == 0.25);
	assert_true(num(v, "elapsed_s") == 4);
	assert_true(num(v, "bytes_per_s") == 250);
	assert_int_equal(canp_json_get(v, "shards")->nr, SHARDS);
	s = canp_json_get(v, "shards")->child;
	assert_true(num(s, "load") == 0.75);
	assert_int_equal(canp_json_get(s, "unit")->type, CANP_JSON_NULL);
	assert_true(num(s->next, "unit") == 1);
	o = canp_json_get(s->next, "operators");
	assert_int_equal(o->nr, 2);
	assert_true(num(o->child->next, "rows_in") == 2000);
	assert_true(num(canp_json_get(s, "pools")->child, "hit_rate") == 0.5);
	canp_json_doc_destroy(doc);
	canp_strbuf_fini(&sb);
	free(l);
}

static char *metrics(const struct canp_live *l, enum canp_metrics_format format)
{
	struct canp_strbuf sb = CANP_STRBUF_INIT;
	struct canp_metrics *m = malloc(sizeof(*m));

	assert_non_null(m);
	canp_metrics_init(m, &sb, format);
	canp_live_metrics(l, m);
	assert_int_equal(canp_metrics_finish(m), 0);
	free(m);
	return sb.buf;
}

static void has(const char *text, const char *line)
{
	if (!strstr(text, line))
		fail_msg("not in the text: %s", line);
}

static void G18_metrics_of_a_job_say_what_the_page_says(void **state)
{
	struct canp_live *l = sample();
	char *text = metrics(l, CANP_METRICS_OPENMETRICS);

	(void)state;
	has(text, "canp_frames_total 123456\n");
	has(text, "canp_job_state{state=\"running\"} 1\n");
	has(text, "canp_job_state{state=\"failed\"} 0\n");
	has(text, "output=\"/data/\\\"out\\\"\"} 1\n");
	has(text, "canp_shard_busy_seconds_total{shard=\"2\"} 3");
	has(text, "canp_operator_rows_in_total{shard=\"1\",operator=\"write\"} 2000\n");
	has(text, "canp_pool_slots_used{shard=\"0\",pool=\"pages\"} 4\n");
	assert_string_equal(text + strlen(text) - 6, "# EOF\n");
	free(text);
	text = metrics(l, CANP_METRICS_PROMETHEUS);
	has(text, "# TYPE canp_frames_total counter\n");
	free(text);
	free(l);
}

/* What the highest bucket not above `bound` seconds counts. */
static double up_to(const char *text, double bound)
{
	static const char line[] = "canp_file_duration_seconds_bucket{le=\"";
	double best = -1, count = 0;

	for (const char *p = text; (p = strstr(p, line)); p += sizeof(line)) {
		double le = strtod(p + sizeof(line) - 1, NULL);

		if (le <= bound && le > best) {
			best = le;
			count = strtod(strchr(p, '}') + 1, NULL);
		}
	}
	return count;
}

static void G19_durations_of_files_are_a_cumulative_histogram(void **state)
{
	struct canp_live *l = sample();
	char *text = metrics(l, CANP_METRICS_OPENMETRICS);

	(void)state;
	/* Six of at least 2^20 ns and less than 2^21, four of at least 2^30 and less than 2^31. */
	has(text, "canp_file_duration_seconds_bucket{le=\"+Inf\"} 10\n");
	has(text, "canp_file_duration_seconds_count 10\n");
	has(text, "canp_file_duration_seconds_sum 5");
	assert_true(up_to(text, 0.00104) == 0);
	assert_true(up_to(text, 0.00105) == 0);
	assert_true(up_to(text, 0.0042) == 6);
	assert_true(up_to(text, 1.1) == 6);
	assert_true(up_to(text, 4.3) == 10);
	free(text);
	free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(others_read_what_the_job_put, setup, teardown),
		cmocka_unit_test_setup_teardown(A35_a_reader_sees_a_change_with_the_next_renewal,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_page_that_is_being_renewed_is_never_seen_torn,
						setup, teardown),
		cmocka_unit_test_setup_teardown(damaged_and_foreign_pages_are_refused, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_is_no_file_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(texts_are_cut_and_cleaned, setup, teardown),
		cmocka_unit_test_setup_teardown(random_pages_are_refused_or_shown_whole, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_page_never_goes_through_what_others_put_there,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_page_without_a_place_lives_in_memory, setup,
						teardown),
		cmocka_unit_test_setup_teardown(lists_pages_by_process, setup, teardown),
		cmocka_unit_test(a_number_that_was_used_again_is_another_process),
		cmocka_unit_test(G22_a_job_is_well_broken_or_stalled),
		cmocka_unit_test(json_says_what_the_page_says),
		cmocka_unit_test(G18_metrics_of_a_job_say_what_the_page_says),
		cmocka_unit_test(G19_durations_of_files_are_a_cumulative_histogram),
	};

	return cmocka_run_group_tests_name("live", tests, NULL, NULL);
}
