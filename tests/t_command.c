/*
 * t_command.c - one command: what it is told, what comes back, how it ends.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
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
#include "core/command/cmd_capture.h"
#include "core/command/cmd_spawn.h"
#include "core/command/command.h"
#include "core/command/command_pool.h"

static struct canp_cmd_execution *mem;
static const struct canp_cmd_result *run(const struct canp_cmd_spec *s)
{
	const struct canp_cmd_result *r;

	canp_cmd_execute_free(mem);
	mem = NULL;
	assert_int_equal(canp_cmd_execute(s, &mem, &r), 0);
	return r;
}
#define SH(text)                                                                                   \
	(const char *const[])                                                                      \
	{                                                                                          \
		"/bin/sh", "-c", text, NULL                                                        \
	}
static const struct canp_cmd_result *sh(const char *text)
{
	const char *const argv[] = {"/bin/sh", "-c", text, NULL};
	struct canp_cmd_spec s = {.argv = argv};

	return run(&s);
}

static int drop(void **state)
{
	(void)state;
	canp_cmd_execute_free(mem);
	mem = NULL;
	canp_cmd_spawn_old = false;
	return 0;
}

static void assert_out(const struct canp_cmd_result *r, const char *text)
{
	char got[512];

	snprintf(got, sizeof(got), "%.*s", (int)r->out.len, r->out.data);
	assert_string_equal(got, text);
}

static void E01_argv_is_exact_and_no_shell_looks_at_it(void **state)
{
	const char *const argv[] = {"printf", "%s|", "a b", "$HOME", "*", "\"q'", "", "\n", NULL};
	struct canp_cmd_spec s = {.argv = argv};

	(void)state;
	assert_out(run(&s), "a b|$HOME|*|\"q'||\n|");
	assert_int_equal(canp_cmd_execute(&(struct canp_cmd_spec){0}, &mem,
					  &(const struct canp_cmd_result *){0}),
			 -EINVAL);
}

static void E01_cwd_env_and_stdin(void **state)
{
	const char *const env[] = {"A=1", "B=two words", NULL};
	struct canp_cmd_spec s = {.argv = SH("pwd; echo \"$A,$B,$HOME\"; cat"),
				  .cwd = "/usr/lib",
				  .env = env,
				  .in = {.kind = CANP_CMD_IO_DATA, .data = "in\0put", .len = 6}};
	const struct canp_cmd_result *r;

	(void)state;
	r = run(&s);
	assert_int_equal(r->status, CANP_CMD_COMPLETED);
	assert_int_equal(r->out.total, 9 + 13 + 6);
	assert_memory_equal(r->out.data, "/usr/lib\n1,two words,\nin\0put", 28);
}

static void E01_env_can_come_on_top_of_ours(void **state)
{
	const char *const env[] = {"CANP_TEST_A=new", NULL};
	struct canp_cmd_spec s = {.argv = SH("echo $CANP_TEST_A,$CANP_TEST_B"), .env = env};

	(void)state;
	setenv("CANP_TEST_A", "old", 1);
	setenv("CANP_TEST_B", "kept", 1);
	assert_out(run(&s), "new,\n");
	s.env_add = true;
	assert_out(run(&s), "new,kept\n");
	unsetenv("CANP_TEST_A");
	unsetenv("CANP_TEST_B");
}

static void E01_stdin_is_empty_by_default_and_can_be_large(void **state)
{
	size_t n = 3u << 20;
	char *big = calloc(1, n);
	struct canp_cmd_spec s = {.argv = SH("wc -c"),
				  .in = {.kind = CANP_CMD_IO_DATA, .data = big, .len = n}};

	(void)state;
	assert_out(sh("wc -c"), "0\n");
	assert_out(run(&s), "3145728\n");
	free(big);
}

static void E01_timeout_ends_it(void **state)
{
	struct canp_cmd_spec s = {.argv = SH("echo one; exec sleep 100"), .timeout_ms = 100};
	uint64_t from = canp_clock_ns();
	const struct canp_cmd_result *r;

	(void)state;
	r = run(&s);
	assert_int_equal(r->status, CANP_CMD_FAILED);
	assert_int_equal(r->why, CANP_CMD_ERR_TIMEOUT);
	assert_int_equal(r->error, -ETIMEDOUT);
	assert_int_equal(r->timeout_ns, 100000000);
	assert_int_equal(r->term_signal, SIGTERM);
	assert_false(r->killed);
	assert_out(r, "one\n");
	assert_true(canp_clock_ns() - from >= 100000000);
}

static void E01_one_that_ignores_sigterm_is_killed_after_grace(void **state)
{
	struct canp_cmd_spec s = {.argv = SH("trap '' TERM; while :; do sleep 0.05; done"),
				  .timeout_ms = 100,
				  .grace_ms = 150};
	const struct canp_cmd_result *r;

	(void)state;
	r = run(&s);
	assert_int_equal(r->why, CANP_CMD_ERR_TIMEOUT);
	assert_int_equal(r->term_signal, SIGKILL);
	assert_true(r->killed);
}

static bool gone(int pid)
{
	/* Its number may live on as a zombie of init for a moment. */
	for (int i = 0; i < 500; i++) {
		char name[64], line[256] = "";
		FILE *f;

		snprintf(name, sizeof(name), "/proc/%d/stat", pid);
		f = fopen(name, "r");
		if (!f)
			return true;
		if (!fgets(line, sizeof(line), f) || strstr(line, ") Z ")) {
			fclose(f);
			return true;
		}
		fclose(f);
		usleep(10000);
	}
	return false;
}

