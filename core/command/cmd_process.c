/*
 * cmd_process.c - the built-in way to carry a command out: a child of this process, watched by the
 * lane through its pidfd, its output read from pipes as it comes.
 *
 * The end of a command is the end of its own process: what it wrote is read to the last byte then,
 * but a descendant that holds the pipe open is not waited for. A killed command's group is killed
 * before the child is reaped, while its number still belongs to it.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/assert.h"
#include "core/command/cmd_priv.h"

enum { EV_CHILD, EV_OUT, EV_ERR };
#define READ_ROUNDS 4

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* ---- output ---- */

void canp_cmd_call_output(struct canp_cmd_call *c, int stream, const void *data, size_t len)
{
	if (stream != 1 && stream != 2)
		return;
	canp_cmd_capture_add(&c->cap[stream - 1], data, len);
	if (c->spec.on_output)
		c->spec.on_output(c->spec.arg, stream, data, len);
}

/* Taken out of the set by hand: a child that has not executed its program yet still has a copy of
 * the descriptor, so closing ours does not end its membership. */
static void pipe_close(struct canp_cmd_call *c, int *fd)
{
	if (*fd >= 0)
		epoll_ctl(c->lane->ep, EPOLL_CTL_DEL, *fd, NULL);
	close_fd(fd);
}

/* Reads up to `max` bytes; closes the pipe at its end. */
static void pipe_read(struct canp_cmd_call *c, int stream, size_t max)
{
	int *fd = &c->pipes[stream - 1];
	char *buf = c->lane->scratch;

	while (max && *fd >= 0) {
		ssize_t n = read(*fd, buf, canp_min(max, (size_t)CMD_SCRATCH));

		if (n > 0) {
			max -= (size_t)n;
			canp_cmd_call_output(c, stream, buf, (size_t)n);
		} else if (n < 0 && errno == EINTR) {
			continue;
		} else if (n < 0 && errno == EAGAIN) {
			return;
		} else {
			pipe_close(c, fd);
		}
	}
}

/* What lies in the pipe now; a descendant may go on writing for ever. */
static void pipe_drain(struct canp_cmd_call *c, int stream)
{
	int *fd = &c->pipes[stream - 1], have = 0;

	if (*fd >= 0 && !ioctl(*fd, FIONREAD, &have) && have > 0)
		pipe_read(c, stream, (size_t)have);
	pipe_close(c, fd);
}

/* ---- signals ---- */

void canp_cmd_kill_group(struct canp_cmd_call *c, int sig, bool tree)
{
	/* The child is not reaped, so its numbers are its own. */
	if (c->spec.same_group || kill(-c->r.pid, sig))
		syscall(SYS_pidfd_send_signal, c->pidfd, sig, NULL, 0);
	if (tree)
		canp_cmd_kill_tree(c->id_text, sig);
}

static void process_kill(void *ctx, struct canp_cmd_call *c, int sig)
{
	(void)ctx;
	canp_cmd_kill_group(c, sig, sig == SIGKILL);
	/* One that is stopped would never see it. */
	if (sig != SIGKILL)
		canp_cmd_kill_group(c, SIGCONT, false);
}

/* ---- the end ---- */

static void spawn_failed(struct canp_cmd_call *c, int err)
{
	struct canp_cmd_result *r = &c->r;

	r->why = CANP_CMD_ERR_IO;
	r->error = -err;
	r->exit_code = -1;
	switch (c->sp.step) {
	case CMD_STEP_CHDIR:
		snprintf(r->message, sizeof(r->message), "cannot enter '%s': %s (errno %d)",
			 c->spec.cwd, strerrordesc_np(err), err);
		break;
	case CMD_STEP_LIMITS:
		snprintf(r->message, sizeof(r->message), "cannot set limits: %s (errno %d)",
			 strerrordesc_np(err), err);
		break;
	case CMD_STEP_FDS:
		snprintf(r->message, sizeof(r->message), "cannot connect streams: %s (errno %d)",
			 strerrordesc_np(err), err);
		break;
	default:
		if (err == E2BIG || !canp_cmd_diagnose(c->spec.argv[0], c->spec.env, c->spec.cwd,
						       r->message, sizeof(r->message)))
			snprintf(r->message, sizeof(r->message),
				 "cannot execute '%s': %s (errno %d)", c->sp.path,
				 strerrordesc_np(err), err);
	}
}

