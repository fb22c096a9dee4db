/*
 * pqgzip.c - codec gzip: one RFC 1952 member per page by ISA-L. Deterministic for one version of
 * ISA-L on one CPU family; the header carries no time.
 *
 * Level 3, not 1: with ISA-L 2.30 the output of levels 1 and 2 for some small inputs depends on the
 * address of the stream state (seen: a dictionary of 216 bytes gives 96 or 97), so files would
 * differ from run to run. Levels 0 and 3 do not show it; level 0 gives 16 % larger files.
 */
#include "core/base/assert.h"
#include "io/sink/pq_priv.h"

uint32_t canp_pq_gzip(struct canp_pqgz *gz, const uint8_t *in, uint32_t n, uint8_t *out,
		      uint32_t cap)
{
	struct isal_zstream *z = &gz->z;
	int rc;

	isal_deflate_stateless_init(z);
	z->gzip_flag = IGZIP_GZIP;
	z->end_of_stream = 1;
	z->level = 3;
	z->level_buf = gz->level_buf;
	z->level_buf_size = sizeof(gz->level_buf);
	z->next_in = (uint8_t *)(uintptr_t)in;
	z->avail_in = n;
	z->next_out = out;
	z->avail_out = cap;
	rc = isal_deflate_stateless(z);
	CANP_ASSERT(rc == COMP_OK); /* stored blocks always fit */
	return z->total_out;
}
