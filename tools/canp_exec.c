/*
 * canp_exec.c - canp-exec: runs a command for each of many arguments, several at once, in the
 * manner of xargs and GNU parallel. One thread: its loop waits for the command pool, for input and
 * for signals. exec_args.c reads the arguments, exec_text.c makes the commands, exec_job.c runs
 * them, exec_out.c and exec_log.c deal with what comes out.
 *
 * SIGUSR1 and SIGUSR2 run one job more or less, as with xargs. SIGTERM starts no more jobs, a
 * second one and SIGINT kill those that run.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "numa/topology.h"
#include "tools/exec_job.h"
#include "tools/toolmain.h"

#define EXIT_FAILED_MAX 101
#define EXIT_BROKEN     255

static struct canp_tool exec_tool(const struct canp_exec_cfg *cfg)
{
	return (struct canp_tool){
		.name = "canp-exec",
		.synopsis = "[OPTION]... [COMMAND [ARG]...] [::: ARGUMENT...]... [:::: FILE...]",
		.text = "Runs a command for each argument, several at once.",
		.help = &cfg->help,
		.version = &cfg->version,
	};
}

/* ---- command line ---- */

static const struct canp_opt *row_of(const char *arg)
{
	const struct canp_opt_table *t = &canp_exec_opt_table;
	size_t n = strcspn(arg, "=");

	for (unsigned i = 0; i < t->nr; i++) {
		if (arg[1] == '-' ? strlen(t->rows[i].name) == n - 2 &&
					    !strncmp(arg + 2, t->rows[i].name, n - 2)
				  : t->rows[i].letter == arg[1])
			return &t->rows[i];
	}
	return NULL;
}

/* Options end at the first word that is none; what follows belongs to the command. */
static int options_end(int argc, char **argv)
{
	int i = 1;

	while (i < argc && argv[i][0] == '-' && argv[i][1]) {
		const struct canp_opt *row;

		if (!strcmp(argv[i], "--"))
			break;
		row = row_of(argv[i]);
		/* The value is a word of its own. */
		if (row && row->kind != CANP_OPT_BOOL &&
		    (argv[i][1] == '-' ? !strchr(argv[i], '=') : !argv[i][2]))
			i++;
		i++;
	}
	return canp_min(i, argc);
}

static bool is_source(const char *w)
{
	return !strcmp(w, ":::") || !strcmp(w, "::::");
}

/* The command, then the sources behind it. */
static int command_line(struct exec_run *r, int n, char **w)
{
	int i = 0, rc = 0;

	while (i < n && !is_source(w[i]))
		i++;
	r->tmpl.words = w;
	r->tmpl.nr = (unsigned)i;
	while (i < n && !rc) {
		bool file = w[i][3] == ':';
		int from = ++i;

		while (i < n && !is_source(w[i]))
			i++;
		if (!file)
			rc = exec_args_list(&r->args, &w[from], (unsigned)(i - from));
		for (int k = from; file && k < i && !rc; k++) {
			rc = exec_args_file(&r->args, w[k]);
			if (rc)
				fprintf(stderr, "canp-exec: %s: %s\n", w[k], strerrordesc_np(-rc));
		}
	}
	return rc;
}

static int sources(struct exec_run *r)
{
	const struct canp_opt_list *files = &r->cfg->arg_file;
	int rc = 0;

	for (unsigned i = 0; i < files->nr && !rc; i++) {
		rc = exec_args_file(&r->args, files->v[i]);
		if (rc)
			fprintf(stderr, "canp-exec: %s: %s\n", files->v[i], strerrordesc_np(-rc));
	}
	if (!rc && !r->args.nr)
		rc = exec_args_file(&r->args, "-");
	return rc;
}

