/*
 * version.h - the product's version; goes into footers, reports and --version. The library
 * is libcanp.so.0, its symbols carry the version CANP_0.1: a program built with 0.1 runs with every
 * later library that has both.
 */
#ifndef CANP_BASE_VERSION_H
#define CANP_BASE_VERSION_H

#include "core/base/compiler.h"

#define CANP_VERSION "0.1.0"

CANP_BEGIN_DECLS

/* CANP_VERSION of the library that runs, which need not be the one compiled with. Any thread. */
const char *canp_version(void);

CANP_END_DECLS

#endif
