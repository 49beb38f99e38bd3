/* Streams of simulated fingerprints for `make bench-index`: the loops that would be too slow in
 * Python. A chunk is a number; its id is that number mixed, its container the number divided.
 * Loaded beside libholdfast.so, whose functions it calls.
 */
#include "holdfast.h"

#include <string.h>
#include <time.h>

uint64_t stream_claim(hf_index *index, uint64_t first, uint64_t count, uint32_t per_container);
uint64_t stream_find(hf_index *index, uint64_t first, uint64_t limit, uint64_t count,
                     uint32_t together, uint64_t seed, uint64_t *found);

static uint64_t mix(uint64_t number) {
    uint64_t mixed = number * 0x9E3779B97F4A7C15u + 0xD1B54A32D192ED03u;
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBu;
    return mixed ^ (mixed >> 31);
}

static void make_bytes(uint64_t number, uint8_t bytes[32]) {
    for (uint64_t word = 0; word < 4; word++) {
        uint64_t mixed = mix(4 * number + word);
        memcpy(bytes + 8 * word, &mixed, 8);
    }
}

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Claims chunks first.. as a backup claims new ones; gives the nanoseconds it took, 0 = error. */
uint64_t stream_claim(hf_index *index, uint64_t first, uint64_t count, uint32_t per_container) {
    uint64_t began = now_ns();
    int64_t container = -1;
    for (uint64_t number = first; number < first + count; number++) {
        uint8_t bytes[32];
        if (container < 0 || number % per_container == 0) {
            make_bytes(UINT64_MAX / 8 - number / per_container, bytes);
            container = hf_index_slot_of(index, bytes);
        }
        make_bytes(number, bytes);
        uint32_t slot = (uint32_t)container, ordinal = (uint32_t)(number % per_container);
        if (container < 0 || hf_index_claim(index, bytes, &slot, &ordinal) < 0)
            return 0;
    }
    return now_ns() - began;
}

/* Looks up `count` chunks of first..limit-1, each time `together` neighbours from a random place
 * on; gives the nanoseconds it took. */
uint64_t stream_find(hf_index *index, uint64_t first, uint64_t limit, uint64_t count,
                     uint32_t together, uint64_t seed, uint64_t *found) {
    uint64_t began = now_ns(), number = first;
    *found = 0;
    for (uint64_t i = 0; i < count; i++, number++) {
        uint8_t id[32];
        uint32_t slot, ordinal;
        if (i % together == 0 || number >= limit)
            number = first + mix(seed + i) % (limit - first);
        make_bytes(number, id);
        *found += hf_index_find(index, id, &slot, &ordinal) == 1;
    }
    return now_ns() - began;
}
