/*
 * inflate_x4_avx2.c - the interleaved loop: one step in each of five deflate streams per turn.
 *
 * A step is three lookups, up to three literals or fewer and a match (inflate_lane.h shows the
 * entries):
 *
 *   word = 57 bits of the stream
 *   s  = lit[word];                           word >>= bits of s
 *   t  = s has one literal ? lit[word] : 0;   word >>= bits of t;  s += t
 *   t  = s has two literals ? lit[word] : 0;  word >>= bits of t;  s += t
 *   t  = s has a length ? dist[word] : 0
 *   each literal byte is stored as it comes; out += literals; copy 32 bytes; out += length
 *
 * with conditional moves instead of branches. From one step of a stream to its next that is a chain
 * of 40 cycles whatever the data; five streams side by side take 53 (measured on parked lanes,
 * Sapphire Rapids). So it is the chain that counts, more than instructions: the next position is
 * made up from s before the distance is there, and only the bits of that are added. Two groups of
 * three lanes, or positions carried over in memory, took 12 cycles a lane instead of 11. The stages
 * of all streams alternate, because a stream's step in one piece would fill the scheduler with
 * instructions that wait.
 *
 * Three branches of a step are hardly ever taken: the sign of s (something hard; the add that makes
 * s tests it), a distance below the length (a match that overlaps itself, or a hard distance, which
 * is 0), and a match from before the output. The last one makes the loop safe for any input, for
 * 2 to 3 % of the rate on dense data (1.47 GB/s, 1.51 without) and nothing on BLF (2.00 both); that
 * no step leaves the buffers is the business of `steps`.
 *
 * Blocks in which matches of more than 30 bytes are frequent are decoded by a second instance of
 * the loop, which copies 64 bytes; always doing that costs the other data 4 %.
 *
 * It is one block of assembly because a compiler turns masks and conditional moves into branches
 * and spills in the loop: w and s of five streams, three temporaries and `base` are all 14
 * registers there are beside the stack and frame pointers. Positions live in memory, where reading
 * back what was just written is free. At every exit they are right: a step commits them last.
 *
 * `base` is the address of the tables plus 10: bzhi looks at the low byte of its count only, and
 * the tables are aligned, so it is the constant LANE_LIT_BITS as well. t is rax and u rsi, because
 * the second byte of t, the literal, can only be stored from the old registers and to their
 * addresses.
 */
#ifdef CONFIG_CANP_SIMD_AVX2
#include "simd/inflate_lane.h"

/* A line per instruction, in the columns of assembly. */
/* clang-format off */

/* Offsets from base, by number: an asm statement takes 30 operands at most. */
#define LIT(k)	   "6144*" #k "-10(%[base],"
#define DIST(k)	   "6144*" #k "+4096-10(%[base],"
#define STEPS	   "30720-10(%[base])"
#define ZERO	   "30724-10(%[base])"
#define COUNT_MASK "30728-10(%[base])"
#define BIT(k)	   "30784+1408*" #k "-10(%[base])"
#define OUT(k)	   "30792+1408*" #k "-10(%[base])"
#define START(k)   "30800+1408*" #k "-10(%[base])"
#define AT(member, at) CANP_STATIC_ASSERT(offsetof(struct canp_lanes, member) == (at), "offset")
AT(tab[1].lit, 6144);
AT(tab[0].dist, 4096);
AT(steps, 30720);
AT(zero, 30724);
AT(count_mask, 30728);
AT(lane[0].bit, 30784);
AT(lane[0].out, 30792);
AT(lane[0].out_start, 30800);
AT(lane[1].bit, 30784 + 1408);

/* w = the stream from bit i, behind its first entry; s = that entry; its byte goes to u. */
#define WORD(k)                                                                                    \
	"	movq	%[i], %[t]\n"                                                              \
	"	shrq	$3, %[t]\n"                                                                \
	"	andl	$7, %k[i]\n"                                                               \
	"	shrx	%[i], (%[t]), %[w" #k "]\n"                                                \
	"	bzhi	%[base], %[w" #k "], %[i]\n"                                               \
	ENTRY##k
/* Only the first four registers have a second byte of their own. */
#define ENTRY_DIRECT(k)                                                                            \
	"	movl	" LIT(k) "%[i],4), %k[s" #k "]\n"                                          \
	"	shrx	%[s" #k "], %[w" #k "], %[w" #k "]\n"                                      \
	"	movb	%h[s" #k "], (%[u])\n"
#define ENTRY_COPIED(k)                                                                            \
	"	movl	" LIT(k) "%[i],4), %k[t]\n"                                                \
	"	shrx	%[t], %[w" #k "], %[w" #k "]\n"                                            \
	"	movb	%h[t], (%[u])\n"                                                           \
	"	movl	%k[t], %k[s" #k "]\n"
#define ENTRY0 ENTRY_DIRECT(0)
#define ENTRY1 ENTRY_DIRECT(1)
#define ENTRY2 ENTRY_DIRECT(2)
#define ENTRY3 ENTRY_COPIED(3)
#define ENTRY4 ENTRY_COPIED(4)

/* The second or third literal: t = s has `at` literals ? next entry : 0. */
#define NEXT(k, at)                                                                                \
	"	bzhi	%[base], %[w" #k "], %[t]\n"                                               \
	"	movl	" LIT(k) "%[t],4), %k[t]\n"                                                \
	"	testl	$" #at "<<18, %k[s" #k "]\n"                                               \
	"	cmovzl	" ZERO ", %k[t]\n"                                                         \
	"	movq	" OUT(k) ", %[u]\n"                                                        \
	"	shrx	%[t], %[w" #k "], %[w" #k "]\n"                                            \
	"	movb	%h[t], " #at "(%[u])\n"                                                    \
	"	addl	%k[t], %k[s" #k "]\n"
