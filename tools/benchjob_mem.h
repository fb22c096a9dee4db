/*
 * benchjob_mem.h - the memory that blocks of rw= are moved to and from, by fio's key iomem.
 *
 * It matters more than it seems: a block of 1 MiB in pages of 4 KiB lies in up to 256 physical
 * pieces, each an entry of a device's scatter list, and a device that takes fewer a request gets
 * two requests a block. Huge pages make it one piece. So two figures of a device compare only with
 * the same iomem, and how many pieces the memory has is part of the report.
 */
#ifndef CANP_TOOLS_BENCHJOB_MEM_H
#define CANP_TOOLS_BENCHJOB_MEM_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/strbuf.h"
#include "numa/hugepage.h"

enum canp_benchjob_iomem {
	CANP_BENCHJOB_IOMEM_MALLOC,
	CANP_BENCHJOB_IOMEM_MMAP,     /* with FILE: of a nameless file beside it */
	CANP_BENCHJOB_IOMEM_MMAPHUGE, /* the same, FILE being on a hugetlbfs */
	CANP_BENCHJOB_IOMEM_SHM,
	CANP_BENCHJOB_IOMEM_SHMHUGE,
	CANP_BENCHJOB_IOMEM_THP, /* ours: anonymous memory that asks for transparent huge pages */
};

struct canp_benchjob_mem {
	enum canp_benchjob_iomem kind;
	uint8_t *p;   /* begins on a page */
	size_t bytes; /* that may be used */
	void *base;   /* what is given back */
	size_t len;
	struct canp_hugepage_report pages; /* of thp */
};

/* Reads "KIND" or "KIND:FILE". *file points into text, NULL: none given. 0, or -EINVAL with a line
 * in err. */
int canp_benchjob_mem_parse(const char *text, enum canp_benchjob_iomem *kind, const char **file,
			    struct canp_strbuf *err);
/* Gets `bytes` (> 0) and touches all of it. 0, or -errno with a line in err that says what to do.
 * Any thread. Give it back with canp_benchjob_mem_put(), which also takes a zeroed struct. */
int canp_benchjob_mem_get(struct canp_benchjob_mem *m, enum canp_benchjob_iomem kind,
			  const char *file, size_t bytes, struct canp_strbuf *err);
void canp_benchjob_mem_put(struct canp_benchjob_mem *m);
/* How many runs of neighbouring page frames the memory lies in; 0: the kernel does not tell, which
 * needs CAP_SYS_ADMIN. Source: Linux, Documentation/admin-guide/mm/pagemap.rst. */
uint64_t canp_benchjob_mem_pieces(const struct canp_benchjob_mem *m);

#endif
