/* SHA-256 of 16 messages at once, one in each 32-bit lane of AVX-512's registers. */
#include "kernels.h"

#ifdef __x86_64__
#include <immintrin.h>

#define VECTOR __attribute__((target("avx512f,avx512bw")))
#define VECTOR_INLINE VECTOR static inline __attribute__((always_inline))

#define ADD(a, b) _mm512_add_epi32(a, b)
#define XOR3(a, b, c) _mm512_ternarylogic_epi32(a, b, c, 0x96)
#define TURNED(x, a, b, c)                                                                         \
    XOR3(_mm512_ror_epi32(x, a), _mm512_ror_epi32(x, b), _mm512_ror_epi32(x, c))
#define SHIFTED(x, a, b, c)                                                                        \
    XOR3(_mm512_ror_epi32(x, a), _mm512_ror_epi32(x, b), _mm512_srli_epi32(x, c))
#define CHOICE(x, y, z) _mm512_ternarylogic_epi32(x, y, z, 0xca)
#define MAJORITY(x, y, z) _mm512_ternarylogic_epi32(x, y, z, 0xe8)

/* words[i] gets word i of the next block of every lane. */
VECTOR_INLINE void load_words(__m512i words[16], const uint8_t *const blocks[SHA256_LANES],
                              size_t offset) {
    const __m512i swap =
        _mm512_broadcast_i32x4(_mm_set_epi32(0x0c0d0e0f, 0x08090a0b, 0x04050607, 0x00010203));
    __m512i pairs[16];
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
        __m512i a = _mm512_loadu_si512(blocks[i] + offset);
        __m512i b = _mm512_loadu_si512(blocks[i + 1] + offset);
        pairs[i] = _mm512_unpacklo_epi32(a, b);
        pairs[i + 1] = _mm512_unpackhi_epi32(a, b);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) {
        words[i] = _mm512_unpacklo_epi64(pairs[i], pairs[i + 2]);
        words[i + 1] = _mm512_unpackhi_epi64(pairs[i], pairs[i + 2]);
        words[i + 2] = _mm512_unpacklo_epi64(pairs[i + 1], pairs[i + 3]);
        words[i + 3] = _mm512_unpackhi_epi64(pairs[i + 1], pairs[i + 3]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        __m512i a = _mm512_shuffle_i32x4(words[i], words[4 + i], 0x88);
        __m512i b = _mm512_shuffle_i32x4(words[i], words[4 + i], 0xdd);
        __m512i c = _mm512_shuffle_i32x4(words[8 + i], words[12 + i], 0x88);
        __m512i d = _mm512_shuffle_i32x4(words[8 + i], words[12 + i], 0xdd);
        words[i] = _mm512_shuffle_epi8(_mm512_shuffle_i32x4(a, c, 0x88), swap);
        words[4 + i] = _mm512_shuffle_epi8(_mm512_shuffle_i32x4(b, d, 0x88), swap);
        words[8 + i] = _mm512_shuffle_epi8(_mm512_shuffle_i32x4(a, c, 0xdd), swap);
        words[12 + i] = _mm512_shuffle_epi8(_mm512_shuffle_i32x4(b, d, 0xdd), swap);
    }
}

/* 64 rounds; `words` are the block, and then its schedule. */
VECTOR_INLINE void compress(__m512i state[8], __m512i words[16]) {
    __m512i a = state[0], b = state[1], c = state[2], d = state[3];
    __m512i e = state[4], f = state[5], g = state[6], h = state[7];
#pragma GCC unroll 64
    for (int i = 0; i < 64; i++) {
        __m512i *word = &words[i % 16];
        if (i >= 16)
            *word = ADD(ADD(*word, SHIFTED(words[(i + 1) % 16], 7, 18, 3)),
                        ADD(words[(i + 9) % 16], SHIFTED(words[(i + 14) % 16], 17, 19, 10)));
        __m512i input = ADD(ADD(h, *word), _mm512_set1_epi32((int)SHA256_ROUNDS[i]));
        __m512i first = ADD(input, ADD(TURNED(e, 6, 11, 25), CHOICE(e, f, g)));
        __m512i second = ADD(TURNED(a, 2, 13, 22), MAJORITY(a, b, c));
        h = g, g = f, f = e, e = ADD(d, first);
        d = c, c = b, b = a, a = ADD(first, second);
    }
    const __m512i rounds[8] = {a, b, c, d, e, f, g, h};
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        state[i] = ADD(state[i], rounds[i]);
}

VECTOR void sha256_avx512(uint32_t state[8][SHA256_LANES],
                          const uint8_t *const blocks[SHA256_LANES], size_t count) {
    const uint8_t *all[SHA256_LANES], *any = NULL;
    __m512i words[16], states[8];
    for (int i = 0; i < SHA256_LANES; i++)
        any = blocks[i] != NULL ? blocks[i] : any;
    for (int i = 0; i < SHA256_LANES; i++) /* an idle lane hashes along */
        all[i] = blocks[i] != NULL ? blocks[i] : any;
    for (int i = 0; i < 8; i++)
        states[i] = _mm512_loadu_si512(state[i]);
    for (size_t i = 0; i < count; i++) {
        load_words(words, all, 64 * i);
        compress(states, words);
    }
    for (int i = 0; i < 8; i++)
        _mm512_storeu_si512(state[i], states[i]);
}
#endif