static int delimiter(const struct canp_exec_cfg *cfg, char *d)
{
	const char *p = cfg->delimiter;

	*d = cfg->null ? 0 : '\n';
	if (!*p)
		return 0;
	if (p[0] == '\\' && p[1] && !p[2]) {
		*d = p[1] == 'n' ? '\n' : p[1] == 't' ? '\t' : p[1] == '0' ? 0 : '\\';
		return *d == '\\' && p[1] != '\\' ? -EINVAL : 0;
	}
	*d = *p;
	return p[1] ? -EINVAL : 0;
}

static unsigned cpus(void)
{
	struct canp_topology *t = malloc(sizeof(*t));
	unsigned n = t && !canp_topology_read("", t) ? canp_topology_default_cores(t) : 1;

	free(t);
	return n;
}

static int limits(struct exec_run *r, const struct canp_tool *tool)
{
	const struct canp_exec_cfg *cfg = r->cfg;
	unsigned per = canp_max(cfg->max_args, cfg->max_replace_args);

	if (exec_jobs_parse(cfg->jobs, cpus(), &r->limit))
		return canp_tool_usage(tool, "--jobs: '%s' is no number of jobs", cfg->jobs);
	if (cfg->max_procs)
		r->limit = cfg->max_procs;
	if (cfg->timeout[0] && exec_time_parse(cfg->timeout, &r->timeout_ms, &r->timeout_percent))
		return canp_tool_usage(tool, "--timeout: '%s' is no time", cfg->timeout);
	if (cfg->delay[0] && exec_time_parse(cfg->delay, &r->delay_ms, NULL))
		return canp_tool_usage(tool, "--delay: '%s' is no time", cfg->delay);
	if (exec_halt_parse(cfg->halt, &r->halt))
		return canp_tool_usage(tool, "--halt: '%s': never, or soon|now,fail|success|done=N",
				       cfg->halt);
	if (delimiter(cfg, &r->args.delim))
		return canp_tool_usage(tool, "--delimiter: one character");
	if ((cfg->resume || cfg->resume_failed) && !cfg->joblog[0])
		return canp_tool_usage(tool, "--resume needs --joblog");
	/* Room for SIGUSR1. */
	r->limit_max = canp_max(2 * r->limit, r->limit + 32);
	r->limit_max = canp_min(r->limit_max, EXEC_JOBS_MAX);
	per = canp_max(per, cfg->max_lines);
	r->args.per = canp_max(per, 1u);
	r->args.fill = cfg->xargs;
	r->args.jobs = r->limit;
	r->args.max_chars = 131071;
	r->tmpl.mark = cfg->replace;
	r->tmpl.repeat = cfg->xargs;
	r->tmpl.shell = cfg->quote ? CANP_CFG_EXEC_NEVER : cfg->shell;
	return -1;
}

/* ---- the loop ---- */

static void signals_read(struct exec_run *r, int fd)
{
	struct signalfd_siginfo si;

	while (read(fd, &si, sizeof(si)) == sizeof(si)) {
		switch (si.ssi_signo) {
		case SIGUSR1:
			r->limit = canp_min(r->limit + 1, r->limit_max);
			break;
		case SIGUSR2:
			r->limit = canp_max(r->limit - 1, 1u);
			break;
		case SIGTERM:
			r->killed |= r->stop;
			r->stop = true;
			if (r->halt_exit < 0)
				r->halt_exit = 128 + SIGTERM;
			break;
		default:
			r->stop = true;
			r->killed = true;
			r->halt_exit = 128 + (int)si.ssi_signo;
		}
	}
}

