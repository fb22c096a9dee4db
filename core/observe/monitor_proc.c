/*
 * monitor_proc.c - the few files of /proc the monitor reads, through descriptors that stay open: a
 * pread of a kept descriptor costs 1 to 6 us, opening and closing it another 3. One file gives CPU
 * time, threads and rss together, so statm and status are not needed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/units.h"
#include "core/observe/monitor_priv.h"

#define TEXT_MAX 4096u

static uint64_t tick_ns(void)
{
	return (uint64_t)CANP_NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK);
}

static int open_proc(pid_t pid, const char *name)
{
	char path[64];
	int fd;

	if (pid)
		snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	else
		snprintf(path, sizeof(path), "/proc/self/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

int canp_mon_fds_open(struct canp_mon_fds *f, pid_t pid)
{
	f->io = -1;
	f->stat = open_proc(pid, "stat");
	if (f->stat < 0)
		return f->stat == -ENOENT ? -ESRCH : f->stat;
	f->io = open_proc(pid, "io");
	return 0;
}

void canp_mon_fds_close(struct canp_mon_fds *f)
{
	close_fd(&f->stat);
	close_fd(&f->io);
}

/* The text of a file, terminated; the length or -errno. */
static int read_text(int fd, char *text, uint64_t *preads)
{
	ssize_t n = pread(fd, text, TEXT_MAX - 1, 0);

	(*preads)++;
	if (n < 0)
		return -errno;
	text[n] = 0;
	return (int)n;
}

/* The number behind a key at the start of a line; 0 where there is none. */
static uint64_t keyed(const char *text, const char *key)
{
	size_t len = strlen(key);

	for (const char *p = text; p; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (!strncmp(p, key, len))
			return strtoull(p + len, NULL, 10);
	}
	return 0;
}

/* Numbers of /proc/PID/stat as proc(5) counts fields; the name in field 2 may hold anything but
 * ends at the last bracket. */
static int parse_stat(const char *text, struct canp_mon_proc *out)
{
	const char *p = strrchr(text, ')');
	uint64_t field[25] = {0};

	if (!p || p[1] != ' ' || !p[2])
		return -EPROTO;
	p += 3; /* field 3 is one letter */
	for (unsigned i = 4; i < 25; i++) {
		char *end;

		field[i] = strtoull(p, &end, 10);
		if (end == p)
			return -EPROTO;
		p = end;
	}
	out->cpu_ns = (field[14] + field[15]) * tick_ns();
	out->threads = field[20];
	out->rss_bytes = field[24] * (uint64_t)sysconf(_SC_PAGESIZE);
	return 0;
}

static uint64_t own_cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * (uint64_t)CANP_NS_PER_S + (uint64_t)ts.tv_nsec;
}

int canp_mon_read_proc(const struct canp_mon_fds *f, bool self, struct canp_mon_proc *out,
		       uint64_t *preads)
{
	struct canp_mon_proc p = {.at_ns = canp_clock_ns()};
	char text[TEXT_MAX];
	int err = read_text(f->stat, text, preads);

	if (err >= 0)
		err = parse_stat(text, &p);
	if (err < 0)
		return err;
	if (self)
		p.cpu_ns = own_cpu_ns();
	if (f->io >= 0 && read_text(f->io, text, preads) > 0) {
		p.rchar_bytes = keyed(text, "rchar:");
		p.wchar_bytes = keyed(text, "wchar:");
		p.read_bytes = keyed(text, "read_bytes:");
		p.written_bytes = keyed(text, "write_bytes:");
	}
	*out = p;
	return 0;
}

int canp_mon_sys_open(struct canp_mon_sysfds *f)
{
	f->stat = open("/proc/stat", O_RDONLY | O_CLOEXEC);
	f->meminfo = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
	if (f->stat >= 0 && f->meminfo >= 0)
		return 0;
	canp_mon_sys_close(f);
	return -ENOENT;
}

void canp_mon_sys_close(struct canp_mon_sysfds *f)
{
	close_fd(&f->stat);
	close_fd(&f->meminfo);
}

/* The line "cpu": user nice system idle iowait irq softirq steal .. (guest is in user). */
static void parse_cpu(const char *text, struct canp_mon_system *out)
{
	const char *p = text + 3;

	for (unsigned i = 0; i < 8; i++) {
		char *end;
		uint64_t ns = strtoull(p, &end, 10) * tick_ns();

		if (i == 3 || i == 4)
			out->cpu_idle_ns += ns;
		else
			out->cpu_busy_ns += ns;
		p = end;
	}
}

int canp_mon_read_system(const struct canp_mon_sysfds *f, struct canp_mon_system *out,
			 uint64_t *preads)
{
	struct canp_mon_system s = {.at_ns = canp_clock_ns()};
	char text[TEXT_MAX];
	int n = read_text(f->stat, text, preads);

	if (n < 0)
		return n;
	if (!strncmp(text, "cpu ", 4))
		parse_cpu(text, &s);
	/* Hosts with many interrupts have these lines behind what was read: then they stay 0. */
	s.switches = keyed(text, "ctxt ");
	s.forks = keyed(text, "processes ");
	n = read_text(f->meminfo, text, preads);
	if (n < 0)
		return n;
	s.mem_total_bytes = keyed(text, "MemTotal:") * CANP_KIB;
	s.mem_available_bytes = keyed(text, "MemAvailable:") * CANP_KIB;
	*out = s;
	return 0;
}
