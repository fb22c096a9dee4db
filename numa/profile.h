/*
 * profile.h - the hardware profiles that the project was planned for, and which of them a machine
 * meets. Each has a defconfig (kconfig/configs/hw_*_defconfig).
 *
 *   minimum      16 cores,          64 GB, an NVMe drive
 *   recommended  32 cores or more, 128 GB, several NVMe drives (RAID 0), a graphics processor
 *   extreme      64 cores or more in two sockets, 512 GB, a drive array, several graphics
 * processors
 *
 * Cores and memory decide; drives and graphics processors are told beside it, because what counts
 * is where the logs lie and nothing needs a graphics processor.
 */
#ifndef CANP_NUMA_PROFILE_H
#define CANP_NUMA_PROFILE_H

#include <stdint.h>

enum canp_hw_profile { CANP_HW_BELOW, CANP_HW_MIN, CANP_HW_REC, CANP_HW_EXTREME };

struct canp_hw_facts {
	unsigned cores;   /* physical, online */
	unsigned sockets; /* packages */
	uint64_t mem_bytes;
	unsigned nvme; /* drives */
	unsigned gpus;
};

struct canp_topology;

/* root as in numa/topology.h. What cannot be read is 0. Control plane. */
void canp_hw_facts(const char *root, const struct canp_topology *t, uint64_t mem_bytes,
		   struct canp_hw_facts *f);
/* The highest profile whose cores, sockets and memory the machine has. Memory may be a tenth less
 * than the round figure: firmware and kernel keep some. Pure. */
enum canp_hw_profile canp_hw_profile(const struct canp_hw_facts *f);
/* "below minimum", "minimum", "recommended", "extreme"; the defconfig, NULL below. */
const char *canp_hw_profile_name(enum canp_hw_profile p);
const char *canp_hw_profile_config(enum canp_hw_profile p);

#endif
