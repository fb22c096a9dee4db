/*
 * cmd_spawn.c - clone3() with CLONE_VM and without CLONE_VFORK. The child runs canp code on a stack
 * of its own, in the caller's memory, beside the caller's threads: it may use nothing of the C
 * library (errno and locks are the caller's), so it makes raw system calls only and no sanitizer
 * looks into it. Measured: the caller is busy for 20 to 25 us whatever its size; fork() copies page
 * tables (15 ms at 512 MB) and vfork() waits for the whole execve().
 *
 * Where clone3() is refused (old kernels, containers) the older clone() is used with CLONE_VFORK;
 * it cannot reset signal handlers, so all signals are blocked around it and the child resets them.
 */
#include "core/command/cmd_spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "core/command/command.h"

bool canp_cmd_spawn_old;

#define CHILD_CODE                                                                                 \
	__attribute__((no_sanitize("address"), no_sanitize("thread"), no_sanitize("undefined"),    \
		       no_stack_protector))
#define CHILD_INLINE static inline CHILD_CODE __attribute__((always_inline))

/* The kernel's layout, not the C library's. */
struct kernel_sigaction {
	void (*handler)(int);
	unsigned long flags;
	void (*restorer)(void);
	uint64_t mask;
};

CHILD_INLINE long raw4(long nr, long a, long b, long c, long d)
{
	register long r10 asm("r10") = d;
	long rc;

	asm volatile("syscall"
		     : "=a"(rc)
		     : "0"(nr), "D"(a), "S"(b), "d"(c), "r"(r10)
		     : "rcx", "r11", "memory");
	return rc;
}

CHILD_INLINE long raw3(long nr, long a, long b, long c)
{
	return raw4(nr, a, b, c, 0);
}

CHILD_INLINE CANP_NORETURN void child_fail(struct cmd_spawn *s, int step, long rc)
{
	s->step = step;
	__atomic_store_n(&s->error, (int)-rc, __ATOMIC_RELEASE);
	for (;;)
		raw3(SYS_exit_group, 127, 0, 0);
}

CHILD_INLINE void child_fds(struct cmd_spawn *s)
{
	const struct canp_cmd_spec *spec = s->spec;
	int fd[3];
	long rc;

	/* Sources that lie where another stream goes are moved out of the way first. */
	for (int i = 0; i < 3; i++) {
		fd[i] = s->fds[i];
		if (fd[i] < 0 || fd[i] > 2 || fd[i] == i)
			continue;
		rc = raw3(SYS_fcntl, fd[i], F_DUPFD_CLOEXEC, 3);
		if (rc < 0)
			child_fail(s, CMD_STEP_FDS, rc);
		fd[i] = (int)rc;
	}
	for (int i = 0; i < 3; i++) {
		if (fd[i] < 0 || fd[i] == i)
			raw3(SYS_fcntl, i, F_SETFD, 0);
		else if ((rc = raw3(SYS_dup3, fd[i], i, 0)) < 0)
			child_fail(s, CMD_STEP_FDS, rc);
	}
	if (spec->err.kind == CANP_CMD_IO_STDOUT)
		raw3(SYS_dup3, 1, 2, 0);
	/* Refused by old kernels only; what canp opens is close-on-exec anyway. */
	raw3(SYS_close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC);
	for (unsigned i = 0; i < spec->nr_keep_fds; i++)
		raw3(SYS_fcntl, spec->keep_fds[i], F_SETFD, 0);
}

CHILD_INLINE void child_limits(struct cmd_spawn *s)
{
	const struct canp_cmd_spec *spec = s->spec;
	long rc = 0;

	for (unsigned i = 0; i < spec->nr_rlimits && rc >= 0; i++)
		rc = raw4(SYS_prlimit64, 0, spec->rlimits[i].resource,
			  (long)&spec->rlimits[i].limit, 0);
	if (rc >= 0 && spec->nice)
		/* The raw call answers 20 - nice. */
		rc = raw3(SYS_setpriority, PRIO_PROCESS, 0,
			  20 - raw3(SYS_getpriority, PRIO_PROCESS, 0, 0) + spec->nice);
	if (rc >= 0 && spec->no_new_privs)
		rc = raw4(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0);
	if (rc < 0)
		child_fail(s, CMD_STEP_LIMITS, rc);
	if (s->affinity)
		raw3(SYS_sched_setaffinity, 0, sizeof(*s->affinity), (long)s->affinity);
}

/* Handlers are gone (or go now); what was ignored stays so, but for the two that programs do not
 * expect to inherit. The mask is opened last. */