static void E01_descendants_are_killed_with_it_even_daemons(void **state)
{
	/* One grandchild in the group, one that made a session of its own, twice forked. */
	struct canp_cmd_spec s = {
		.argv = SH(
			"sleep 101 & echo $!; setsid sh -c 'sleep 102 & echo $!' ; exec sleep 103"),
		.timeout_ms = 600,
		.grace_ms = 100};
	const struct canp_cmd_result *r;
	int a = 0, b = 0;
	char text[64];

	(void)state;
	r = run(&s);
	assert_int_equal(r->why, CANP_CMD_ERR_TIMEOUT);
	snprintf(text, sizeof(text), "%.*s", (int)r->out.len, r->out.data);
	assert_int_equal(sscanf(text, "%d %d", &a, &b), 2);
	assert_true(gone(a));
	assert_true(gone(b));
}

static void E14_a_descendant_that_keeps_the_pipe_is_not_waited_for(void **state)
{
	uint64_t from = canp_clock_ns();
	const struct canp_cmd_result *r;
	int pid;

	(void)state;
	r = sh("sleep 104 & echo $!; exit 5");
	assert_int_equal(r->exit_code, 5);
	assert_true(canp_clock_ns() - from < 60000000000ull);
	pid = atoi(r->out.data);
	assert_int_equal(kill(pid, 0), 0); /* it was let live */
	kill(pid, SIGKILL);
}

static void E14_result_has_output_status_and_usage(void **state)
{
	const struct canp_cmd_result *r;

	(void)state;
	r = sh("echo out; echo err >&2; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done");
	assert_int_equal(r->status, CANP_CMD_COMPLETED);
	assert_int_equal(r->exit_code, 0);
	assert_out(r, "out\n");
	assert_int_equal(r->err.len, 4);
	assert_memory_equal(r->err.data, "err\n", 4);
	assert_true(r->usage.ru_utime.tv_sec + r->usage.ru_utime.tv_usec > 0);
	assert_true(r->usage.ru_maxrss > 0);
	assert_true(r->ended_ns > r->started_ns);
	assert_true(r->pid > 0);
	assert_string_equal(r->message, "");
	r = sh("kill -SEGV $$");
	assert_int_equal(r->status, CANP_CMD_FAILED);
	assert_int_equal(r->term_signal, SIGSEGV);
	assert_int_equal(r->exit_code, -1);
}

static void E14_stderr_can_go_where_stdout_goes(void **state)
{
	struct canp_cmd_spec s = {.argv = SH("echo a; echo b >&2; echo c"),
				  .err = {.kind = CANP_CMD_IO_STDOUT}};

	(void)state;
	assert_out(run(&s), "a\nb\nc\n");
	s.out.kind = CANP_CMD_IO_NULL;
	assert_out(run(&s), "");
}

static void E14_capture_keeps_head_and_tail_and_counts_exactly(void **state)
{
	struct canp_cmd_spec s = {.argv = SH("seq 1 200000"), .out = {.len = 1000}};
	const struct canp_cmd_result *r;

	(void)state;
	r = run(&s);
	assert_int_equal(r->out.total, 1288895);
	assert_true(r->out.truncated);
	assert_int_equal(r->out.len, 1000);
	assert_int_equal(r->out.head, 500);
	assert_memory_equal(r->out.data, "1\n2\n3\n", 6);
	assert_memory_equal(r->out.data + 1000 - 14, "199999\n200000\n", 14);
	s.argv = SH("head -c 1000 /dev/zero");
	r = run(&s);
	assert_int_equal(r->out.total, 1000);
	assert_false(r->out.truncated);
	s.argv = SH("head -c 1001 /dev/zero");
	r = run(&s);
	assert_int_equal(r->out.total, 1001);
	assert_true(r->out.truncated);
	assert_int_equal(r->out.len, 1000);
}

