/* What resembles what, and chunks compressed against one that they resemble.
 *
 * A sketch is made of super-features (Shilane et al., FAST 2012), sampled by content as in Odess
 * (Zou et al., ICDE 2021): of the places where a gear hash over 64 bytes has SAMPLE_BITS leading
 * zeros, the maximum under each of TRANSFORMS linear maps is a feature, and features are hashed
 * together by twos. Two chunks whose sampled hashes are to a share r the same agree in one
 * super-feature with r^2, so in one of six with 1 - (1 - r^2)^6: 82 % for half, 99 % for three
 * quarters (measured on a disk some days later: docs/DECISIONS.md). All of it depends on a secret
 * key, since a sketch tells what was sketched. A wrong guess costs bytes, never correctness.
 */
#include "internal.h"

#include <openssl/hmac.h>
#include <stdlib.h>
#include <zstd.h>

enum { SAMPLE_BITS = 7, TOGETHER = 2, TRANSFORMS = HF_FEATURES * TOGETHER };
static const uint64_t MIX = 0x9E3779B97F4A7C15u; /* 2^64 / golden ratio: spreads the bits */

struct hf_delta {
    uint64_t gear[256];
    uint64_t factor[TRANSFORMS], addend[TRANSFORMS];
    ZSTD_CCtx *zstd;
};

/* `count` numbers from HMAC-SHA-256(key, first), HMAC-SHA-256(key, first + 1), ... */
static int derive_numbers(const uint8_t key[32], uint32_t first, uint64_t *numbers, int count) {
    for (int i = 0; i < count; i++) {
        uint8_t counter[4], digest[32];
        unsigned int size = 0;
        put_u32(counter, first + (uint32_t)i);
        if (HMAC(EVP_sha256(), key, HF_KEY_BYTES, counter, sizeof counter, digest, &size) == NULL)
            return HF_E_CRYPTO;
        numbers[i] = get_u64(digest);
    }
    return HF_OK;
}

hf_delta *hf_delta_new(const uint8_t key[32], int level) {
    hf_delta *delta = calloc(1, sizeof *delta);
    if (delta == NULL)
        return NULL;
    delta->zstd = ZSTD_createCCtx();
    if (delta->zstd == NULL ||
        ZSTD_isError(ZSTD_CCtx_setParameter(delta->zstd, ZSTD_c_compressionLevel, level)) ||
        derive_numbers(key, 0, delta->gear, 256) < 0 ||
        derive_numbers(key, 256, delta->factor, TRANSFORMS) < 0 ||
        derive_numbers(key, 256 + TRANSFORMS, delta->addend, TRANSFORMS) < 0) {
        hf_delta_free(delta);
        return NULL;
    }
    for (int i = 0; i < TRANSFORMS; i++)
        delta->factor[i] |= 1; /* odd: a permutation */
    return delta;
}

void hf_delta_free(hf_delta *delta) {
    if (delta == NULL)
        return;
    ZSTD_freeCCtx(delta->zstd);
    OPENSSL_cleanse(delta, sizeof *delta);
    free(delta);
}

void hf_delta_sketch(const hf_delta *delta, const uint8_t *data, size_t length,
                     uint64_t features[HF_FEATURES]) {
    uint64_t most[TRANSFORMS] = {0}, hash = 0;
    for (size_t i = 0; i < length; i++) {
        hash = (hash << 1) + delta->gear[data[i]];
        if (hash >> (64 - SAMPLE_BITS) != 0)
            continue;
        for (int n = 0; n < TRANSFORMS; n++) {
            uint64_t value = hash * delta->factor[n] + delta->addend[n];
            most[n] = value > most[n] ? value : most[n];
        }
    }
    for (int n = 0; n < HF_FEATURES; n++) {
        uint64_t mixed = (uint64_t)n; /* a feature is equal to one of the same number only */
        for (int part = 0; part < TOGETHER; part++) {
            mixed = (mixed ^ most[n * TOGETHER + part]) * MIX;
            mixed ^= mixed >> 32;
        }
        features[n] = mixed;
    }
}

int hf_delta_pack(hf_delta *delta, const uint8_t *base, size_t base_length, const uint8_t *data,
                  size_t length, uint8_t *out, size_t capacity) {
    ZSTD_CCtx_reset(delta->zstd, ZSTD_reset_session_only); /* the last one may not have fitted */
    if (base != NULL && ZSTD_isError(ZSTD_CCtx_refPrefix(delta->zstd, base, base_length)))
        return HF_E_CRYPTO;
    size_t packed = ZSTD_compress2(delta->zstd, out, capacity, data, length);
    return ZSTD_isError(packed) ? HF_E_FULL : (int)packed;
}
