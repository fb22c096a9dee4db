/*
 * host.c - reads the facts of host.h.
 *
 * Everything comes from text files under one root, the limits too (/proc/self/limits is what
 * getrlimit returns), so that each fact can be tested with values this machine does not have.
 */
#include "numa/host.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/units.h"
#include "numa/hugepage_priv.h"
#include "numa/sysfile.h"

/* "unlimited" or a number, followed by blanks; *p moves behind it. */
static uint64_t limit_word(const char **p)
{
	static const char word[] = "unlimited";
	char *end;
	uint64_t v;

	*p += strspn(*p, " ");
	if (!strncmp(*p, word, sizeof(word) - 1)) {
		*p += sizeof(word) - 1;
		return CANP_HOST_UNLIMITED;
	}
	v = strtoull(*p, &end, 10);
	*p = end;
	return v;
}

static void read_limit(const char *root, const char *key, uint64_t *soft, uint64_t *hard)
{
	char text[128];
	const char *p = text;

	*soft = *hard = 0;
	if (canp_sysfile_key(root, "/proc/self/limits", key, text, sizeof(text)))
		return;
	*soft = limit_word(&p);
	*hard = limit_word(&p);
}

static uint64_t read_kib(const char *root, const char *key)
{
	char text[64];

	if (canp_sysfile_key(root, "/proc/meminfo", key, text, sizeof(text)))
		return 0;
	return strtoull(text, NULL, 10) * CANP_KIB;
}

static void read_cpu_model(const char *root, char *out, size_t cap)
{
	char text[128], *colon;

	out[0] = '\0';
	/* "model name\t: Intel(R) ..."; other architectures have no such line. */
	if (canp_sysfile_key(root, "/proc/cpuinfo", "model name", text, sizeof(text)))
		return;
	colon = strchr(text, ':');
	if (colon)
		snprintf(out, cap, "%s", colon + 1 + strspn(colon + 1, " "));
}

void canp_host_facts(const char *root, struct canp_host_facts *f)
{
	int64_t v;

	memset(f, 0, sizeof(*f));
	(void)canp_sysfile_read(root, "/proc/sys/kernel/osrelease", f->kernel, sizeof(f->kernel));
	read_cpu_model(root, f->cpu_model, sizeof(f->cpu_model));
	read_limit(root, "Max locked memory", &f->memlock_soft, &f->memlock_hard);
	read_limit(root, "Max open files", &f->nofile_soft, &f->nofile_hard);
	f->mem_total = read_kib(root, "MemTotal:");
	f->mem_available = read_kib(root, "MemAvailable:");
	f->cgroup_mem_limit = canp_hugepage_cgroup_limit(root);
	f->room = canp_hugepage_available(root);
	f->io_uring_disabled = -1;
	if (!canp_sysfile_i64(root, "/proc/sys/kernel/io_uring_disabled", &v) && v >= 0 && v <= 2)
		f->io_uring_disabled = (int)v;
	canp_hugepage_host_at(root, &f->hugepages);
}
