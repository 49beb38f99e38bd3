/* gear_scan for processors with AVX-512 VBMI and VNNI: 64 bytes at a time.
 *
 * The hash of 32 bytes is a sum, sum(table[byte k back] << k) mod 2^32, so it needs no loop from
 * one byte to the next: sums over 4 bytes (one dot product per 32-bit lane) make those over 8,
 * these those over 16 and 32. That gives the hash behind the last byte of each lane; behind bytes 0
 * to 2 it is the hash of the lane before, shifted, plus a dot product. The smallest of all hashes
 * tells whether one of them is below 2^15 or 2^17; then gear_scan finds out which.
 */
#include "kernels.h"

#ifdef __x86_64__
#include <immintrin.h>

#define VECTOR __attribute__((target("avx512f,avx512bw,avx512vbmi,avx512vnni")))
#define VECTOR_INLINE VECTOR static inline __attribute__((always_inline))
enum { BLOCK = 64, STEP = 4 * BLOCK };

/* The sums of the block before, by the number of bytes they run over. */
typedef struct {
    __m512i over_4, over_8, over_16, over_32;
} sums;

/* table[byte] for 64 bytes. */
VECTOR_INLINE __m512i look_up(const __m512i table[4], __m512i bytes) {
    __m512i low = _mm512_permutex2var_epi8(table[0], bytes, table[1]);
    __m512i high = _mm512_permutex2var_epi8(table[2], bytes, table[3]);
    return _mm512_mask_blend_epi8(_mm512_movepi8_mask(bytes), low, high);
}

/* sum[lane] + (sum[lane - back] << 4 * back); lanes below 0 are those of the block before. */
#define LENGTHEN(sum, before, back)                                                                \
    _mm512_add_epi32(sum,                                                                          \
                     _mm512_slli_epi32(_mm512_alignr_epi32(sum, before, 16 - (back)), 4 * (back)))
#define WEIGHTS(byte_0, byte_1, byte_2, byte_3)                                                    \
    _mm512_set1_epi32((byte_0) | (byte_1) << 8 | (byte_2) << 16 | (byte_3) << 24)

/* In each lane the smallest of its four hashes. */
VECTOR_INLINE __m512i smallest(const __m512i table[4], __m512i bytes, sums *before) {
    __m512i gear = look_up(table, bytes);
    sums now;
    now.over_4 = _mm512_dpbusd_epi32(_mm512_setzero_si512(), gear, WEIGHTS(8, 4, 2, 1));
    now.over_8 = LENGTHEN(now.over_4, before->over_4, 1);
    now.over_16 = LENGTHEN(now.over_8, before->over_8, 2);
    now.over_32 = LENGTHEN(now.over_16, before->over_16, 4);
    __m512i last = _mm512_alignr_epi32(now.over_32, before->over_32, 15);
    __m512i hash_0 = _mm512_dpbusd_epi32(_mm512_slli_epi32(last, 1), gear, WEIGHTS(1, 0, 0, 0));
    __m512i hash_1 = _mm512_dpbusd_epi32(_mm512_slli_epi32(last, 2), gear, WEIGHTS(2, 1, 0, 0));
    __m512i hash_2 = _mm512_dpbusd_epi32(_mm512_slli_epi32(last, 3), gear, WEIGHTS(4, 2, 1, 0));
    *before = now;
    return _mm512_min_epu32(_mm512_min_epu32(hash_0, hash_1),
                            _mm512_min_epu32(hash_2, now.over_32));
}

VECTOR size_t gear_scan_avx512(const gear_table *table, const uint8_t *data, size_t from, size_t to,
                               uint32_t mask) {
    __m512i gear[4];
    for (int i = 0; i < 4; i++)
        gear[i] = _mm512_loadu_si512(table->of + i * BLOCK);
    const __m512i largest = _mm512_set1_epi32((int)~mask);
    sums before = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(),
                   _mm512_setzero_si512()};
    smallest(gear, _mm512_loadu_si512(data + from - BLOCK), &before);
    for (; to - from >= STEP; from += STEP) {
        __m512i least = _mm512_set1_epi32(-1);
#pragma GCC unroll 4
        for (int i = 0; i < STEP; i += BLOCK)
            least = _mm512_min_epu32(least,
                                     smallest(gear, _mm512_loadu_si512(data + from + i), &before));
        if (_mm512_cmple_epu32_mask(least, largest) != 0)
            return gear_scan(table, data, from, from + STEP, mask);
    }
    return gear_scan(table, data, from, to, mask);
}
#endif
