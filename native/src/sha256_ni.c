/* SHA-256 with the processor's SHA instructions, two lanes interleaved: four rounds of one lane
 * wait for the result of the ones before, and the other lane uses that time.
 */
#include "kernels.h"

#ifdef __x86_64__
#include <immintrin.h>

#define SHA __attribute__((target("sha,ssse3,sse4.1")))
#define SHA_INLINE SHA static inline __attribute__((always_inline))

typedef struct {
    __m128i abef, cdgh; /* the state, in the order that the instructions want */
    __m128i w[4];       /* the last 16 words of the schedule */
} lane;

SHA_INLINE void load_lane(lane *lane, uint32_t state[8][SHA256_LANES], int n) {
    lane->abef =
        _mm_set_epi32((int)state[0][n], (int)state[1][n], (int)state[4][n], (int)state[5][n]);
    lane->cdgh =
        _mm_set_epi32((int)state[2][n], (int)state[3][n], (int)state[6][n], (int)state[7][n]);
}

SHA_INLINE void store_lane(const lane *lane, uint32_t state[8][SHA256_LANES], int n) {
    state[0][n] = (uint32_t)_mm_extract_epi32(lane->abef, 3);
    state[1][n] = (uint32_t)_mm_extract_epi32(lane->abef, 2);
    state[2][n] = (uint32_t)_mm_extract_epi32(lane->cdgh, 3);
    state[3][n] = (uint32_t)_mm_extract_epi32(lane->cdgh, 2);
    state[4][n] = (uint32_t)_mm_extract_epi32(lane->abef, 1);
    state[5][n] = (uint32_t)_mm_extract_epi32(lane->abef, 0);
    state[6][n] = (uint32_t)_mm_extract_epi32(lane->cdgh, 1);
    state[7][n] = (uint32_t)_mm_extract_epi32(lane->cdgh, 0);
}

/* Rounds 4 * step to 4 * step + 3. */
SHA_INLINE void do_rounds(lane *lane, int step, const uint8_t *block) {
    const __m128i swap = _mm_set_epi32(0x0c0d0e0f, 0x08090a0b, 0x04050607, 0x00010203);
    __m128i *w = &lane->w[step % 4];
    if (step < 4) {
        *w = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)block + step), swap);
    } else {
        __m128i late = lane->w[(step + 3) % 4];
        __m128i sum = _mm_sha256msg1_epu32(*w, lane->w[(step + 1) % 4]);
        sum = _mm_add_epi32(sum, _mm_alignr_epi8(late, lane->w[(step + 2) % 4], 4));
        *w = _mm_sha256msg2_epu32(sum, late);
    }
    __m128i input =
        _mm_add_epi32(*w, _mm_load_si128((const __m128i *)(const void *)SHA256_ROUNDS + step));
    lane->cdgh = _mm_sha256rnds2_epu32(lane->cdgh, lane->abef, input);
    input = _mm_shuffle_epi32(input, 0x0e);
    lane->abef = _mm_sha256rnds2_epu32(lane->abef, lane->cdgh, input);
}

/* One lane or two: `lanes` is a constant where this is inlined. */
SHA_INLINE void compress(uint32_t state[8][SHA256_LANES], const uint8_t *const blocks[SHA256_LANES],
                         const int numbers[2], int lanes, size_t count) {
    lane lane[2];
    for (int n = 0; n < lanes; n++)
        load_lane(&lane[n], state, numbers[n]);
    for (size_t i = 0; i < count; i++) {
        __m128i abef[2], cdgh[2];
        for (int n = 0; n < lanes; n++) {
            abef[n] = lane[n].abef;
            cdgh[n] = lane[n].cdgh;
        }
#pragma GCC unroll 16
        for (int step = 0; step < 16; step++)
#pragma GCC unroll 2
            for (int n = 0; n < lanes; n++)
                do_rounds(&lane[n], step, blocks[numbers[n]] + 64 * i);
        for (int n = 0; n < lanes; n++) {
            lane[n].abef = _mm_add_epi32(lane[n].abef, abef[n]);
            lane[n].cdgh = _mm_add_epi32(lane[n].cdgh, cdgh[n]);
        }
    }
    for (int n = 0; n < lanes; n++)
        store_lane(&lane[n], state, numbers[n]);
}

SHA void sha256_ni(uint32_t state[8][SHA256_LANES], const uint8_t *const blocks[SHA256_LANES],
                   size_t count) {
    int waiting = 0, numbers[2];
    for (int n = 0; n < SHA256_LANES; n++) {
        if (blocks[n] == NULL)
            continue;
        numbers[waiting++] = n;
        if (waiting == 2) {
            compress(state, blocks, numbers, 2, count);
            waiting = 0;
        }
    }
    if (waiting == 1)
        compress(state, blocks, numbers, 1, count);
}
#endif