CHILD_INLINE void child_signals(const struct cmd_spawn *s)
{
	struct kernel_sigaction old, dfl = {.handler = SIG_DFL};
	uint64_t none = 0;

	for (int sig = 1; s->keep_handlers && sig <= 64; sig++) {
		if (raw4(SYS_rt_sigaction, sig, 0, (long)&old, 8) == 0 && old.handler != SIG_IGN)
			raw4(SYS_rt_sigaction, sig, (long)&dfl, 0, 8);
	}
	raw4(SYS_rt_sigaction, SIGPIPE, (long)&dfl, 0, 8);
	raw4(SYS_rt_sigaction, SIGXFSZ, (long)&dfl, 0, 8);
	raw4(SYS_rt_sigprocmask, SIG_SETMASK, (long)&none, 0, 8);
}

static CHILD_CODE CANP_NOINLINE int child_main(void *arg)
{
	struct cmd_spawn *s = arg;
	const struct canp_cmd_spec *spec = s->spec;
	long rc;

	if (!spec->same_group)
		raw3(SYS_setpgid, 0, 0, 0);
	if (!spec->no_pdeathsig) {
		raw4(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0);
		if (raw3(SYS_getppid, 0, 0, 0) != s->parent) /* it died before that */
			child_fail(s, CMD_STEP_EXEC, -ECANCELED);
	}
	child_fds(s);
	child_limits(s);
	if (spec->cwd && (rc = raw3(SYS_chdir, (long)spec->cwd, 0, 0)) < 0)
		child_fail(s, CMD_STEP_CHDIR, rc);
	child_signals(s);
	rc = raw3(SYS_execve, (long)s->path, (long)s->argv, (long)s->envp);
	if (rc == -ENOEXEC) { /* a script without a first line that says whose */
		char **argv = s->argv - 1;

		argv[0] = (char *)"/bin/sh";
		argv[1] = (char *)s->path;
		rc = raw3(SYS_execve, (long)argv[0], (long)argv, (long)s->envp);
	}
	child_fail(s, CMD_STEP_EXEC, rc);
}

static long clone3_child(struct clone_args *a, struct cmd_spawn *s)
{
	register int (*fn)(void *) asm("r12") = child_main;
	register void *arg asm("r13") = s;
	long rc;

	/* In the child: an empty frame, then child_main(), which does not return. */
	asm volatile("syscall\n\t"
		     "test %%rax, %%rax\n\t"
		     "jnz 1f\n\t"
		     "xor %%ebp, %%ebp\n\t"
		     "mov %%r13, %%rdi\n\t"
		     "call *%%r12\n\t"
		     "ud2\n"
		     "1:"
		     : "=a"(rc)
		     : "0"((long)SYS_clone3), "D"(a), "S"(sizeof(*a)), "r"(fn), "r"(arg)
		     : "rcx", "r11", "memory");
	return rc;
}

static pid_t spawn_clone3(struct cmd_spawn *s, void *stack, int *pidfd)
{
	struct clone_args a = {
		.flags = CLONE_VM | CLONE_PIDFD | CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID |
			 CLONE_CLEAR_SIGHAND,
		.pidfd = (uintptr_t)pidfd,
		.child_tid = (uintptr_t)&s->tid,
		.exit_signal = SIGCHLD,
		.stack = (uintptr_t)stack,
		.stack_size = CMD_STACK_BYTES,
	};

	return (pid_t)clone3_child(&a, s);
}

static pid_t spawn_clone(struct cmd_spawn *s, void *stack, int *pidfd)
{
	sigset_t all, old;
	pid_t pid;

	s->keep_handlers = true;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	pid = clone(child_main, (char *)stack + CMD_STACK_BYTES,
		    CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_CHILD_CLEARTID | SIGCHLD, s, pidfd,
		    NULL, &s->tid);
	if (pid < 0)
		pid = -errno;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return pid;
}

pid_t canp_cmd_spawn(struct cmd_spawn *s, void *stack, int *pidfd)
{
	static bool old;
	pid_t pid = -ENOSYS;

	s->error = 0;
	s->step = CMD_STEP_NONE;
	s->keep_handlers = false;
	*pidfd = -1;
	__atomic_store_n(&s->tid, 1, __ATOMIC_RELAXED);
	if (!canp_cmd_spawn_old && !__atomic_load_n(&old, __ATOMIC_RELAXED)) {
		pid = spawn_clone3(s, stack, pidfd);
		if (pid == -ENOSYS || pid == -EPERM || pid == -EINVAL)
			__atomic_store_n(&old, true, __ATOMIC_RELAXED);
		else
			return pid;
	}
	return spawn_clone(s, stack, pidfd);
}
