/*
 * usdt.h - static probe points (USDT) of provider "canp", for bpftrace and perf.
 *
 * A probe is one no-operation instruction and a note in the program's file that says where it is
 * and where its arguments are; a tracer that attaches to it replaces the instruction while it
 * watches. Nothing is left of a probe in a build without CONFIG_CANP_USDT. perf/usdt lists the
 * probes of a program and what their arguments mean, and measures with them.
 *
 * Arguments are plain integers that the code around has at hand, without side effects: a build with
 * probes evaluates them even when nobody watches. A probe belongs to events of at most some ten
 * thousand a second (a chunk, a member, a page run), never to frames.
 */
#ifndef CANP_BASE_USDT_H
#define CANP_BASE_USDT_H

#ifdef CONFIG_CANP_USDT
#include <sys/sdt.h>
#define CANP_USDT1(name, a)       DTRACE_PROBE1(canp, name, a)
#define CANP_USDT2(name, a, b)    DTRACE_PROBE2(canp, name, a, b)
#define CANP_USDT3(name, a, b, c) DTRACE_PROBE3(canp, name, a, b, c)
#else
/* sizeof keeps the arguments checked and used without evaluating them. */
#define CANP_USDT1(name, a)       ((void)sizeof(a))
#define CANP_USDT2(name, a, b)    ((void)sizeof(a), (void)sizeof(b))
#define CANP_USDT3(name, a, b, c) ((void)sizeof(a), (void)sizeof(b), (void)sizeof(c))
#endif

#endif
