/*
 * benchjob_mem.c - memory of rw= jobs; see benchjob_mem.h.
 */
#include "tools/benchjob_mem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "core/base/err.h"
#include "core/base/units.h"

#define PAGE_BYTES 4096u
#define HUGE_BYTES (2u << 20)

static const char *const kinds[] = {
	[CANP_BENCHJOB_IOMEM_MALLOC] = "malloc",     [CANP_BENCHJOB_IOMEM_MMAP] = "mmap",
	[CANP_BENCHJOB_IOMEM_MMAPHUGE] = "mmaphuge", [CANP_BENCHJOB_IOMEM_SHM] = "shm",
	[CANP_BENCHJOB_IOMEM_SHMHUGE] = "shmhuge",   [CANP_BENCHJOB_IOMEM_THP] = "thp",
};

static bool takes_file(enum canp_benchjob_iomem kind)
{
	return kind == CANP_BENCHJOB_IOMEM_MMAP || kind == CANP_BENCHJOB_IOMEM_MMAPHUGE;
}

static bool is_huge(enum canp_benchjob_iomem kind)
{
	return kind == CANP_BENCHJOB_IOMEM_MMAPHUGE || kind == CANP_BENCHJOB_IOMEM_SHMHUGE;
}

int canp_benchjob_mem_parse(const char *text, enum canp_benchjob_iomem *kind, const char **file,
			    struct canp_strbuf *err)
{
	size_t len = strcspn(text, ":");
	unsigned k = 0;

	while (k < CANP_ARRAY_SIZE(kinds) &&
	       (strlen(kinds[k]) != len || strncmp(kinds[k], text, len)))
		k++;
	*file = text[len] && text[len + 1] ? text + len + 1 : NULL;
	*kind = (enum canp_benchjob_iomem)k;
	if (k == CANP_ARRAY_SIZE(kinds))
		canp_strbuf_printf(err,
				   "iomem: '%.40s' is not malloc, mmap, mmaphuge, shm, shmhuge or "
				   "thp",
				   text);
	else if (*file && !takes_file(*kind))
		canp_strbuf_printf(err, "iomem: %s takes no file", kinds[k]);
	else if (!*file && *kind == CANP_BENCHJOB_IOMEM_MMAPHUGE)
		canp_strbuf_puts(err, "iomem: mmaphuge needs a file on a hugetlbfs: "
				      "iomem=mmaphuge:/dev/hugepages/NAME");
	else
		return 0;
	return -EINVAL;
}

static int get_map(struct canp_benchjob_mem *m, const char *file)
{
	char name[1024];
	struct statfs fs;
	int fd = -1, rc = 0;

	/* A new file beside the name: clones of a job share the key, and nothing that lies there is
	 * written over. */
	if (file) {
		snprintf(name, sizeof(name), "%.1000s.XXXXXX", file);
		fd = mkostemp(name, O_CLOEXEC);
		if (fd >= 0)
			unlink(name);
		if (fd < 0 || fstatfs(fd, &fs))
			rc = -errno;
		else if (is_huge(m->kind) && fs.f_type != HUGETLBFS_MAGIC)
			rc = -ENOTSUP;
		else
			rc = ftruncate(fd, (off_t)m->len) ? -errno : 0;
	}
	if (!rc) {
		m->base = mmap(NULL, m->len, PROT_READ | PROT_WRITE,
			       file ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, fd, 0);
		rc = m->base == MAP_FAILED ? -errno : 0;
	}
	if (fd >= 0)
		close(fd);
	return rc;
}

static int get_shm(struct canp_benchjob_mem *m)
{
	int flags = IPC_CREAT | 0600 | (m->kind == CANP_BENCHJOB_IOMEM_SHMHUGE ? SHM_HUGETLB : 0);
	int id = shmget(IPC_PRIVATE, m->len, flags), rc;

	if (id < 0)
		return -errno;
	m->base = shmat(id, NULL, 0);
	rc = m->base == MAP_FAILED ? -errno : 0;
	/* It lives as long as somebody is attached, so nothing stays behind after a crash. */
	shmctl(id, IPC_RMID, NULL);
	return rc;
}

