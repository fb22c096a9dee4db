/* Generated from the configuration; do not edit. */
#define CONFIG_CANP_SIMD_AVX2 1
#define CONFIG_CANP_SIMD_AVX512 1
#define CONFIG_CANP_FORMAT_BLF 1
#define CONFIG_CANP_FORMAT_CANDUMP 1
#define CONFIG_CANP_SINK_CSV 1
#define CONFIG_CANP_MAX_CORES 256