static void E14_capture_against_a_model(void **state)
{
	char all[4000], buf[257], buf2[257], copy[257], *want;
	unsigned seed = 7;

	(void)state;
	for (unsigned i = 0; i < sizeof(all); i++)
		all[i] = (char)('a' + i % 23 + i / 977);
	want = malloc(sizeof(all));
	for (unsigned round = 0; round < 3000; round++) {
		size_t cap = 2 + (unsigned)rand_r(&seed) % 255, n = (unsigned)rand_r(&seed) % 1200;
		struct canp_cmd_output o, o2;
		struct cmd_capture c;

		canp_cmd_capture_init(&c, buf, cap);
		buf[cap] = 42;
		for (size_t at = 0; at < n;) {
			size_t k = 1 + (unsigned)rand_r(&seed) % 300;

			k = k > n - at ? n - at : k;
			canp_cmd_capture_add(&c, all + at, k);
			at += k;
		}
		canp_cmd_capture_finish(&c, &o);
		assert_int_equal(o.total, n);
		assert_int_equal(o.truncated, n > cap);
		assert_int_equal(buf[cap], 42);
		/* As if another process had captured it. */
		memcpy(copy, o.data, o.len);
		canp_cmd_capture_init(&c, buf2, cap);
		canp_cmd_capture_add(&c, copy, o.len);
		canp_cmd_capture_skip(&c, &o);
		canp_cmd_capture_finish(&c, &o2);
		assert_int_equal(o2.total, o.total);
		assert_int_equal(o2.len, o.len);
		assert_memory_equal(o2.data, copy, o.len);
		if (n <= cap) {
			assert_int_equal(o.len, n);
			assert_memory_equal(o.data, all, n);
			continue;
		}
		memcpy(want, all, o.head);
		memcpy(want + o.head, all + n - (cap - o.head), cap - o.head);
		assert_int_equal(o.len, cap);
		assert_memory_equal(o.data, want, cap);
	}
	free(want);
}

static void E14_children_get_no_descriptors_but_the_streams(void **state)
{
	/* Ours without close-on-exec; one is asked for. */
	int leak = open("/dev/null", O_RDONLY), keep = open("/dev/zero", O_RDONLY);
	struct canp_cmd_spec s = {
		.argv = SH("for f in /proc/$$/fd/*; do echo ${f##*/} $(readlink $f); done"),
		.keep_fds = {keep},
		.nr_keep_fds = 1};
	const struct canp_cmd_result *r;
	unsigned extra = 0;
	char text[2048], *line, *save;

	(void)state;
	r = run(&s);
	snprintf(text, sizeof(text), "%.*s", (int)r->out.len, r->out.data);
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		int fd = atoi(line);

		/* The shell may hold copies of the pipe for its substitutions. */
		if (fd > 2 && !strstr(line, "pipe:")) {
			assert_int_equal(fd, keep);
			assert_non_null(strstr(line, "/dev/zero"));
			extra++;
		}
	}
	assert_int_equal(extra, 1);
	close(leak);
	close(keep);
}

/* The SigIgn line of our own status. */
static void own_ignored(char *out, size_t bytes)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[128];

	out[0] = 0;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, "SigIgn:\t", 8))
			snprintf(out, bytes, "%.16s", line + 8);
	fclose(f);
	assert_int_equal(strlen(out), 16);
}

static void E14_signals_limits_group_and_nice_are_as_asked(void **state)
{
	struct canp_cmd_spec s = {
		.argv = SH("grep -E '^Sig(Blk|Ign)' /proc/self/status; ulimit -n; nice;"
			   "[ $(cut -d' ' -f5 /proc/$$/stat) = $$ ] && echo leader"),
		.rlimits = {{RLIMIT_NOFILE, {77, 77}}},
		.nr_rlimits = 1,
		.nice = 3};
	const struct canp_cmd_result *r;
	sigset_t set, old;
	char want[256], ignored[32];
	/* What the caller of this program ignores stays ignored, and its nice value is added to. */
	int nice_before = getpriority(PRIO_PROCESS, 0);

	(void)state;
	own_ignored(ignored, sizeof(ignored));
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, &old);
	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < 2; i++) {
		canp_cmd_spawn_old = i;
		r = run(&s);
		snprintf(want, sizeof(want),
			 "SigBlk:\t0000000000000000\nSigIgn:\t%s\n77\n%d\nleader\n", ignored,
			 canp_min(nice_before + 3, 19));
		assert_out(r, want);
	}
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, &old, NULL);
	s.same_group = true;
	s.argv = SH("[ $(cut -d' ' -f5 /proc/$$/stat) = $$ ] && echo leader || echo no");
	assert_out(run(&s), "no\n");
}

