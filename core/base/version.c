/*
 * version.c - the version as a function: a program that was linked dynamically learns from it which
 * library it got.
 */
#include "core/base/version.h"

const char *canp_version(void)
{
	return CANP_VERSION;
}
