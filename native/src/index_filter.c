/* Binary fuse filters with four positions and eight bits: about 8.6 bits per id, and one id in 256
 * that a block does not have passes. Own code after T. M. Graf and D. Lemire, "Binary Fuse Filters:
 * Fast and Smaller Than Xor Filters", ACM Journal of Experimental Algorithmics 27 (2022), whose
 * fits of segment length and size are used.
 *
 * The bytes at an id's four positions XOR to its fingerprint. To find such bytes, positions that
 * only one id has are peeled off until no id is left; in the reverse order each id finds one of
 * its positions still free.
 */
#include "index.h"

#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

enum { POSITIONS = 4, SEGMENT_LENGTH_MAX = 1 << 12, ATTEMPTS_MAX = 100 };

void filter_shape(uint32_t count, block *block) {
    /* 2^k where 2.91^(k + 1/2) <= count, and 0.77 + 0.305 ln(600000) / ln(count) bytes per id. */
    uint32_t length = 2, bits = 1;
    for (double reach = 14.445; count >= reach && length < SEGMENT_LENGTH_MAX; reach *= 2.91)
        length *= 2;
    while (count >> (bits + 1) != 0)
        bits++;
    uint64_t capacity = 8 + (uint64_t)count * 77 / 100 + (uint64_t)count * 5855 / (1000 * bits);
    uint64_t segments = (capacity + length - 1) / length;
    block->segment_length = length;
    block->start_segments = (uint32_t)(segments < POSITIONS ? 1 : segments - (POSITIONS - 1));
}

size_t filter_bytes(const block *block) {
    return ((size_t)block->start_segments + POSITIONS - 1) * block->segment_length;
}

static uint64_t hash_id(const uint8_t *id, uint64_t seed) {
    return XXH3_64bits_withSeed(id, ID_PREFIX, seed);
}

/* The high bits choose the first position, twelve each of the low ones a place in the next three
 * segments, eight more are the fingerprint. */
static inline void place(uint64_t hash, const block *block, uint32_t at[POSITIONS]) {
    uint32_t length = block->segment_length, mask = length - 1;
    uint64_t range = (uint64_t)block->start_segments * length;
    uint32_t first = (uint32_t)(((hash >> 32) * range) >> 32);
    at[0] = first;
    at[1] = (first + length) ^ ((uint32_t)hash & mask);
    at[2] = (first + 2 * length) ^ ((uint32_t)(hash >> 12) & mask);
    at[3] = (first + 3 * length) ^ ((uint32_t)(hash >> 24) & mask);
}

static inline uint8_t fingerprint_of(uint64_t hash) { return (uint8_t)(hash ^ (hash >> 36)); }

bool filter_has(const uint8_t *filter, const block *block, const uint8_t *id) {
    uint64_t hash = hash_id(id, block->seed);
    uint32_t at[POSITIONS];
    place(hash, block, at);
    return (filter[at[0]] ^ filter[at[1]] ^ filter[at[2]] ^ filter[at[3]]) == fingerprint_of(hash);
}

/* ---- building ---- */

typedef struct {
    uint64_t *hashes;  /* by position: XOR of the hashes of the ids that have it */
    uint8_t *degrees;  /* by position: how many ids have it */
    uint32_t *singles; /* positions that one id had when they were noted */
    uint64_t *peeled;  /* hashes in the order of peeling, and the position each will have */
    uint32_t *places;
} scratch;

static bool scratch_make(scratch *scratch, size_t positions, uint32_t count) {
    scratch->hashes = malloc(positions * sizeof *scratch->hashes);
    scratch->degrees = malloc(positions);
    scratch->singles = malloc(positions * sizeof *scratch->singles);
    scratch->peeled = malloc(((size_t)count + 1) * sizeof *scratch->peeled);
    scratch->places = malloc(((size_t)count + 1) * sizeof *scratch->places);
    return scratch->hashes != NULL && scratch->degrees != NULL && scratch->singles != NULL &&
           scratch->peeled != NULL && scratch->places != NULL;
}

static void scratch_free(scratch *scratch) {
    free(scratch->hashes);
    free(scratch->degrees);
    free(scratch->singles);
    free(scratch->peeled);
    free(scratch->places);
}

static bool fill(scratch *scratch, const block *block, const uint8_t *pages, uint32_t count) {
    memset(scratch->hashes, 0, filter_bytes(block) * sizeof *scratch->hashes);
    memset(scratch->degrees, 0, filter_bytes(block));
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *id = pages + (size_t)(i / PAGE_ENTRIES) * PAGE_BYTES +
                            (size_t)(i % PAGE_ENTRIES) * ENTRY_BYTES;
        uint64_t hash = hash_id(id, block->seed);
        uint32_t at[POSITIONS];
        place(hash, block, at);
        for (int p = 0; p < POSITIONS; p++) {
            scratch->hashes[at[p]] ^= hash;
            if (++scratch->degrees[at[p]] == 0)
                return false;
        }
    }
    return true;
}

/* Whether every id found a position of its own. */
static bool peel(scratch *scratch, const block *block, uint32_t count) {
    size_t waiting = 0;
    uint32_t done = 0;
    for (uint32_t at = 0; at < filter_bytes(block); at++)
        if (scratch->degrees[at] == 1)
            scratch->singles[waiting++] = at;
    while (waiting > 0) {
        uint32_t single = scratch->singles[--waiting], at[POSITIONS];
        if (scratch->degrees[single] != 1)
            continue;
        uint64_t hash = scratch->hashes[single];
        scratch->peeled[done] = hash;
        scratch->places[done++] = single;
        place(hash, block, at);
        for (int p = 0; p < POSITIONS; p++) {
            scratch->hashes[at[p]] ^= hash;
            if (--scratch->degrees[at[p]] == 1)
                scratch->singles[waiting++] = at[p];
        }
    }
    return done == count;
}

static void assign(const scratch *scratch, const block *block, uint8_t *filter, uint32_t count) {
    memset(filter, 0, filter_bytes(block));
    for (uint32_t i = count; i-- > 0;) {
        uint64_t hash = scratch->peeled[i];
        uint32_t at[POSITIONS];
        place(hash, block, at);
        filter[scratch->places[i]] = (uint8_t)(fingerprint_of(hash) ^ filter[at[0]] ^
                                               filter[at[1]] ^ filter[at[2]] ^ filter[at[3]]);
    }
}

int filter_build(uint8_t *filter, block *block, const uint8_t *pages, uint32_t count) {
    scratch scratch = {0};
    int result = HF_E_MEMORY;
    if (scratch_make(&scratch, filter_bytes(block), count)) {
        /* An attempt fails by chance, seldom; a hundred in a row only when an id comes twice. */
        result = HF_E_FORMAT;
        for (block->seed = 1; result != HF_OK && block->seed <= ATTEMPTS_MAX; block->seed++)
            if (fill(&scratch, block, pages, count) && peel(&scratch, block, count)) {
                assign(&scratch, block, filter, count);
                result = HF_OK;
                break;
            }
    }
    scratch_free(&scratch);
    return result;
}