static void handler(int sig)
{
	(void)sig;
}

static void E14_without_clone3_everything_is_the_same(void **state)
{
	struct sigaction sa = {.sa_handler = handler}, old;
	struct canp_cmd_spec s = {.argv = SH("pwd; echo x >&2; exit 9"), .cwd = "/"};
	const struct canp_cmd_result *r;

	(void)state;
	sigaction(SIGUSR2, &sa, &old);
	for (int i = 0; i < 2; i++) {
		canp_cmd_spawn_old = i;
		r = run(&s);
		assert_int_equal(r->exit_code, 9);
		assert_out(r, "/\n");
		assert_string_equal(r->message, "exit code 9: x");
	}
	s.argv = (const char *const[]){"/nonexistent", NULL};
	r = run(&s);
	assert_int_equal(r->error, -ENOENT);
	sigaction(SIGUSR2, &old, NULL);
}

static void E14_trace_context_is_handed_on(void **state)
{
	struct canp_cmd_spec s = {.argv = SH("echo $TRACEPARENT; env | grep -c ^CANP_CMD_ID="),
				  .trace = {.trace_id = {0x4b, 0xf9, [15] = 0x36},
					    .span_id = {0x00, 0xf0, [7] = 0xb7},
					    .flags = 1}};

	(void)state;
	setenv("TRACEPARENT", "00-old-old-00", 1);
	assert_out(run(&s), "00-4bf90000000000000000000000000036-00f00000000000b7-01\n1\n");
	unsetenv("TRACEPARENT");
}

static void E14_script_without_interpreter_line_is_run_by_sh(void **state)
{
	char name[] = "/tmp/canp-cmd-XXXXXX";
	int fd = mkstemp(name);
	const char *const argv[] = {name, "x y", NULL};
	struct canp_cmd_spec s = {.argv = argv};

	(void)state;
	assert_int_equal(write(fd, "echo \"got $1\"\n", 14), 14);
	fchmod(fd, 0700);
	close(fd);
	assert_out(run(&s), "got x y\n");
	unlink(name);
}