static int signals_open(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int wait_ms(const struct exec_run *r)
{
	uint64_t now;

	if (r->timeout_percent || r->cfg->bar || r->cfg->eta)
		return 50;
	if (!r->delay_ms || r->nr_running >= r->limit)
		return -1;
	now = canp_clock_ns();
	return r->next_start_ns > now
		       ? (int)((r->next_start_ns - now) / (uint64_t)CANP_NS_PER_MS) + 1
		       : -1;
}

static void loop(struct exec_run *r, int sigs)
{
	struct pollfd p[3] = {{canp_cmd_pool_fd(r->pool), POLLIN, 0}, {sigs, POLLIN, 0}};

	for (;;) {
		int rc = exec_fill(r);

		if (r->killed)
			exec_kill(r);
		if (exec_idle(r) && (rc == 1 || r->stop))
			return;
		p[2] = (struct pollfd){rc == -EAGAIN ? exec_args_fd(&r->args) : -1, POLLIN, 0};
		if (poll(p, 3, wait_ms(r)) < 0 && errno != EINTR)
			return;
		if (p[1].revents)
			signals_read(r, sigs);
		if (p[2].revents && (rc = exec_args_read(&r->args)) != 0) {
			fprintf(stderr, "canp-exec: input: %s\n", strerrordesc_np(-rc));
			r->broken = true;
			r->stop = true;
		}
		if (p[0].revents)
			canp_cmd_pool_dispatch(r->pool);
		exec_late(r);
		exec_bar(r, false);
	}
}

static int exit_code(const struct exec_run *r)
{
	if (r->broken)
		return EXIT_BROKEN;
	if (r->halt_exit >= 0)
		return r->halt_exit;
	return (int)canp_min(r->failed, (uint64_t)EXIT_FAILED_MAX);
}

static int run(struct exec_run *r)
{
	struct canp_cmd_config pc = {.workers = 1,
				     .concurrency_limit = r->limit_max,
				     .max_size = r->limit_max,
				     .history = 1,
				     .capture_max = 4096,
				     .foreign = true};
	int sigs, rc;

	exec_template_init(&r->tmpl);
	canp_list_init(&r->running);
	canp_list_init(&r->again);
	canp_list_init(&r->order);
	r->halt_exit = -1;
	r->begin_ns = canp_clock_ns();
	rc = exec_log_open(r);
	if (rc) {
		fprintf(stderr, "canp-exec: %s: %s\n", r->cfg->joblog, strerrordesc_np(-rc));
		return EXIT_BROKEN;
	}
	sigs = signals_open();
	rc = canp_cmd_pool_create(&pc, &r->pool);
	if (!rc)
		rc = canp_cmd_pool_start(r->pool, 0);
	if (rc || sigs < 0) {
		fprintf(stderr, "canp-exec: %s\n", strerrordesc_np(rc ? -rc : errno));
		canp_cmd_pool_destroy(r->pool);
		return EXIT_BROKEN;
	}
	loop(r, sigs);
	if (r->bar_shown)
		exec_bar(r, true);
	canp_cmd_pool_destroy(r->pool);
	close(sigs);
	if (r->joblog && fclose(r->joblog))
		r->broken = true;
	free(r->times);
	free(r->done);
	return fflush(stdout) ? EXIT_BROKEN : exit_code(r);
}

int main(int argc, char **argv)
{
	struct canp_exec_cfg cfg;
	struct canp_opt_bind binds[] = {{&canp_exec_opt_table, &cfg}};
	const struct canp_tool tool = exec_tool(&cfg);
	struct exec_run *r;
	struct canp_opts *opts;
	int end = options_end(argc, argv), rc;

	rc = canp_tool_options(&tool, binds, CANP_ARRAY_SIZE(binds), end, argv, &opts);
	if (rc != -1)
		return rc;
	if (end < argc && !strcmp(argv[end], "--"))
		end++;
	r = calloc(1, sizeof(*r));
	if (!r)
		return EXIT_BROKEN;
	r->cfg = &cfg;
	rc = limits(r, &tool);
	if (rc == -1) {
		rc = command_line(r, argc - end, argv + end);
		if (!rc)
			rc = sources(r);
		rc = rc ? EXIT_BROKEN : run(r);
	}
	exec_args_fini(&r->args);
	free(r);
	canp_opts_destroy(opts);
	return rc;
}
