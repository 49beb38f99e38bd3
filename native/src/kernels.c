/* Which kernels are used: those that the processor has, that HOLDFAST_KERNELS names ("scalar", or
 * any name that is none, leaves only the scalar ones) and that pass their self-test. Owns the
 * library's only global state, written once; adds no kernel of its own.
 */
#include "kernels.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef __x86_64__
#include <cpuid.h>

static bool has_sha_instructions(void) {
    unsigned int a, b, c, d;
    return __builtin_cpu_supports("ssse3") && __builtin_cpu_supports("sse4.1") &&
           __get_cpuid_count(7, 0, &a, &b, &c, &d) == 1 && (b & bit_SHA) != 0;
}

static bool has_avx512(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
}

static bool has_avx512_bytes(void) {
    return has_avx512() && __builtin_cpu_supports("avx512vbmi") &&
           __builtin_cpu_supports("avx512vnni");
}

const kernel KERNELS[] = {
    {.name = "cut-avx512", .is_supported = has_avx512_bytes, .scan = gear_scan_avx512},
    {.name = "sha256-avx512", .is_supported = has_avx512, .wide = sha256_avx512},
    {.name = "sha256-ni", .is_supported = has_sha_instructions, .pair = sha256_ni},
};
const int KERNEL_COUNT = sizeof KERNELS / sizeof *KERNELS;
#else
const kernel KERNELS[1];
const int KERNEL_COUNT = 0;
#endif

enum { TEST_BYTES = 16 << 10, TEST_CHUNKS = 40 };

/* Fixed numbers from a congruential generator (Numerical Recipes, ranqd1). */
static void fill(uint8_t *to, size_t length) {
    uint32_t number = 1;
    for (size_t i = 0; i < length; i++) {
        number = number * 1664525u + 1013904223u;
        to[i] = (uint8_t)(number >> 24);
    }
}

/* Every cut of noise and of a run of equal bytes, with masks that cut often. */
static bool cuts_agree(gear_scanner *scan, const uint8_t data[TEST_BYTES]) {
    gear_table table;
    for (int i = 0; i < 256; i++)
        table.of[i] = (uint8_t)(i * 167 + 13); /* odd times: a permutation */
    for (int bits = 4; bits <= 20; bits += 4) {
        uint32_t mask = ~(UINT32_MAX >> bits);
        for (size_t from = 64; from < TEST_BYTES;) {
            size_t to = TEST_BYTES - from > 3000 ? from + 3000 : TEST_BYTES;
            size_t end = gear_scan(&table, data, from, to, mask);
            if (scan(&table, data, from, to, mask) != end)
                return false;
            from = end;
        }
    }
    return true;
}

static bool macs_agree(const kernels *kernels, const uint8_t data[TEST_BYTES]) {
    const uint8_t *chunks[TEST_CHUNKS];
    uint32_t lengths[TEST_CHUNKS];
    uint8_t ids[TEST_CHUNKS][32], id[32];
    fingerprinter *printer = fingerprinter_with(data, kernels);
    if (printer == NULL)
        return false;
    for (uint32_t i = 0; i < TEST_CHUNKS; i++) {
        chunks[i] = data + 37 * i;
        lengths[i] = 29 * i;
    }
    bool agree = fingerprint_many(printer, chunks, lengths, ids, TEST_CHUNKS) == HF_OK;
    for (int i = 0; agree && i < TEST_CHUNKS; i++)
        agree = fingerprint(printer, chunks[i], lengths[i], id) == HF_OK &&
                memcmp(id, ids[i], sizeof id) == 0;
    fingerprinter_free(printer);
    return agree;
}

static bool is_right(const kernel *kernel) {
    static uint8_t data[TEST_BYTES];
    uint8_t *half = data + TEST_BYTES / 2;
    fill(data, TEST_BYTES / 2);
    memset(half, 0xd5, TEST_BYTES / 4); /* the byte that the table above turns into 0 */
    memset(half + TEST_BYTES / 4, 0, TEST_BYTES / 4);
    if (kernel->scan != NULL)
        return cuts_agree(kernel->scan, data);
    kernels alone = {.wide = kernel->wide, .pair = kernel->pair};
    return macs_agree(&alone, data);
}

static bool is_named(const char *name, const char *names) {
    size_t length = strlen(name);
    if (names == NULL || *names == '\0')
        return true;
    for (const char *at = names; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, name, length) == 0 && (at[length] == ',' || at[length] == '\0'))
            return true;
    }
    return false;
}

static void add_name(char *text, size_t room, const char *between, const char *name) {
    size_t used = strlen(text);
    snprintf(text + used, room - used, "%s%s", between, name);
}

kernels kernels_choose(const kernel *all, int count, const char *names) {
    kernels chosen = {.scan = gear_scan};
    char wrong[sizeof chosen.text] = "";
    for (int i = 0; i < count; i++) {
        const kernel *kernel = &all[i];
        if (!is_named(kernel->name, names) || !kernel->is_supported())
            continue;
        if (!is_right(kernel)) {
            add_name(wrong, sizeof wrong, chosen.wrong++ == 0 ? "; wrong: " : ",", kernel->name);
            continue;
        }
        chosen.scan = kernel->scan != NULL ? kernel->scan : chosen.scan;
        chosen.wide = kernel->wide != NULL ? kernel->wide : chosen.wide;
        chosen.pair = kernel->pair != NULL ? kernel->pair : chosen.pair;
        add_name(chosen.text, sizeof chosen.text, *chosen.text == '\0' ? "" : ",", kernel->name);
    }
    if (*chosen.text == '\0')
        add_name(chosen.text, sizeof chosen.text, "", "scalar");
    add_name(chosen.text, sizeof chosen.text, "", wrong);
    return chosen;
}

static kernels in_use;
static void choose_once(void) {
    in_use = kernels_choose(KERNELS, KERNEL_COUNT, getenv("HOLDFAST_KERNELS"));
}

const kernels *kernels_in_use(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, choose_once);
    return &in_use;
}

int hf_kernels(char *text, size_t size) {
    const kernels *kernels = kernels_in_use();
    snprintf(text, size, "%s", kernels->text);
    return kernels->wrong;
}
