/*
 * ingest_cfg.h - the options of reading, decoding and writing as a struct; the rows are in
 * ingest.def.
 */
#ifndef CANP_IO_INGEST_CFG_H
#define CANP_IO_INGEST_CFG_H

#include "core/base/opts.h"

struct canp_ingest_cfg {
#define X CANP_OPT_FIELD
#include "io/ingest.def"
#undef X
};

/* Positions of the choices, proved equal to the rows by tests/t_opts.c. */
enum {
	CANP_CFG_IO_AUTO,
	CANP_CFG_IO_DIRECT,
	CANP_CFG_IO_DONTCACHE,
	CANP_CFG_IO_BUFFERED,
	CANP_CFG_IO_MMAP
};
enum { CANP_CFG_INFLATE_AUTO, CANP_CFG_INFLATE_INTERLEAVED, CANP_CFG_INFLATE_ISAL };
enum { CANP_CFG_ORDER_PATH, CANP_CFG_ORDER_SIZE };
enum { CANP_CFG_TS_US, CANP_CFG_TS_NS, CANP_CFG_TS_MS };
enum { CANP_CFG_J1939_AUTO, CANP_CFG_J1939_OFF, CANP_CFG_J1939_ALWAYS };
enum { CANP_CFG_ENUM_CODE, CANP_CFG_ENUM_BOTH };
enum { CANP_CFG_UNKNOWN_COUNT, CANP_CFG_UNKNOWN_KEEP };
enum { CANP_CFG_MODE_THROUGHPUT, CANP_CFG_MODE_LATENCY, CANP_CFG_MODE_MEMORY };
enum { CANP_CFG_SINK_PARQUET, CANP_CFG_SINK_CSV };
enum { CANP_CFG_CODEC_NONE, CANP_CFG_CODEC_GZIP, CANP_CFG_CODEC_ZSTD };
enum { CANP_CFG_GZIP_FAST, CANP_CFG_GZIP_SMALL };
enum { CANP_CFG_ENOSPC_STOP, CANP_CFG_ENOSPC_WAIT };

extern const struct canp_opt_table canp_ingest_opt_table;

#endif
