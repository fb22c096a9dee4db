/*
 * partition.c - table -> logical writer -> shard, and part names.
 */
#include "io/sink/partition.h"

#include <stdio.h>
#include <string.h>

#include "core/base/hash.h"

unsigned canp_partition_writer(const char *table)
{
	return (unsigned)(canp_hash_bytes(table, strlen(table)) % CANP_WRITERS);
}

void canp_partition_part_name(char *buf, unsigned seq, const char *ext)
{
	snprintf(buf, CANP_PART_NAME_MAX, "part-%05u.%s", seq, ext);
}

void canp_partition_temp_name(char *buf, unsigned seq, const char *ext)
{
	snprintf(buf, CANP_PART_NAME_MAX, ".part-%05u.%s.tmp", seq, ext);
}