static void child_status(struct canp_cmd_call *c, const siginfo_t *si)
{
	struct canp_cmd_result *r = &c->r;
	int err = __atomic_load_n(&c->sp.error, __ATOMIC_ACQUIRE);

	if (err) {
		spawn_failed(c, err);
		return;
	}
	if (si->si_code == CLD_EXITED) {
		r->exit_code = si->si_status;
	} else {
		r->term_signal = si->si_status;
		r->core_dumped = si->si_code == CLD_DUMPED;
	}
	if (c->reason == CANP_CMD_ERR_TIMEOUT) {
		r->why = CANP_CMD_ERR_TIMEOUT;
		r->error = -ETIMEDOUT;
	} else if (c->reason == CANP_CMD_ERR_CANCELLED) {
		r->why = CANP_CMD_ERR_CANCELLED;
		r->error = -ECANCELED;
	} else if (r->exit_code) {
		r->why = CANP_CMD_ERR_CHILD;
		r->error = -ECHILD;
	}
}

static void child_ended(struct canp_cmd_call *c)
{
	siginfo_t si = {0};
	long rc;

	pipe_drain(c, 1);
	pipe_drain(c, 2);
	/* Before it is reaped: then the group's number could be somebody else's. */
	if (c->kill_sent || c->spec.kill_leftover) {
		if (!c->spec.same_group)
			kill(-c->r.pid, SIGKILL);
		canp_cmd_kill_tree(c->id_text, SIGKILL);
	}
	do {
		rc = syscall(SYS_waitid, P_PIDFD, c->pidfd, &si, WEXITED, &c->r.usage);
	} while (rc < 0 && errno == EINTR);
	close_fd(&c->pidfd);
	if (rc < 0) { /* somebody else reaped it: SIGCHLD is ignored, or a wait for any child */
		c->r.why = CANP_CMD_ERR_IO;
		c->r.error = -errno;
		snprintf(c->r.message, sizeof(c->r.message),
			 "its exit status was taken by another wait()");
	} else {
		child_status(c, &si);
	}
	canp_cmd_finish(c);
}

void canp_cmd_process_event(struct canp_cmd_call *c, unsigned what)
{
	if (what == EV_CHILD)
		child_ended(c);
	else
		pipe_read(c, (int)what, (size_t)READ_ROUNDS * CMD_SCRATCH);
}

/* ---- start ---- */

static int watch(struct canp_cmd_call *c, int fd, unsigned what)
{
	struct cmd_lane *l = c->lane;
	/* A child ends once; see pipe_close() for why it must not be reported again. */
	struct epoll_event e = {.events = EPOLLIN | (what == EV_CHILD ? EPOLLONESHOT : 0),
				.data.u64 = (uint64_t)l->gens[c->run] << 32 | (uint64_t)what << 24 |
					    c->run};

	return epoll_ctl(l->ep, EPOLL_CTL_ADD, fd, &e) ? -errno : 0;
}

