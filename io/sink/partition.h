/*
 * partition.h - which logical writer and which shard a table's rows go to, and what its files are
 * called. 64 logical writers whatever the machine: their number is part of the dataset's
 * determinism, the shard that hosts one is not.
 */
#ifndef CANP_SINK_PARTITION_H
#define CANP_SINK_PARTITION_H

#include <stddef.h>
#include <stdint.h>

#define CANP_WRITERS          64u
#define CANP_WRITER_PARTS_MAX 64u /* open parts per logical writer */

/* Logical writer of a table: stable hash of its name. Pure, any thread. */
unsigned canp_partition_writer(const char *table);
/* Shard that hosts a logical writer. */
static inline unsigned canp_partition_shard(unsigned writer, unsigned nr_shards)
{
	return writer % nr_shards;
}

/* "part-00007.parquet" and its temporary ".part-00007.parquet.tmp" (which must not end in the
 * extension: readers glob for it). buf >= CANP_PART_NAME_MAX bytes. */
#define CANP_PART_NAME_MAX 48u
void canp_partition_part_name(char *buf, unsigned seq, const char *ext);
void canp_partition_temp_name(char *buf, unsigned seq, const char *ext);

#endif
