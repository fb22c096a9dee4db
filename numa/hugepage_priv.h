/*
 * hugepage_priv.h - parts of hugepage.c that tests reach one by one. Private to numa/.
 */
#ifndef CANP_NUMA_HUGEPAGE_PRIV_H
#define CANP_NUMA_HUGEPAGE_PRIV_H

#include <stddef.h>
#include <stdint.h>

/* Writes to each page of [p, p+len) through the kernel: 0 or -errno (-ENOMEM where a plain store
 * would have raised SIGBUS). Contents stay (fresh pages: zero). Any thread. */
int canp_hugepage_touch(void *p, size_t len, size_t page);
/* The way for kernels without MADV_POPULATE_WRITE: one byte is read into each page, so it is only
 * for fresh pages. */
int canp_hugepage_touch_read(void *p, size_t len, size_t page);
/* How many bytes of [p, p+len) lie in transparent huge pages, from /proc/self/smaps. -ENOENT where
 * the kernel does not tell. */
int canp_hugepage_thp_bytes(const void *p, size_t len, uint64_t *huge);
/* Memory that can be taken without swapping or killing: MemAvailable, cut by the room left in our
 * cgroup; UINT64_MAX when neither is known. */
uint64_t canp_hugepage_available(const char *root);
/* The tightest memory limit of our cgroups in bytes, UINT64_MAX without one. */
uint64_t canp_hugepage_cgroup_limit(const char *root);
/* canp_hugepage_host() under a root. */
struct canp_hugepage_host;
void canp_hugepage_host_at(const char *root, struct canp_hugepage_host *h);

#endif
