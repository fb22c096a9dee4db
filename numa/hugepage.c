/*
 * hugepage.c - big mappings, best pages first, each step with the reason when it was not taken.
 *
 * Order: 1 GiB hugetlb (only on request), 2 MiB hugetlb, transparent huge pages, 4 KiB pages. mmap
 * is called directly: libhugetlbfs tells which page sizes exist, but its allocators choose the
 * fallback themselves and do not say which pages the caller got.
 *
 * A hugetlb mapping can be granted and still fault with SIGBUS on first touch (hugetlb cgroup
 * limit, pages taken by a cpuset). So every page is touched here, by the calling thread and through
 * a system call, which answers with an errno instead of a signal; after that nothing is left to
 * fail. For ordinary pages the danger is overcommit: the kernel grants more than it has and kills
 * somebody later. The memory that is available is therefore checked first, for the whole mapping;
 * which part of it is touched at once is the caller's choice.
 */
#include "numa/hugepage.h"

#include <errno.h>
#include <fcntl.h>
#include <hugetlbfs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/base/compiler.h"
#include "core/base/err.h"
#include "core/base/units.h"
#include "numa/hugepage_priv.h"
#include "numa/sysfile.h"
#include "numa/topology.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define HUGE_2M (2 * CANP_MIB)
#define HUGE_1G CANP_GIB
#define HUGE_SHIFT_2M                                                                              \
	(21u << 26) /* the page size's logarithm sits above bit 26 of the mmap flags */
#define HUGE_SHIFT_1G (30u << 26)
/* Part of the available memory that is never asked for: page tables, slab and other processes need
 * room too, and MemAvailable is an estimate. */
#define KEEP_FREE_PART 16

static const char *const kind_names[] = {"1G", "2M", "thp", "4K"};

const char *canp_page_kind_name(enum canp_page_kind kind)
{
	return (unsigned)kind < CANP_ARRAY_SIZE(kind_names) ? kind_names[kind] : "unknown";
}

int canp_hugepages_parse(const char *text, enum canp_hugepages *out)
{
	static const char *const names[] = {"auto", "1g", "2m", "thp", "off"};

	for (unsigned i = 0; i < CANP_ARRAY_SIZE(names); i++) {
		if (!strcmp(text, names[i])) {
			*out = (enum canp_hugepages)i;
			return 0;
		}
	}
	return -EINVAL;
}

static void host_count(const char *root, const char *leaf, uint64_t *out)
{
	char path[128];
	int64_t v;

	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%s", leaf);
	*out = canp_sysfile_i64(root, path, &v) || v < 0 ? 0 : (uint64_t)v;
}

void canp_hugepage_host_at(const char *root, struct canp_hugepage_host *h)
{
	char text[128], *open, *close;

	memset(h, 0, sizeof(*h));
	host_count(root, "2048kB/nr_hugepages", &h->total_2m);
	host_count(root, "2048kB/free_hugepages", &h->free_2m);
	host_count(root, "1048576kB/nr_hugepages", &h->total_1g);
	host_count(root, "1048576kB/free_hugepages", &h->free_1g);
	snprintf(h->thp, sizeof(h->thp), "never");
	if (canp_sysfile_read(root, "/sys/kernel/mm/transparent_hugepage/enabled", text,
			      sizeof(text)) <= 0)
		return;
	/* "always [madvise] never": the brackets mark the choice. */
	open = strchr(text, '[');
	close = open ? strchr(open, ']') : NULL;
	if (close)
		snprintf(h->thp, sizeof(h->thp), "%.*s", (int)(close - open - 1), open + 1);
}

void canp_hugepage_host(struct canp_hugepage_host *h)
{
	canp_hugepage_host_at("", h);
}

/* Adds "what: why" to the reasons, cut when there is no room. */
static CANP_PRINTF(2, 3) void reason_add(struct canp_hugepage_report *rep, const char *fmt, ...)
{
	size_t len = strlen(rep->reason);
	va_list ap;

	if (len > 0 && len + 3 < sizeof(rep->reason)) {
		memcpy(rep->reason + len, "; ", 3);
		len += 2;
	}
	va_start(ap, fmt);
	vsnprintf(rep->reason + len, sizeof(rep->reason) - len, fmt, ap);
	va_end(ap);
}

