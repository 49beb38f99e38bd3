/* Content-defined cutting: a gear hash in the shape of FastCDC (Xia et al., USENIX ATC 2016).
 *
 * hash = (hash << 1) + table[byte] over 32 bits, so it depends on the last 32 bytes only, and the
 * places where it may cut do not depend on earlier cuts. Up to the mean size 17 leading zero bits
 * are asked for, beyond it 15 ("normalised chunking"), which narrows the spread of sizes.
 * The table is a secret permutation of 0..255: eight bits a value, so that a vector kernel can keep
 * it in registers (cut_avx512.c). Cuts are a promise to ourselves only (they decide what
 * deduplicates, not what is readable); a golden test holds them.
 */
#include "kernels.h"

#include <openssl/hmac.h>

enum { WINDOW = 32 };
static const uint32_t STRICT_MASK = 0xFFFF8000u; /* 17 bits */
static const uint32_t LOOSE_MASK = 0xFFFE0000u;  /* 15 bits */

/* Fisher-Yates with numbers from HMAC-SHA-256(key, counter). */
int gear_table_make(gear_table *table, const uint8_t cut_key[32]) {
    table->scan = kernels_in_use()->scan;
    for (int i = 0; i < 256; i++)
        table->of[i] = (uint8_t)i;
    for (uint32_t i = 255; i > 0; i--) {
        uint8_t counter[4], digest[32];
        unsigned int size = 0;
        put_u32(counter, i);
        if (HMAC(EVP_sha256(), cut_key, HF_KEY_BYTES, counter, sizeof counter, digest, &size) ==
            NULL)
            return HF_E_CRYPTO;
        uint32_t other = (uint32_t)(get_u64(digest) % (i + 1));
        uint8_t swap = table->of[i];
        table->of[i] = table->of[other];
        table->of[other] = swap;
    }
    return HF_OK;
}

size_t gear_scan(const gear_table *table, const uint8_t *data, size_t from, size_t to,
                 uint32_t mask) {
    uint32_t hash = 0;
    for (size_t i = from - WINDOW; i < from; i++)
        hash = (hash << 1) + table->of[data[i]];
    for (size_t i = from; i < to; i++) {
        hash = (hash << 1) + table->of[data[i]];
        if ((hash & mask) == 0)
            return i + 1;
    }
    return to + 1;
}

static size_t chunk_end(const gear_table *table, const uint8_t *data, size_t start, size_t length) {
    if (length - start <= HF_CHUNK_MIN)
        return length;
    size_t max = length - start > HF_CHUNK_MAX ? start + HF_CHUNK_MAX : length;
    size_t mean = max - start > HF_CHUNK_MEAN ? start + HF_CHUNK_MEAN : max;
    size_t end = table->scan(table, data, start + HF_CHUNK_MIN, mean, STRICT_MASK);
    if (end > mean)
        end = table->scan(table, data, mean, max, LOOSE_MASK);
    return end > max ? max : end;
}

int gear_cut(const gear_table *table, const uint8_t *data, size_t length, uint32_t *ends,
             int capacity) {
    int count = 0;
    for (size_t start = 0; start < length; count++) {
        if (count == capacity)
            return HF_E_FULL;
        start = chunk_end(table, data, start, length);
        ends[count] = (uint32_t)start;
    }
    return count;
}

int hf_cut(const uint8_t cut_key[32], const uint8_t *data, size_t length, uint32_t *ends,
           int capacity) {
    gear_table table;
    int result = gear_table_make(&table, cut_key);
    return result < 0 ? result : gear_cut(&table, data, length, ends, capacity);
}