/* The bytes lie in a file in memory: the child reads at its own pace and nobody feeds it. */
static int data_fd(const struct canp_cmd_stream *s, int *fd)
{
	const char *p = s->data;
	size_t left = s->len;

	*fd = memfd_create("canp-stdin", MFD_CLOEXEC);
	if (*fd < 0)
		return -errno;
	while (left) {
		ssize_t n = write(*fd, p, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -errno;
		p += n;
		left -= (size_t)n;
	}
	return lseek(*fd, 0, SEEK_SET) < 0 ? -errno : 0;
}

/* The child's end of a stream in *fd; *own: it is closed after the start. */
static int stream_open(struct canp_cmd_call *c, int i, const struct canp_cmd_stream *s, bool *own)
{
	enum canp_cmd_io kind = s->kind;
	int *fd = &c->sp.fds[i], ends[2];

	*fd = -1;
	if (kind == CANP_CMD_IO_DEFAULT)
		kind = i ? CANP_CMD_IO_CAPTURE : CANP_CMD_IO_NULL;
	switch (kind) {
	case CANP_CMD_IO_NULL:
		*fd = c->pool->null_fd;
		return 0;
	case CANP_CMD_IO_FD:
		*fd = s->fd;
		return 0;
	case CANP_CMD_IO_DATA:
		*own = true;
		return data_fd(s, fd);
	case CANP_CMD_IO_CAPTURE:
		if (pipe2(ends, O_CLOEXEC))
			return -errno;
		*own = true;
		*fd = ends[1];
		c->pipes[i - 1] = ends[0];
		/* Only our end: the child's would be seen by the program. */
		if (fcntl(ends[0], F_SETFL, O_NONBLOCK))
			return -errno;
		return watch(c, ends[0], i == 1 ? EV_OUT : EV_ERR);
	default:
		return 0;
	}
}

static int child_spawn(struct canp_cmd_call *c)
{
	struct cmd_lane *l = c->lane;
	char *run = l->runs + (size_t)c->run * CMD_RUN_BYTES;
	char **envp = (char **)(run + CMD_STACK_BYTES);
	char *path = run + CMD_STACK_BYTES + (CMD_ENV_MAX + 8) * sizeof(char *);
	const char *found = canp_cmd_path(l, &c->spec);
	size_t n = found ? strlen(found) + 1 : 0;
	pid_t pid;
	int rc;

	if (!found || n > CMD_PATH_BYTES) {
		c->sp.step = CMD_STEP_EXEC;
		rc = canp_cmd_diagnose(c->spec.argv[0], c->spec.env, c->spec.cwd, c->r.message,
				       sizeof(c->r.message));
		return rc ? rc : -ENAMETOOLONG;
	}
	memcpy(path, found, n); /* the lane's copy is the next command's */
	rc = canp_cmd_env(c, envp);
	if (rc)
		return rc;
	c->sp.spec = &c->spec;
	c->sp.path = path;
	c->sp.argv = c->argv;
	c->sp.envp = envp;
	c->sp.affinity = l->affinity;
	c->sp.parent = l->pid;
	pid = canp_cmd_spawn(&c->sp, run, &c->pidfd);
	if (pid < 0)
		return pid;
	c->r.pid = pid;
	return watch(c, c->pidfd, EV_CHILD);
}

static int process_start(void *ctx, struct canp_cmd_call *c)
{
	const struct canp_cmd_stream *s[3] = {&c->spec.in, &c->spec.out, &c->spec.err};
	bool own[3] = {false, false, false};
	int rc = 0;

	(void)ctx;
	for (int i = 0; i < 3; i++)
		c->sp.fds[i] = -1;
	for (int i = 0; i < 3 && !rc; i++)
		rc = stream_open(c, i, s[i], &own[i]);
	if (!rc)
		rc = child_spawn(c);
	/* The child has its own table, but reads the numbers from here: they stay. */
	for (int i = 0; i < 3; i++) {
		if (own[i] && c->sp.fds[i] >= 0)
			close(c->sp.fds[i]);
	}
	if (rc) {
		pipe_close(c, &c->pipes[0]);
		pipe_close(c, &c->pipes[1]);
		if (c->pidfd >= 0) { /* it cannot be watched: no descriptors left for the set */
			canp_cmd_kill_group(c, SIGKILL, false);
			syscall(SYS_waitid, P_PIDFD, c->pidfd, NULL, WEXITED, NULL);
			close_fd(&c->pidfd);
		}
	}
	return rc;
}

const struct canp_cmd_backend canp_cmd_process = {
	.name = "process",
	.start = process_start,
	.kill = process_kill,
};

/* The same on several lanes. */
const struct canp_cmd_backend canp_cmd_thread = {
	.name = "thread",
	.start = process_start,
	.kill = process_kill,
};
