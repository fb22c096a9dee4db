/*
 * err.c - names and texts of errors and of data faults.
 */
#include "core/base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name, *text, *fix;
} fault_table[CANP_FAULT_NR] = {
#define X(name, text, fix) [CANP_FAULT_##name] = {#name, text, fix},
	CANP_FAULTS(X)
#undef X
};

const char *canp_fault_name(enum canp_fault_code code)
{
	return (unsigned)code < CANP_FAULT_NR ? fault_table[code].name : "UNKNOWN";
}

const char *canp_fault_text(enum canp_fault_code code)
{
	return (unsigned)code < CANP_FAULT_NR ? fault_table[code].text : "unknown fault";
}

const char *canp_fault_fix(enum canp_fault_code code)
{
	return (unsigned)code < CANP_FAULT_NR ? fault_table[code].fix : "";
}

static const struct {
	int err;
	const char *name, *text;
} err_table[] = {
#define X(name, text) {E##name, "E" #name, text},
	CANP_ERRS(X)
#undef X
};

/* Index of the error, or -1. */
static int err_find(int err)
{
	for (unsigned i = 0; i < sizeof(err_table) / sizeof(err_table[0]); i++)
		if (err_table[i].err == (err < 0 ? -err : err))
			return (int)i;
	return -1;
}

const char *canp_err_name(int err)
{
	int i = err_find(err);

	return i < 0 ? "" : err_table[i].name;
}

const char *canp_err_text(int err)
{
	int i = err_find(err);

	return i < 0 ? canp_strerror(err) : err_table[i].text;
}

const char *canp_strerror(int err)
{
	const char *s = strerrordesc_np(err < 0 ? -err : err);

	return s ? s : "unknown error";
}

void canp_fault_set(struct canp_fault *f, enum canp_fault_code code, uint64_t offset,
		    uint64_t bytes, const char *fmt, ...)
{
	va_list ap;

	f->code = code;
	f->offset = offset;
	f->bytes = bytes;
	va_start(ap, fmt);
	vsnprintf(f->detail, sizeof(f->detail), fmt, ap);
	va_end(ap);
}
