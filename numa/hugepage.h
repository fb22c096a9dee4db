/*
 * hugepage.h - big mappings, best pages first: 1 GiB hugetlb (only when asked for), 2 MiB hugetlb,
 * transparent huge pages, 4 KiB pages. Reports what was got and why nothing better.
 */
#ifndef CANP_NUMA_HUGEPAGE_H
#define CANP_NUMA_HUGEPAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/compiler.h"

CANP_BEGIN_DECLS

enum canp_hugepages {
	CANP_HUGE_AUTO, /* 2M hugetlb -> THP -> 4K */
	CANP_HUGE_1G,   /* 1G hugetlb -> AUTO */
	CANP_HUGE_2M,
	CANP_HUGE_THP,
	CANP_HUGE_OFF,
};

enum canp_page_kind { CANP_PAGES_1G, CANP_PAGES_2M, CANP_PAGES_THP, CANP_PAGES_4K };

struct canp_hugepage_report {
	enum canp_page_kind kind;
	size_t bytes;
	char reason[160]; /* why nothing better, "" when the best was got */
};

/* Maps bytes, zeroed, rounded up to the page size got; all pages are touched by the calling thread,
 * so that nothing faults (or raises SIGBUS) later; MADV_DONTFORK. node: -1 none. 0 or -errno; *rep
 * is filled in both cases. 1 GiB pages are not used when rounding up would waste more than an
 * eighth. The caller owns the mapping until canp_hugepage_unmap(). */
int canp_hugepage_map(size_t bytes, enum canp_hugepages want, int node, void **out,
		      struct canp_hugepage_report *rep);

/* A mapping that need not be resident as a whole. Fresh memory is expensive (0.1 ms for 2 MiB, on a
 * virtual machine whose host takes free pages back up to 8 ms), so who uses memory from its start
 * and recycles it should not pay for what it never needs. */
struct canp_hugepage_wish {
	size_t bytes;
	size_t touch_bytes; /* from the start; more than bytes: all */
	unsigned mappers;   /* equal mappings made at the same time, by as many threads; 0 is 1 */
	enum canp_hugepages want;
	int node; /* -1 none */
};
/* As canp_hugepage_map(), but transparent huge pages and small pages behind touch_bytes come with
 * the first touch. The available memory must still suffice for all mappers' whole mappings, or
 * -ENOMEM. Reserved pages (1G, 2M) are all touched: a later fault of theirs could be a SIGBUS. */
int canp_hugepage_map_wish(const struct canp_hugepage_wish *wish, void **out,
			   struct canp_hugepage_report *rep);
void canp_hugepage_unmap(void *p, const struct canp_hugepage_report *rep);
const char *canp_page_kind_name(enum canp_page_kind kind);
int canp_hugepages_parse(const char *text, enum canp_hugepages *out); /* auto,1g,2m,thp,off */

/* What the machine offers, for doctor/caps. */
struct canp_hugepage_host {
	uint64_t total_2m, free_2m, total_1g, free_1g;
	char thp[32]; /* always, madvise, never */
};
void canp_hugepage_host(struct canp_hugepage_host *h);

CANP_END_DECLS

#endif
