/*
 * frames_avx512.c - frames24 with the decode half eight frames at a time in 512-bit registers; see
 * frames_group.h for the other half.
 *
 * A frame is three quadwords, so eight frames are three registers, and six two-source permutes turn
 * them into columns without reading a byte twice or too far. Time, window, length and payload mask
 * are then computed for all eight.
 *
 * 29-bit ids are searched for all lanes at once in the same hash table that canp_idmap_find()
 * walks: one gather of keys a probe, and no branch that depends on a single frame. A group with a
 * remote or error frame or a time outside the window goes to the portable kernel.
 */
#ifdef CONFIG_CANP_SIMD_AVX512
#include "simd/frames_group.h"

struct frames_consts {
	__m512i ts_lo, ts_span, mul, add;
};

static inline __m512i frames_column(const __m512i in[3], __m512i from01, __mmask8 m2, __m512i from2)
{
	__m512i x = _mm512_permutex2var_epi64(in[0], from01, in[1]);

	return _mm512_mask_permutexvar_epi64(x, m2, from2, in[2]);
}

/* Slots of the lanes in todo whose keys are in the table, UNKNOWN for the others: what
 * canp_idhash_find() does, for eight. There is always an empty place, so the search ends. */
static __m256i frames_find(const struct canp_idhash *h, __m256i key, __mmask8 todo)
{
	const __m256i mask = _mm256_set1_epi32((int)h->mask), one = _mm256_set1_epi32(1);
	__m256i slot = _mm256_set1_epi32(CANP_SLOT_UNKNOWN);
	__m256i i = _mm256_mullo_epi32(key, _mm256_set1_epi32((int)0x9e3779b1)), got, word;
	__mmask8 hit, found = 0;

	i = _mm256_and_si256(_mm256_xor_si256(i, _mm256_srli_epi32(i, 15)), mask);
	for (;;) {
		got = _mm256_mmask_i32gather_epi32(key, todo, i, h->keys, 4);
		hit = _mm256_mask_cmpeq_epi32_mask(todo, got, key);
		found |= hit;
		todo = _mm256_mask_test_epi32_mask(todo, got, got) & (__mmask8)~hit;
		if (canp_likely(!todo))
			break;
		i = _mm256_mask_and_epi32(i, todo, _mm256_add_epi32(i, one), mask);
	}
	/* Pairs of values, so that nothing behind the last one is read. */
	word = _mm256_mmask_i32gather_epi32(slot, found, _mm256_srli_epi32(i, 1), h->values, 4);
	word = _mm256_srlv_epi32(word, _mm256_slli_epi32(_mm256_and_si256(i, one), 4));
	return _mm256_mask_and_epi32(slot, found, word, _mm256_set1_epi32(0xffff));
}

/* canp_idmap_find() for eight ids, of which those in ext have 29 bits. */
static inline __m256i frames_slots(const struct canp_idmap *map, __m256i id, __mmask8 ext)
{
	const struct canp_idhash *h = &map->ext;
	const __m256i low = _mm256_set1_epi32(0x7ff), one = _mm256_set1_epi32(1);
	const __m256i all = _mm256_set1_epi32(0x3ffff), group = _mm256_set1_epi32(0x3ff00);
	__m256i slot, pgn, key, std;
	__mmask8 peer, miss = ext;

	slot = _mm256_set1_epi32(CANP_SLOT_UNKNOWN);
	if (!h->pgn_only) {
		key = _mm256_or_si256(id, _mm256_set1_epi32((int)0x80000000));
		slot = frames_find(h, key, ext);
		miss = _mm256_mask_cmpeq_epi32_mask(ext, slot, one);
	}
	if (h->has_pgn && miss) {
		pgn = _mm256_and_si256(_mm256_srli_epi32(id, 8), all);
		peer = _mm256_cmplt_epu32_mask(_mm256_and_si256(pgn, _mm256_set1_epi32(0xff00)),
					       _mm256_set1_epi32(0xf000));
		pgn = _mm256_mask_and_epi32(pgn, peer, pgn, group);
		key = _mm256_or_si256(pgn, _mm256_set1_epi32(0x40000000));
		slot = _mm256_mask_mov_epi32(slot, miss, frames_find(h, key, miss));
	}
	if (canp_unlikely(ext != 0xff)) {
		id = _mm256_and_si256(id, low);
		std = _mm256_mmask_i32gather_epi32(slot, (__mmask8)~ext, _mm256_srli_epi32(id, 1),
						   map->std, 4);
		std = _mm256_srlv_epi32(std, _mm256_slli_epi32(_mm256_and_si256(id, one), 4));
		slot = _mm256_mask_and_epi32(slot, (__mmask8)~ext, std, _mm256_set1_epi32(0xffff));
	}
	return slot;
}

/* The id words of a group that has other than 11-bit ids, as tails. */
static CANP_NOINLINE enum frames_shape frames_wide(const struct canp_idmap *map, __m512i tail,
						   struct frames_group *g)
{
	const __m512i flags = _mm512_set1_epi64(0xe0000000), ext = _mm512_set1_epi64(0x80000000);
	const __m512i beyond = _mm512_set1_epi64(0xfffff800);
	__mmask8 is_ext = _mm512_test_epi64_mask(tail, ext);

