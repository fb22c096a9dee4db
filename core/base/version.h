/*
 * version.h - the product's version; goes into footers, reports and --version.
 */
#ifndef CANP_BASE_VERSION_H
#define CANP_BASE_VERSION_H

#define CANP_VERSION "0.1.0"

#endif
