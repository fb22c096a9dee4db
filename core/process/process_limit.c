/*
 * process_limit.c - what a worker gives up before its first task: resource limits, the right to
 * gain privileges, files outside of given folders (Landlock), and system calls that a computation
 * does not need (seccomp). After worker_init, which may still open what it wants. The order
 * matters: no_new_privs allows the other two without root, seccomp comes last.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/process/process_priv.h"

static void failed(struct canp_process_pool *p, const char *what, int rc)
{
	struct canp_process_limits_state *st = &p->shm->limits;

	if (!st->reason[0])
		snprintf(st->reason, sizeof(st->reason), "%s: %s", what, strerror(-rc));
}

static int rlimit_set(int what, rlim_t v)
{
	struct rlimit r = {v, v};

	return setrlimit(what, &r) ? -errno : 0;
}

static int rlimits(const struct canp_process_limits *l)
{
	int rc = 0;

	if (l->as_bytes)
		rc = rlimit_set(RLIMIT_AS, l->as_bytes);
	if (!rc && l->nofile)
		rc = rlimit_set(RLIMIT_NOFILE, l->nofile);
	if (!rc && l->no_core)
		rc = rlimit_set(RLIMIT_CORE, 0);
	if (!rc && l->cpu_s) {
		struct rlimit r = {l->cpu_s, (rlim_t)l->cpu_s + 2}; /* SIGXCPU, then SIGKILL */

		rc = setrlimit(RLIMIT_CPU, &r) ? -errno : 0;
	}
	return rc;
}

/* ---- Landlock ---- */

#define LL_READ                                                                                    \
	(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define LL_WRITE                                                                                   \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |                           \
	 LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |                           \
	 LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |                               \
	 LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |                             \
	 LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM)

static int landlock_add(int fd, const char *const *paths, uint64_t access)
{
	int rc = 0;

	for (unsigned i = 0; !rc && paths && paths[i]; i++) {
		struct landlock_path_beneath_attr a = {.allowed_access = access};

		a.parent_fd = open(paths[i], O_PATH | O_CLOEXEC);
		if (a.parent_fd < 0)
			return -errno;
		if (syscall(SYS_landlock_add_rule, fd, LANDLOCK_RULE_PATH_BENEATH, &a, 0))
			rc = -errno;
		close(a.parent_fd);
	}
	return rc;
}

static int landlock_apply(const struct canp_process_limits *l)
{
	struct landlock_ruleset_attr a = {.handled_access_fs = LL_READ | LL_WRITE};
	int fd = (int)syscall(SYS_landlock_create_ruleset, &a, sizeof(a), 0), rc;

	if (fd < 0)
		return -errno;
	rc = landlock_add(fd, l->landlock_ro, LL_READ);
	if (!rc)
		rc = landlock_add(fd, l->landlock_rw, LL_READ | LL_WRITE);
	if (!rc && syscall(SYS_landlock_restrict_self, fd, 0))
		rc = -errno;
	close(fd);
	return rc;
}

/* ---- seccomp ---- */

static int seccomp_apply(void)
{
	static const uint16_t allowed[] = {SYS_read,
					   SYS_write,
					   SYS_readv,
					   SYS_writev,
					   SYS_pread64,
					   SYS_pwrite64,
					   SYS_lseek,
					   SYS_close,
					   SYS_fstat,
					   SYS_newfstatat,
					   SYS_mmap,
					   SYS_munmap,
					   SYS_mremap,
					   SYS_mprotect,
					   SYS_madvise,
					   SYS_brk,
					   SYS_futex,
					   SYS_sched_yield,
					   SYS_nanosleep,
					   SYS_clock_nanosleep,
					   SYS_clock_gettime,
					   SYS_gettimeofday,
					   SYS_getpid,
					   SYS_gettid,
					   SYS_getppid,
					   SYS_getrandom,
					   SYS_getrusage,
					   SYS_rt_sigaction,
					   SYS_rt_sigprocmask,
					   SYS_rt_sigreturn,
					   SYS_sigaltstack,
					   SYS_tgkill,
					   SYS_restart_syscall,
					   SYS_poll,
					   SYS_exit,
					   SYS_exit_group};
	struct sock_filter f[CANP_ARRAY_SIZE(allowed) + 6];
	struct sock_fprog prog = {.filter = f};
	unsigned n = 0, nr = CANP_ARRAY_SIZE(allowed);

	f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
					      offsetof(struct seccomp_data, arch));
	f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0,
					      (uint8_t)(nr + 1));
	f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
					      offsetof(struct seccomp_data, nr));
	for (unsigned i = 0; i < nr; i++)
		f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, allowed[i],
						      (uint8_t)(nr - i), 0);
	f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
	f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	prog.len = (unsigned short)n;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) ? -errno : 0;
}

int canp_process_limits_apply(struct canp_process_pool *p)
{
	struct canp_process_limits_state *st = &p->shm->limits;
	const struct canp_process_limits *l = &p->limits;
	bool landlock = l->landlock_ro || l->landlock_rw;
	int rc, first = 0;

	if (!p->cfg.limits)
		return 0;
	first = rlimits(l);
	if (first)
		failed(p, "resource limit", first);
	if (l->no_new_privs || l->seccomp || landlock) {
		rc = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? -errno : 0;
		st->no_new_privs = !rc;
		if (rc)
			failed(p, "no_new_privs", rc);
		first = first ? first : rc;
	}
	if (landlock) {
		rc = landlock_apply(l);
		st->landlock = !rc;
		if (rc)
			failed(p, "landlock", rc);
		first = first ? first : rc;
	}
	if (l->seccomp) {
		rc = seccomp_apply();
		st->seccomp = !rc;
		if (rc)
			failed(p, "seccomp", rc);
		first = first ? first : rc;
	}
	return l->required ? first : 0;
}