static void E14_no_zombies_and_no_descriptors_stay(void **state)
{
	unsigned before = 0, after = 0;

	(void)state;
	for (int k = 0; k < 2; k++) {
		DIR *d = opendir("/proc/self/fd");

		while (readdir(d))
			(*(k ? &after : &before))++;
		closedir(d);
		for (int i = 0; i < 20 && !k; i++) {
			sh(i % 2 ? "exit 1" : "echo; kill -9 $$");
			drop(NULL);
		}
	}
	assert_int_equal(before, after);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static void E32_errors_are_io_timeout_or_child(void **state)
{
	static char huge[3 << 20];
	char dir[] = "/tmp/canp-cmd-XXXXXX", plain[64];
	const char *const none[] = {"/nonexistent/program", NULL};
	const char *const denied[] = {plain, NULL};
	const char *const big[] = {"/bin/true", huge, NULL};
	struct canp_cmd_spec s = {.argv = none};
	const struct canp_cmd_result *r;

	(void)state;
	r = run(&s);
	assert_int_equal(r->why, CANP_CMD_ERR_IO);
	assert_int_equal(r->error, -ENOENT);
	assert_non_null(mkdtemp(dir));
	snprintf(plain, sizeof(plain), "%s/plain", dir);
	close(open(plain, O_CREAT | O_WRONLY, 0600));
	s.argv = denied;
	r = run(&s);
	assert_int_equal(r->why, CANP_CMD_ERR_IO);
	assert_int_equal(r->error, -EACCES);
	unlink(plain);
	rmdir(dir);
	memset(huge, 'x', sizeof(huge) - 1);
	s.argv = big;
	r = run(&s);
	assert_int_equal(r->why, CANP_CMD_ERR_IO);
	assert_int_equal(r->error, -E2BIG);
	s = (struct canp_cmd_spec){.argv = SH("sleep 100"), .timeout_ms = 50};
	r = run(&s);
	assert_int_equal(r->why, CANP_CMD_ERR_TIMEOUT);
	assert_int_equal(r->timeout_ns, 50000000);
	assert_string_equal(r->message, "timed out after 50 ms");
	r = sh("echo first >&2; echo last words >&2; exit 3");
	assert_int_equal(r->why, CANP_CMD_ERR_CHILD);
	assert_int_equal(r->exit_code, 3);
	assert_string_equal(r->message, "exit code 3: last words");
	assert_int_equal(r->err.len, 17);
	s = (struct canp_cmd_spec){.argv = SH("true"), .cwd = "/nonexistent"};
	r = run(&s);
	assert_int_equal(r->error, -ENOENT);
	assert_non_null(strstr(r->message, "/nonexistent"));
}

static void E37_why_a_program_cannot_run_is_told(void **state)
{
	const char *const env[] = {"PATH=/nonexistent:/etc", NULL};
	char text[512];

	(void)state;
	assert_int_equal(canp_cmd_diagnose("sh", NULL, NULL, text, sizeof(text)), 0);
	assert_string_equal(text, "");
	assert_int_equal(canp_cmd_diagnose("nosuchprogram", env, NULL, text, sizeof(text)),
			 -ENOENT);
	assert_non_null(strstr(text, "nosuchprogram"));
	assert_non_null(strstr(text, "errno 2"));
	assert_non_null(strstr(text, "PATH=/nonexistent:/etc"));
	assert_int_equal(canp_cmd_diagnose("passwd", env, NULL, text, sizeof(text)), -EACCES);
	assert_non_null(strstr(text, "/etc/passwd (mode 644)"));
	assert_non_null(strstr(text, "errno 13"));
	assert_int_equal(canp_cmd_diagnose("/etc", NULL, NULL, text, sizeof(text)), -EACCES);
	assert_non_null(strstr(text, "is a directory"));
	assert_int_equal(canp_cmd_diagnose("./x", NULL, "/usr", text, sizeof(text)), -ENOENT);
	assert_non_null(strstr(text, "/usr/./x"));
}

static void E40_names_are_complete(void **state)
{
	(void)state;
	for (unsigned i = 0; i <= CANP_CMD_FAILED; i++)
		assert_string_not_equal(canp_cmd_status_name(i), "?");
	for (unsigned i = 0; i <= CANP_CMD_ERR_CANCELLED; i++)
		assert_string_not_equal(canp_cmd_error_name(i), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(E01_argv_is_exact_and_no_shell_looks_at_it, drop),
		cmocka_unit_test_teardown(E01_cwd_env_and_stdin, drop),
		cmocka_unit_test_teardown(E01_env_can_come_on_top_of_ours, drop),
		cmocka_unit_test_teardown(E01_stdin_is_empty_by_default_and_can_be_large, drop),
		cmocka_unit_test_teardown(E01_timeout_ends_it, drop),
		cmocka_unit_test_teardown(E01_one_that_ignores_sigterm_is_killed_after_grace, drop),
		cmocka_unit_test_teardown(E01_descendants_are_killed_with_it_even_daemons, drop),
		cmocka_unit_test_teardown(E14_a_descendant_that_keeps_the_pipe_is_not_waited_for,
					  drop),
		cmocka_unit_test_teardown(E14_result_has_output_status_and_usage, drop),
		cmocka_unit_test_teardown(E14_stderr_can_go_where_stdout_goes, drop),
		cmocka_unit_test_teardown(E14_capture_keeps_head_and_tail_and_counts_exactly, drop),
		cmocka_unit_test_teardown(E14_capture_against_a_model, drop),
		cmocka_unit_test_teardown(E14_children_get_no_descriptors_but_the_streams, drop),
		cmocka_unit_test_teardown(E14_signals_limits_group_and_nice_are_as_asked, drop),
		cmocka_unit_test_teardown(E14_without_clone3_everything_is_the_same, drop),
		cmocka_unit_test_teardown(E14_trace_context_is_handed_on, drop),
		cmocka_unit_test_teardown(E14_script_without_interpreter_line_is_run_by_sh, drop),
		cmocka_unit_test_teardown(E14_no_zombies_and_no_descriptors_stay, drop),
		cmocka_unit_test_teardown(E32_errors_are_io_timeout_or_child, drop),
		cmocka_unit_test_teardown(E37_why_a_program_cannot_run_is_told, drop),
		cmocka_unit_test(E40_names_are_complete),
	};

	return cmocka_run_group_tests_name("command", tests, NULL, NULL);
}
