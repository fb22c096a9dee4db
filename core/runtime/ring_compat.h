/*
 * ring_compat.h - the parts of the io_uring interface that are newer than the oldest header we
 * build with (liburing 2.3, kernel headers 6.1). They are given by number, and each is used only
 * after the running kernel was asked (IORING_REGISTER_PROBE, the features word, or a trial call):
 * a kernel version says nothing about what a container lets through.
 */
#ifndef CANP_RUNTIME_RING_COMPAT_H
#define CANP_RUNTIME_RING_COMPAT_H

/* Since Linux 6.9: ftruncate(fd, off). Asked for with the opcode probe. */
#define CANP_IORING_OP_FTRUNCATE 55

/* Since Linux 6.12: a wait may end early with fewer completions than asked for. */
#define CANP_IORING_FEAT_MIN_TIMEOUT (1U << 15)

/* Since Linux 6.14: read or write through the page cache and drop the pages afterwards. */
#ifdef RWF_DONTCACHE
#define CANP_RWF_DONTCACHE RWF_DONTCACHE
#else
#define CANP_RWF_DONTCACHE 0x80
#endif

#endif
