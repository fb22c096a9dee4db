/*
 * probe.h - static probe points (USDT) of provider "canp", for bpftrace and perf. Nothing is left
 * of them in a build without CONFIG_CANP_USDT. Arguments must be plain integers or pointers without
 * side effects.
 */
#ifndef CANP_BASE_PROBE_H
#define CANP_BASE_PROBE_H

#ifdef CONFIG_CANP_USDT
#include <sys/sdt.h>
#define CANP_PROBE1(name, a)       DTRACE_PROBE1(canp, name, a)
#define CANP_PROBE2(name, a, b)    DTRACE_PROBE2(canp, name, a, b)
#define CANP_PROBE3(name, a, b, c) DTRACE_PROBE3(canp, name, a, b, c)
#else
/* sizeof keeps the arguments checked and used without evaluating them. */
#define CANP_PROBE1(name, a)       ((void)sizeof(a))
#define CANP_PROBE2(name, a, b)    ((void)sizeof(a), (void)sizeof(b))
#define CANP_PROBE3(name, a, b, c) ((void)sizeof(a), (void)sizeof(b), (void)sizeof(c))
#endif

#endif