int canp_hugepage_touch_read(void *p, size_t len, size_t page)
{
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC), rc = 0;

	if (fd < 0)
		return -errno;
	for (size_t off = 0; off < len && !rc; off += page) {
		if (read(fd, (char *)p + off, 1) != 1)
			rc = errno == EINTR ? 0 : -errno;
	}
	close(fd);
	return rc == -EFAULT ? -ENOMEM : rc;
}

int canp_hugepage_touch(void *p, size_t len, size_t page)
{
	int tries = 0;

	while (madvise(p, len, MADV_POPULATE_WRITE)) {
		/* A kernel before 5.14 does not know the advice. */
		if (errno == EINVAL || errno == ENOSYS)
			return canp_hugepage_touch_read(p, len, page);
		/* EFAULT is what a fault that would have raised SIGBUS turns into. */
		if ((errno != EINTR && errno != EAGAIN) || ++tries == 100)
			return errno == EFAULT ? -ENOMEM : -errno;
	}
	return 0;
}

static bool size_offered(long want)
{
	long sizes[16];
	int n = gethugepagesizes(sizes, (int)CANP_ARRAY_SIZE(sizes));

	for (int i = 0; i < n && i < (int)CANP_ARRAY_SIZE(sizes); i++) {
		if (sizes[i] == want)
			return true;
	}
	return false;
}

static int map_hugetlb(enum canp_page_kind kind, size_t bytes, int node, void **out,
		       struct canp_hugepage_report *rep)
{
	size_t page = kind == CANP_PAGES_1G ? HUGE_1G : HUGE_2M;
	int shift = (int)(kind == CANP_PAGES_1G ? HUGE_SHIFT_1G : HUGE_SHIFT_2M);
	size_t len = canp_align_up(bytes, page);
	struct canp_hugepage_host host;
	void *p;
	int rc;

	/* 1 GiB pages for a quarter of a gigabyte would break the memory promise printed at start.
	 */
	if (len - bytes > bytes / 8 && page == HUGE_1G) {
		reason_add(rep, "1G pages: %zu MiB asked would take %zu MiB", bytes / CANP_MIB,
			   len / CANP_MIB);
		return -ENOMEM;
	}
	if (!size_offered((long)page)) {
		reason_add(rep, "%s pages: not offered by this kernel", kind_names[kind]);
		return -ENOMEM;
	}
	p = mmap(NULL, len, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | shift, -1, 0);
	rc = p == MAP_FAILED ? -errno : 0;
	if (!rc) {
		(void)canp_bind_memory(p, len, node);
		rc = canp_hugepage_touch(p, len, page);
		if (rc)
			munmap(p, len);
	}
	if (rc) {
		canp_hugepage_host(&host);
		reason_add(rep, "%s pages: need %zu, free %lu%s", kind_names[kind], len / page,
			   kind == CANP_PAGES_1G ? host.free_1g : host.free_2m,
			   rc == -ENOMEM ? "" : " (refused)");
		return rc;
	}
	rep->bytes = len;
	*out = p;
	return 0;
}

/* -ENOMEM when memory is too short for every mapper to take len bytes without getting somebody
 * killed. None of them may have touched its own yet, so each counts the others'. */
static int check_available(size_t len, unsigned mappers)
{
	uint64_t avail = canp_hugepage_available("");

	return len > (avail - avail / KEEP_FREE_PART) / canp_max(mappers, 1u) ? -ENOMEM : 0;
}