#define SECOND(k) NEXT(k, 1)
#define THIRD(k)  NEXT(k, 2) "	jl	2" #k "f\n"

/* The match from w to t. */
#define NARROW(k)                                                                                  \
	"	vmovdqu	(%[w" #k "]), %%ymm0\n"                                                    \
	"	vmovdqu	%%ymm0, (%[t])\n"
#define WIDE(k)                                                                                    \
	"	vmovdqu	(%[w" #k "]), %%ymm0\n"                                                    \
	"	vmovdqu	32(%[w" #k "]), %%ymm1\n"                                                  \
	"	vmovdqu	%%ymm0, (%[t])\n"                                                          \
	"	vmovdqu	%%ymm1, 32(%[t])\n"

#define MATCH(k, COPY) \
	/* t = distance entry, 0 when there is no match; i = the next bit */ \
	"	movl	%k[w" #k "], %k[t]\n" \
	"	andl	%[dist_mask], %k[t]\n" \
	"	movl	" DIST(k) "%[t],4), %k[t]\n" \
	"	testl	$63<<20, %k[s" #k "]\n" \
	"	movzbl	%b[s" #k "], %k[i]\n" \
	"	cmovzl	" ZERO ", %k[t]\n" \
	"	addq	" BIT(k) ", %[i]\n" \
	"	movzbl	%b[t], %k[u]\n" \
	"	addq	%[u], %[i]\n" \
	/* w = distance, u = length */ \
	"	bzhi	%[t], %[w" #k "], %[w" #k "]\n" \
	"	movzbl	%h[t], %k[u]\n" \
	"	shrx	%[u], %[w" #k "], %[w" #k "]\n" \
	"	movl	%k[s" #k "], %k[u]\n" \
	"	shrl	$16, %k[t]\n" \
	"	shrl	$20, %k[u]\n" \
	"	addq	%[t], %[w" #k "]\n" \
	"	cmpq	%[u], %[w" #k "]\n" \
	"	jb	2" #k "f\n" \
	/* t = where the match goes, w = where it is */ \
	"	pextl	" COUNT_MASK ", %k[s" #k "], %k[t]\n" \
	"	addq	" OUT(k) ", %[t]\n" \
	"	negq	%[w" #k "]\n" \
	"	addq	%[t], %[w" #k "]\n" \
	"	cmpq	" START(k) ", %[w" #k "]\n" \
	"	jb	2" #k "f\n" \
	COPY(k) \
	"	addq	%[t], %[u]\n" \
	"	movq	%[u], " OUT(k) "\n" \
	"	movq	%[i], " BIT(k) "\n" \
	WORD(k)

#define FIRST(k)                                                                                   \
	"	movq	" OUT(k) ", %[u]\n"                                                        \
	"	movq	" BIT(k) ", %[i]\n"                                                        \
	WORD(k)

#define EACH(M)	    M(0) M(1) M(2) M(3) M(4)
#define EACH2(M, a) M(0, a) M(1, a) M(2, a) M(3, a) M(4, a)
#define LEAVE(k)                                                                                   \
	"2" #k ":	movl	$" #k ", %k[i]\n"                                                  \
	"	jmp	3f\n"
CANP_STATIC_ASSERT(LANE_NR == 5, "EACH");

#define LOOP(COPY)                                                                         \
	__asm__ volatile(                                                                  \
		EACH(FIRST)                                                                \
		"	.p2align 6\n"                                                      \
		"1:\n"                                                                     \
		EACH(SECOND)                                                               \
		EACH(THIRD)                                                                \
		EACH2(MATCH, COPY)                                                         \
		"	decl	" STEPS "\n"                                               \
		"	jnz	1b\n"                                                      \
		"	movl	%[none], %k[i]\n"                                          \
		"	jmp	3f\n"                                                      \
		EACH(LEAVE)                                                                \
		"3:	vzeroupper\n"                                                      \
		: [w0] "=&r"(w0), [w1] "=&r"(w1), [w2] "=&r"(w2), [w3] "=&r"(w3), [w4] "=&r"(w4), \
		  [s0] "=&b"(s0), [s1] "=&c"(s1), [s2] "=&d"(s2), [s3] "=&r"(s3), [s4] "=&r"(s4), \
		  [i] "=&r"(i), [t] "=&a"(t), [u] "=&S"(u)                                 \
		: [base] "r"((uint8_t *)l + LANE_LIT_BITS), [none] "i"(LANE_NR),           \
		  [dist_mask] "i"((1 << LANE_DIST_BITS) - 1)                               \
		: "memory", "cc", "xmm0", "xmm1")

CANP_STATIC_ASSERT(LANE_NARROW_MAX <= 32 && LANE_WIDE_MAX <= 64, "one and two vectors");
CANP_STATIC_ASSERT(LANE_LOOP_ALIGN == 256, "low byte of base");
CANP_STATIC_ASSERT(LANE_HARD == 1u << 31 && LANE_ONE == 1u << 18, "as the assembly tests them");

unsigned canp_lanes_run_avx2(struct canp_lanes *l, uint32_t steps, bool wide)
{
	uint64_t i, t, u, w0, w1, w2, w3, w4, s0, s1, s2, s3, s4;

	l->steps = steps;
	if (wide)
		LOOP(WIDE);
	else
		LOOP(NARROW);
	return (unsigned)i;
}
/* clang-format on */
#endif
