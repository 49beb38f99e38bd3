/* HMAC-SHA-256 of many messages side by side, on a kernel that compresses several lanes at once.
 *
 * Each lane takes a message: its whole blocks where they lie, then the padded rest, then the outer
 * hash; and the next message after that. All lanes go on together until one has to change. Longest
 * messages come first, so that the lanes end at about the same time. What is common to all messages
 * (the two blocks of the key) is hashed once.
 */
#include "kernels.h"

#include <openssl/crypto.h>
#include <stdlib.h>

/* FIPS 180-4, 4.2.2 and 5.3.3: the fractions of the cube roots of the first 64 primes, and of the
 * square roots of the first 8. */
const uint32_t SHA256_ROUNDS[64] __attribute__((aligned(64))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
static const uint32_t START[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                  0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

enum {
    BLOCK = 64,
    DIGEST = 32,
    ROUND_MESSAGES = 512, /* sorted and hashed together */
    WIDE_FROM_LANES = 9,  /* with fewer at work, two at a time are faster (`make bench`) */
};

/* What a lane is hashing. */
typedef enum { IDLE, BODY, REST, OUTER } stage;

typedef struct {
    const kernels *kernels;
    const hmac_states *states;
    const uint8_t *const *data;
    const uint32_t *lengths;
    uint8_t (*macs)[32];
    uint64_t order[ROUND_MESSAGES]; /* length << 32 | number, the longest last */
    int left;                       /* messages that no lane has taken yet */
    uint32_t state[8][SHA256_LANES];
    const uint8_t *blocks[SHA256_LANES]; /* NULL: idle */
    size_t ready[SHA256_LANES];          /* blocks there */
    struct {
        stage stage;
        uint32_t number;
        size_t pad_blocks;
        uint8_t pad[2 * BLOCK];
    } lanes[SHA256_LANES];
} run;

static void load_state(uint32_t state[8][SHA256_LANES], int lane, const uint32_t words[8]) {
    for (int i = 0; i < 8; i++)
        state[i][lane] = words[i];
}

static void store_digest(uint8_t digest[DIGEST], uint32_t state[8][SHA256_LANES], int lane) {
    for (int i = 0; i < 8; i++)
        put_u32(digest + 4 * i, __builtin_bswap32(state[i][lane]));
}

/* `rest` bytes, of a message of `length` bytes after the key's block, become whole blocks. */
static size_t pad(uint8_t to[2 * BLOCK], size_t rest, uint64_t length) {
    size_t size = rest < BLOCK - 8 ? BLOCK : 2 * BLOCK;
    memset(to + rest, 0, size - rest);
    to[rest] = 0x80;
    put_u64(to + size - 8, __builtin_bswap64((BLOCK + length) * 8));
    return size / BLOCK;
}

static void take_message(run *run, int lane) {
    uint32_t number = (uint32_t)run->order[--run->left];
    uint32_t length = run->lengths[number], rest = length % BLOCK;
    uint8_t *to = run->lanes[lane].pad;
    if (rest > 0)
        memcpy(to, run->data[number] + length - rest, rest);
    run->lanes[lane].pad_blocks = pad(to, rest, length);
    run->lanes[lane].number = number;
    run->lanes[lane].stage = BODY;
    load_state(run->state, lane, run->states->inner);
    run->blocks[lane] = run->data[number];
    run->ready[lane] = length / BLOCK;
}

/* The lane has no block left: what comes next? */
static void advance(run *run, int lane) {
    uint8_t *to = run->lanes[lane].pad;
    switch (run->lanes[lane].stage) {
    case BODY:
        run->blocks[lane] = to;
        run->ready[lane] = run->lanes[lane].pad_blocks;
        run->lanes[lane].stage = REST;
        return;
    case REST:
        store_digest(to, run->state, lane);
        run->blocks[lane] = to;
        run->ready[lane] = pad(to, DIGEST, DIGEST);
        load_state(run->state, lane, run->states->outer);
        run->lanes[lane].stage = OUTER;
        return;
    case OUTER:
        store_digest(run->macs[run->lanes[lane].number], run->state, lane);
        run->lanes[lane].stage = IDLE;
        run->blocks[lane] = NULL;
        break;
    case IDLE:
        break;
    }
    if (run->left > 0)
        take_message(run, lane);
}

static int by_number(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* All messages in `order`. */
static void run_lanes(run *run) {
    const kernels *kernels = run->kernels;
    int lanes = kernels->wide != NULL ? SHA256_LANES : 2;
    for (;;) {
        int busy = 0;
        size_t common = SIZE_MAX; /* blocks that every busy lane has */
        for (int i = 0; i < lanes; i++) {
            while (run->ready[i] == 0 && (run->blocks[i] != NULL || run->left > 0))
                advance(run, i);
            if (run->blocks[i] == NULL)
                continue;
            busy++;
            common = run->ready[i] < common ? run->ready[i] : common;
        }
        if (busy == 0)
            return;
        bool is_wide = kernels->pair == NULL || (kernels->wide != NULL && busy >= WIDE_FROM_LANES);
        (is_wide ? kernels->wide : kernels->pair)(run->state, run->blocks, common);
        for (int i = 0; i < lanes; i++)
            if (run->blocks[i] != NULL) {
                run->blocks[i] += common * BLOCK;
                run->ready[i] -= common;
            }
    }
}

void hmac_many(const kernels *kernels, const hmac_states *states, const uint8_t *const *data,
               const uint32_t *lengths, uint8_t (*macs)[32], int count) {
    run run;
    for (int first = 0; first < count; first += ROUND_MESSAGES) {
        memset(&run, 0, sizeof run);
        run.kernels = kernels;
        run.states = states;
        run.data = data + first;
        run.lengths = lengths + first;
        run.macs = macs + first;
        run.left = count - first < ROUND_MESSAGES ? count - first : ROUND_MESSAGES;
        for (int i = 0; i < run.left; i++)
            run.order[i] = (uint64_t)run.lengths[i] << 32 | (uint32_t)i;
        qsort(run.order, (size_t)run.left, sizeof *run.order, by_number);
        run_lanes(&run);
    }
    OPENSSL_cleanse(&run, sizeof run); /* states from which macs could be made */
}

hmac_states hmac_begin(const kernels *kernels, const uint8_t key[32]) {
    uint8_t pads[2][BLOCK];
    uint32_t state[8][SHA256_LANES];
    const uint8_t *blocks[SHA256_LANES] = {pads[0], pads[1]};
    hmac_states states;
    memset(pads[0], 0x36, BLOCK);
    memset(pads[1], 0x5c, BLOCK);
    for (int i = 0; i < HF_KEY_BYTES; i++) {
        pads[0][i] ^= key[i];
        pads[1][i] ^= key[i];
    }
    load_state(state, 0, START);
    load_state(state, 1, START);
    (kernels->pair != NULL ? kernels->pair : kernels->wide)(state, blocks, 1);
    for (int i = 0; i < 8; i++) {
        states.inner[i] = state[i][0];
        states.outer[i] = state[i][1];
    }
    OPENSSL_cleanse(pads, sizeof pads);
    OPENSSL_cleanse(state, sizeof state);
    return states;
}