	if (_mm512_test_epi64_mask(tail, _mm512_set1_epi64(0x60000000)))
		return FRAMES_ODD;
	_mm256_store_si256(
		(__m256i *)g->slot,
		frames_slots(map, _mm512_cvtepi64_epi32(_mm512_andnot_si512(flags, tail)), is_ext));
	tail = _mm512_mask_or_epi64(tail, is_ext, tail,
				    _mm512_set1_epi64((int64_t)CANP_FF_EXT << 48));
	tail = _mm512_mask_andnot_epi64(tail, is_ext, flags, tail);
	tail = _mm512_mask_andnot_epi64(tail, (__mmask8)~is_ext, beyond, tail);
	_mm512_store_si512(g->tail, tail);
	return FRAMES_WIDE;
}

static inline enum frames_shape frames_decode(const uint8_t *p, const struct canp_idmap *map,
					      const void *consts, struct frames_group *g)
{
	const __m512i swap_ts = _mm512_broadcast_i32x4(
		_mm_setr_epi8(7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8));
	/* Big-endian id, dlc, three bytes of padding -> id, length (once capped) and dlc. */
	const __m512i swap_id = _mm512_broadcast_i32x4(
		_mm_setr_epi8(3, 2, 1, 0, 4, 4, -1, -1, 11, 10, 9, 8, 12, 12, -1, -1));
	const __m512i len_max = _mm512_set1_epi64(0xffffff08ffffffff);
	const __m512i wide = _mm512_set1_epi64(0xfffff800), one = _mm512_set1_epi64(1);
	__m512i in[3] = {_mm512_loadu_si512(p), _mm512_loadu_si512(p + 64),
			 _mm512_loadu_si512(p + 128)};
	const struct frames_consts *c = consts;
	__m512i raw, tail, data, ts;

	/* Each is used three times; the compiler would load it three times. */
	__asm__("" : "+v"(in[0]), "+v"(in[1]), "+v"(in[2]));

	/* Quadwords 3f, 3f+1, 3f+2 of 24; those from 16 on lie in the third register. */
	raw = frames_column(in, _mm512_setr_epi64(0, 3, 6, 9, 12, 15, 0, 0), 0xc0,
			    _mm512_setr_epi64(0, 0, 0, 0, 0, 0, 2, 5));
	tail = frames_column(in, _mm512_setr_epi64(1, 4, 7, 10, 13, 0, 0, 0), 0xe0,
			     _mm512_setr_epi64(0, 0, 0, 0, 0, 0, 3, 6));
	data = frames_column(in, _mm512_setr_epi64(2, 5, 8, 11, 14, 0, 0, 0), 0xe0,
			     _mm512_setr_epi64(0, 0, 0, 0, 0, 1, 4, 7));
	raw = _mm512_shuffle_epi8(raw, swap_ts);
	tail = _mm512_min_epu8(_mm512_shuffle_epi8(tail, swap_id), len_max);
	if (canp_unlikely(_mm512_cmpgt_epu64_mask(_mm512_sub_epi64(raw, c->ts_lo), c->ts_span)))
		return FRAMES_ODD;
	ts = _mm512_add_epi64(_mm512_mullo_epi64(raw, c->mul), c->add);
	/* 1 << 8 * len, minus 1; a shift by 64 gives 0. The shift of the length by 29 leaves bits
	 * of id and dlc around it. */
	data = _mm512_and_si512(
		data, _mm512_sub_epi64(
			      _mm512_sllv_epi64(one, _mm512_and_si512(_mm512_srli_epi64(tail, 29),
								      _mm512_set1_epi64(0x78))),
			      one));
	_mm512_store_si512(g->rec, _mm512_unpacklo_epi64(ts, data));
	_mm512_store_si512(g->rec + 4, _mm512_unpackhi_epi64(ts, data));
	_mm512_store_si512(g->ts, ts);
	if (_mm512_test_epi64_mask(tail, wide))
		return frames_wide(map, tail, g);
	_mm512_store_si512(g->tail, tail);
	return FRAMES_STD;
}

struct frames_minmax {
	__m512i min, max;
};

static inline void frames_note(void *bounds, const int64_t *ts)
{
	struct frames_minmax *b = bounds;
	__m512i v = _mm512_load_si512(ts);

	b->min = _mm512_min_epi64(b->min, v);
	b->max = _mm512_max_epi64(b->max, v);
}

size_t canp_frames24_avx512(struct canp_frames_ctx *ctx, const uint8_t *p, size_t n)
{
	const struct frames_consts c = {_mm512_set1_epi64((long long)ctx->ts_lo),
					_mm512_set1_epi64((long long)ctx->ts_span),
					_mm512_set1_epi64(ctx->ts_mul),
					_mm512_set1_epi64(ctx->ts_add)};
	struct frames_minmax b = {_mm512_set1_epi64(INT64_MAX), _mm512_set1_epi64(INT64_MIN)};
	size_t done;

	/* A slot of unknown ids that stores would look plain; groupers have none. */
	if (ctx->slots[CANP_SLOT_UNKNOWN].chunk)
		return canp_frames24_scalar(ctx, p, n);
	done = frames_run(ctx, p, n, frames_decode, &c, frames_note, &b);
	ctx->min_ns = canp_min(ctx->min_ns, _mm512_reduce_min_epi64(b.min));
	ctx->max_ns = canp_max(ctx->max_ns, _mm512_reduce_max_epi64(b.max));
	return done;
}
#endif