int canp_benchjob_mem_get(struct canp_benchjob_mem *m, enum canp_benchjob_iomem kind,
			  const char *file, size_t bytes, struct canp_strbuf *err)
{
	int rc = 0;

	*m = (struct canp_benchjob_mem){.kind = kind, .bytes = bytes, .len = bytes};
	if (is_huge(kind))
		m->len = canp_align_up(bytes, HUGE_BYTES);
	if (kind == CANP_BENCHJOB_IOMEM_MALLOC) {
		m->len = bytes + PAGE_BYTES;
		m->base = malloc(m->len);
		rc = m->base ? 0 : -ENOMEM;
	} else if (kind == CANP_BENCHJOB_IOMEM_SHM || kind == CANP_BENCHJOB_IOMEM_SHMHUGE) {
		rc = get_shm(m);
	} else if (kind == CANP_BENCHJOB_IOMEM_THP) {
		rc = canp_hugepage_map(bytes, CANP_HUGE_THP, -1, &m->base, &m->pages);
	} else {
		rc = get_map(m, file);
	}
	if (!rc) {
		/* All of it, here and now: the first blocks would else pay for the faults. */
		m->p = (uint8_t *)canp_align_up((uintptr_t)m->base, PAGE_BYTES);
		memset(m->p, 0x5a, bytes);
		return 0;
	}
	m->base = NULL;
	canp_strbuf_printf(err, "iomem=%s: %s", kinds[kind], canp_strerror(rc));
	if (rc == -ENOTSUP)
		canp_strbuf_printf(err, "; %s is not on a hugetlbfs", file);
	else if (is_huge(kind))
		canp_strbuf_printf(err,
				   "; %zu huge pages of 2 MiB are needed: sysctl vm.nr_hugepages, "
				   "or take iomem=thp",
				   m->len / HUGE_BYTES);
	return rc;
}

void canp_benchjob_mem_put(struct canp_benchjob_mem *m)
{
	if (!m->base)
		return;
	if (m->kind == CANP_BENCHJOB_IOMEM_MALLOC)
		free(m->base);
	else if (m->kind == CANP_BENCHJOB_IOMEM_SHM || m->kind == CANP_BENCHJOB_IOMEM_SHMHUGE)
		shmdt(m->base);
	else if (m->kind == CANP_BENCHJOB_IOMEM_THP)
		canp_hugepage_unmap(m->base, &m->pages);
	else
		munmap(m->base, m->len);
	*m = (struct canp_benchjob_mem){0};
}

/* ---- where it lies --------------------------------------------------------------------------- */

#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_PFN     ((1ull << 55) - 1)

uint64_t canp_benchjob_mem_pieces(const struct canp_benchjob_mem *m)
{
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t before = 0, pieces = 0, page = (uintptr_t)m->p / PAGE_BYTES;
	uint64_t end = ((uintptr_t)m->p + m->bytes + PAGE_BYTES - 1) / PAGE_BYTES;

	while (fd >= 0 && page < end) {
		uint64_t entry[512];
		size_t want = canp_min(end - page, (uint64_t)CANP_ARRAY_SIZE(entry)) * 8;
		ssize_t n = pread(fd, entry, want, (off_t)(page * 8));

		if (n < 8)
			break;
		for (unsigned i = 0; i < (size_t)n / 8; i++) {
			uint64_t pfn = entry[i] & PAGEMAP_PRESENT ? entry[i] & PAGEMAP_PFN : 0;

			/* Frame 0 is what everybody without the capability sees. */
			if (!pfn) {
				close(fd);
				return 0;
			}
			pieces += pfn != before + 1;
			before = pfn;
		}
		page += (size_t)n / 8;
	}
	if (fd >= 0)
		close(fd);
	return page == end ? pieces : 0;
}
