/*
 * process_zygote.c - the small process that forks the workers. It has one thread and the memory of
 * the moment when the pool was created, so a fork takes some ten microseconds whatever the program
 * grew to, and no lock of another thread is held in the copy. It sleeps until it gets a request,
 * one of its children ends or its parent is gone.
 *
 * Only it reaps, and it alone signals workers, so a pid cannot have become somebody else's. An end
 * goes into the table (state DEAD), then the supervisor is kicked. When the parent dies it kills
 * all workers; when it dies itself they die with it (their parent-death signal).
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/process/process_priv.h"

enum { ZY_SPAWN = 1, ZY_KILL };

struct zy_request {
	uint32_t op, entry;
	int32_t signo;
};

/* ---- in the zygote ---- */

static void zy_spawn(struct canp_process_pool *p, unsigned entry, int sfd, int pfd)
{
	struct proc_entry *e = &p->shm->entries[entry];
	pid_t pid = fork();

	if (pid == 0) {
		close(p->ctl_fd);
		close(sfd);
		close(pfd);
		/* Whoever sees that it is ready sees its number, too. */
		proc_set32((uint32_t *)&e->pid, (uint32_t)getpid());
		canp_process_worker_main(p, entry);
	}
	if (pid > 0) {
		proc_set32((uint32_t *)&e->pid, (uint32_t)pid);
		return;
	}
	e->exit_code = 0;
	e->exit_status = errno;
	proc_set32((uint32_t *)&e->pid, 0);
	proc_set32(&e->state, PE_DEAD);
	canp_process_kick(p);
}

static void zy_reap(struct canp_process_pool *p)
{
	siginfo_t si;

	for (;;) {
		si.si_pid = 0;
		if (waitid(P_ALL, 0, &si, WEXITED | WNOHANG) || !si.si_pid)
			return;
		for (unsigned i = 0; i < p->nr_entries; i++) {
			struct proc_entry *e = &p->shm->entries[i];

			if (e->pid != si.si_pid || proc_get32(&e->state) == PE_FREE)
				continue;
			e->exit_code = si.si_code;
			e->exit_status = si.si_status;
			proc_set32(&e->state, PE_DEAD);
			canp_process_kick(p);
			break;
		}
	}
}

static void zy_kill(struct canp_process_pool *p, unsigned entry, int signo)
{
	struct proc_entry *e = &p->shm->entries[entry];
	uint32_t state = proc_get32(&e->state);

	/* Reaped only by this thread: the pid is still the worker's. */
	if ((state == PE_STARTING || state == PE_READY) && e->pid > 0)
		kill(e->pid, signo);
}

static CANP_NORETURN void zy_end(struct canp_process_pool *p)
{
	for (unsigned i = 0; i < p->nr_entries; i++)
		zy_kill(p, i, SIGKILL);
	/* Only workers: what they may have started and left behind is not waited for. */
	for (unsigned i = 0; i < p->nr_entries; i++) {
		uint32_t state = proc_get32(&p->shm->entries[i].state);

		if (state == PE_STARTING || state == PE_READY)
			waitpid(p->shm->entries[i].pid, NULL, 0);
	}
	_exit(0);
}

static CANP_NORETURN void zy_main(struct canp_process_pool *p, pid_t parent)
{
	sigset_t set;
	char name[32];
	int sfd, pfd;

	signal(SIGCHLD, SIG_DFL);
	sigfillset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL); /* nothing but SIGKILL ends it */
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	pfd = (int)syscall(SYS_pidfd_open, parent, 0);
	snprintf(name, sizeof(name), "%.13s-z", p->cfg.pool_name);
	prctl(PR_SET_NAME, name);
	/* What a worker leaves behind comes here instead of to the system's first process. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	p->shm->zygote_pid = getpid();
	/* Buffers of the parent are the parent's to write. */
	__fpurge(stdout);
	__fpurge(stderr);
	for (;;) {
		struct pollfd fds[3] = {{.fd = p->ctl_fd, .events = POLLIN},
					{.fd = sfd, .events = POLLIN},
					{.fd = pfd, .events = POLLIN}};
		struct signalfd_siginfo si;
		struct zy_request r;

		if (poll(fds, 3, -1) < 0 && errno != EINTR)
			zy_end(p);
		if (fds[2].revents || getppid() != parent)
			zy_end(p);
		if (fds[1].revents) {
			while (read(sfd, &si, sizeof(si)) > 0)
				;
			zy_reap(p);
		}
		if (!fds[0].revents)
			continue;
		if (recv(p->ctl_fd, &r, sizeof(r), 0) != (ssize_t)sizeof(r))
			zy_end(p);
		if (r.op == ZY_SPAWN)
			zy_spawn(p, r.entry, sfd, pfd);
		else
			zy_kill(p, r.entry, r.signo);
	}
}

/* ---- in the parent ---- */

int canp_process_zygote_start(struct canp_process_pool *p)
{
	pid_t parent = getpid(), pid;
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv))
		return -errno;
	pid = fork();
	if (pid < 0) {
		int rc = -errno;

		close(sv[0]);
		close(sv[1]);
		return rc;
	}
	if (pid == 0) {
		close(sv[0]);
		p->ctl_fd = sv[1];
		zy_main(p, parent);
	}
	close(sv[1]);
	p->ctl_fd = sv[0];
	p->zygote = pid;
	p->zygote_fd = (int)syscall(SYS_pidfd_open, pid, 0);
	return 0;
}

void canp_process_zygote_stop(struct canp_process_pool *p)
{
	/* Another process may have a copy of this end, for example the zygote of a second pool: a
	 * close alone would not be seen. */
	if (p->ctl_fd >= 0) {
		shutdown(p->ctl_fd, SHUT_RDWR);
		close(p->ctl_fd);
	}
	p->ctl_fd = -1;
	if (p->zygote > 0)
		while (waitpid(p->zygote, NULL, 0) < 0 && errno == EINTR)
			;
	p->zygote = 0;
	if (p->zygote_fd >= 0)
		close(p->zygote_fd);
	p->zygote_fd = -1;
}

static int zy_send(struct canp_process_pool *p, const struct zy_request *r)
{
	if (send(p->ctl_fd, r, sizeof(*r), MSG_NOSIGNAL) != (ssize_t)sizeof(*r))
		return errno ? -errno : -EIO;
	return 0;
}

int canp_process_zygote_spawn(struct canp_process_pool *p, unsigned entry)
{
	struct zy_request r = {.op = ZY_SPAWN, .entry = entry};

	return zy_send(p, &r);
}

int canp_process_zygote_kill(struct canp_process_pool *p, unsigned entry, int signo)
{
	struct zy_request r = {.op = ZY_KILL, .entry = entry, .signo = signo};

	return zy_send(p, &r);
}