/* A mapping aligned to 2 MiB, so that huge pages fit: the surplus at both ends is given back. */
static void *map_aligned(size_t len)
{
	size_t extra = len + HUGE_2M;
	char *p = mmap(NULL, extra, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t head;

	if (p == MAP_FAILED)
		return NULL;
	head = canp_align_up((uintptr_t)p, HUGE_2M) - (uintptr_t)p;
	if (head)
		munmap(p, head);
	munmap(p + head + len, extra - head - len);
	return p + head;
}

static int map_small(enum canp_page_kind kind, const struct canp_hugepage_wish *wish, void **out,
		     struct canp_hugepage_report *rep)
{
	bool thp = kind == CANP_PAGES_THP;
	size_t page = thp ? HUGE_2M : 4 * CANP_KIB, len = canp_align_up(wish->bytes, page);
	size_t touch = canp_align_up(canp_min(wish->touch_bytes, wish->bytes), page);
	char *p;
	int rc = check_available(len, wish->mappers);

	if (rc) {
		reason_add(rep, "%s pages: %zu MiB asked, %lu MiB available", kind_names[kind],
			   len / CANP_MIB, canp_hugepage_available("") / CANP_MIB);
		return rc;
	}
	p = map_aligned(len);
	if (!p) {
		rc = -errno;
		reason_add(rep, "%s pages: %s", kind_names[kind], canp_strerror(rc));
		return rc;
	}
	if (madvise(p, len, thp ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) && thp) {
		rc = -errno;
		reason_add(rep, "thp: %s", canp_strerror(rc));
	}
	(void)canp_bind_memory(p, len, wish->node);
	if (!rc && touch) {
		rc = canp_hugepage_touch(p, touch, 4 * CANP_KIB);
		if (rc)
			reason_add(rep, "%s pages: %s", kind_names[kind], canp_strerror(rc));
	}
	if (rc) {
		munmap(p, len);
		return rc;
	}
	rep->bytes = len;
	*out = p;
	return 0;
}

static int map_thp(const struct canp_hugepage_wish *wish, void **out,
		   struct canp_hugepage_report *rep)
{
	struct canp_hugepage_host host;
	size_t touched = canp_align_up(canp_min(wish->touch_bytes, wish->bytes), HUGE_2M);
	uint64_t huge;
	int rc;

	canp_hugepage_host(&host);
	if (!strcmp(host.thp, "never")) {
		reason_add(rep, "thp: disabled on this host");
		return -ENOTSUP;
	}
	rc = map_small(CANP_PAGES_THP, wish, out, rep);
	if (rc)
		return rc;
	/* The advice is only a wish; smaps tells what the faults found. */
	if (touched && !canp_hugepage_thp_bytes(*out, rep->bytes, &huge) && huge < touched) {
		reason_add(rep, "thp: %lu of %zu MiB in huge pages", huge / CANP_MIB,
			   touched / CANP_MIB);
		if (huge == 0)
			rep->kind = CANP_PAGES_4K;
	}
	return 0;
}

int canp_hugepage_map_wish(const struct canp_hugepage_wish *wish, void **out,
			   struct canp_hugepage_report *rep)
{
	static const enum canp_page_kind first[] = {
		[CANP_HUGE_AUTO] = CANP_PAGES_2M, [CANP_HUGE_1G] = CANP_PAGES_1G,
		[CANP_HUGE_2M] = CANP_PAGES_2M,   [CANP_HUGE_THP] = CANP_PAGES_THP,
		[CANP_HUGE_OFF] = CANP_PAGES_4K,
	};
	int rc = -EINVAL;

	memset(rep, 0, sizeof(*rep));
	rep->kind = CANP_PAGES_4K;
	/* The bound keeps every rounding below from overflowing. */
	if (wish->bytes == 0 || wish->bytes > SIZE_MAX / 4 ||
	    (unsigned)wish->want >= CANP_ARRAY_SIZE(first)) {
		reason_add(rep, "size or kind out of range");
		return -EINVAL;
	}
	for (unsigned k = first[wish->want]; rc && k <= CANP_PAGES_4K; k++) {
		rep->kind = (enum canp_page_kind)k;
		if (k == CANP_PAGES_THP)
			rc = map_thp(wish, out, rep);
		else if (k == CANP_PAGES_4K)
			rc = map_small(CANP_PAGES_4K, wish, out, rep);
		else
			rc = map_hugetlb(rep->kind, wish->bytes, wish->node, out, rep);
	}
	if (rc)
		return rc;
	/* A child must never hold (or, worse, copy on write) memory that rings have registered. */
	(void)madvise(*out, rep->bytes, MADV_DONTFORK);
	return 0;
}

int canp_hugepage_map(size_t bytes, enum canp_hugepages want, int node, void **out,
		      struct canp_hugepage_report *rep)
{
	struct canp_hugepage_wish wish = {
		.bytes = bytes, .touch_bytes = bytes, .want = want, .node = node};

	return canp_hugepage_map_wish(&wish, out, rep);
}

void canp_hugepage_unmap(void *p, const struct canp_hugepage_report *rep)
{
	if (p)
		munmap(p, rep->bytes);
}
