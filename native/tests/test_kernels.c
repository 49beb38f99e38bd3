/* Every fast kernel against the scalar code, byte for byte, and how kernels are chosen. */
#include "kernels.h"
#include "sealed.h"

enum { ENDS_MAX = HF_EXTENT_BYTES / HF_CHUNK_MIN + 1, GUARD = 64 };

static bool runs_here(const kernel *kernel) {
    if (!kernel->is_supported())
        printf("(no %s here) ", kernel->name);
    return kernel->is_supported();
}

static gear_table table_of(uint64_t seed) {
    gear_table table;
    uint8_t key[32];
    chance chance = {seed};
    chance_fill(&chance, key, sizeof key);
    CHECK(gear_table_make(&table, key) == HF_OK);
    return table;
}

/* Noise, zeros, one byte repeated (also the one that the table turns into 0), text, and mixes. */
static void fill_somehow(chance *chance, const gear_table *table, uint8_t *to, size_t length) {
    uint8_t nothing = (uint8_t)((const uint8_t *)memchr(table->of, 0, 256) - table->of);
    for (size_t at = 0; at < length;) {
        size_t size = 1 + chance_below(chance, chance_below(chance, 3) == 0 ? 100 : 200000);
        size = size < length - at ? size : length - at;
        uint32_t kind = chance_below(chance, 6), period = 1 + chance_below(chance, 100);
        if (kind <= 1)
            chance_fill(chance, to + at, size);
        else if (kind == 2)
            memset(to + at, (int)chance_below(chance, 256), size);
        else if (kind == 3)
            memset(to + at, nothing, size);
        else
            for (size_t i = 0; i < size; i++)
                to[at + i] = i < period ? (uint8_t)chance_next(chance) : to[at + i - period];
        at += size;
    }
}

/* The hash as docs/format and cut.c state it, over the whole window each time. */
static size_t scan_by_definition(const gear_table *table, const uint8_t *data, size_t from,
                                 size_t to, uint32_t mask) {
    for (size_t i = from; i < to; i++) {
        uint32_t hash = 0;
        for (size_t n = 0; n < 32; n++)
            hash += (uint32_t)table->of[data[i - n]] << n;
        if ((hash & mask) == 0)
            return i + 1;
    }
    return to + 1;
}

static void scans_agree_at_every_boundary_for(gear_scanner *scan) {
    enum { LENGTH = 1500 };
    chance chance = {fuzz_seed()};
    gear_table table;
    for (int round = 0; round < 3000; round++) {
        if (round % 100 == 0)
            table = table_of(chance_next(&chance));
        size_t from = GUARD + chance_below(&chance, 300);
        size_t to = from + chance_below(&chance, LENGTH);
        uint32_t mask = ~(UINT32_MAX >> (1 + chance_below(&chance, 24)));
        uint8_t *data = malloc(to); /* exact: the sanitizer sees every byte read too far */
        CHECK(data != NULL);
        fill_somehow(&chance, &table, data, to);
        size_t end = scan_by_definition(&table, data, from, to, mask);
        CHECK(gear_scan(&table, data, from, to, mask) == end);
        CHECK(scan(&table, data, from, to, mask) == end);
        free(data);
    }
}

static void scans_agree_at_every_boundary(void) {
    for (int i = 0; i < KERNEL_COUNT; i++)
        if (KERNELS[i].scan != NULL && runs_here(&KERNELS[i]))
            scans_agree_at_every_boundary_for(KERNELS[i].scan);
}

static void check_cuts(gear_table *table, gear_scanner *scan, const uint8_t *data, size_t length) {
    uint32_t ends[ENDS_MAX], expected[ENDS_MAX];
    uint8_t *exact = malloc(length + 1);
    CHECK(exact != NULL);
    memcpy(exact + 1, data, length);
    table->scan = gear_scan;
    int count = gear_cut(table, exact + 1, length, expected, ENDS_MAX);
    table->scan = scan;
    CHECK(count >= 0 && gear_cut(table, exact + 1, length, ends, ENDS_MAX) == count);
    CHECK(memcmp(ends, expected, (size_t)count * sizeof *ends) == 0);
    free(exact);
}

static void cuts_agree_for(gear_scanner *scan) {
    static const uint32_t EDGES[] = {HF_CHUNK_MIN, HF_CHUNK_MIN + 256, HF_CHUNK_MEAN, HF_CHUNK_MAX,
                                     HF_CHUNK_MAX + HF_CHUNK_MIN};
    chance chance = {fuzz_seed()};
    uint8_t *data = malloc(HF_EXTENT_BYTES);
    CHECK(data != NULL);
    for (int round = 0; round < 40; round++) {
        gear_table table = table_of(chance_next(&chance));
        uint32_t length = round % 8 == 0 ? HF_EXTENT_BYTES : chance_below(&chance, 1 << 20);
        fill_somehow(&chance, &table, data, length);
        check_cuts(&table, scan, data, length);
    }
    gear_table table = table_of(1);
    chance_fill(&chance, data, HF_CHUNK_MAX * 2);
    for (size_t edge = 0; edge < sizeof EDGES / sizeof *EDGES; edge++)
        for (uint32_t length = EDGES[edge] - 2; length <= EDGES[edge] + 2; length++)
            check_cuts(&table, scan, data, length);
    free(data);
}

static void cuts_agree(void) {
    for (int i = 0; i < KERNEL_COUNT; i++)
        if (KERNELS[i].scan != NULL && runs_here(&KERNELS[i]))
            cuts_agree_for(KERNELS[i].scan);
}

static void check_ids(const kernels *kernels, chance *chance, int count, uint32_t length_max) {
    const uint8_t *chunks[1200];
    uint32_t lengths[1200];
    uint8_t ids[1200][32], id[32], key[32];
    chance_fill(chance, key, sizeof key);
    for (int i = 0; i < count; i++) {
        lengths[i] = chance_below(chance, length_max + 1);
        uint8_t *chunk = malloc(lengths[i] + 1); /* odd addresses, exact ends */
        CHECK(chunk != NULL);
        chance_fill(chance, chunk + 1, lengths[i]);
        chunks[i] = chunk + 1;
    }
    fingerprinter *printer = fingerprinter_with(key, kernels);
    CHECK(printer != NULL);
    CHECK(fingerprint_many(printer, chunks, lengths, ids, count) == HF_OK);
    for (int i = 0; i < count; i++) {
        CHECK(fingerprint(printer, chunks[i], lengths[i], id) == HF_OK);
        CHECK(memcmp(id, ids[i], 32) == 0);
        free((void *)(uintptr_t)(chunks[i] - 1));
    }
    fingerprinter_free(printer);
}

static void check_ids_of(const kernels *kernels) {
    chance chance = {fuzz_seed()};
    for (int count = 0; count <= 40; count++)
        for (uint32_t length_max = 1; length_max <= 4096; length_max *= 8)
            check_ids(kernels, &chance, count, length_max);
    check_ids(kernels, &chance, 1200, 300); /* more than are sorted together */
    check_ids(kernels, &chance, 60, HF_CHUNK_MAX);
}

static void ids_agree(void) {
    kernels all = kernels_choose(KERNELS, KERNEL_COUNT, NULL);
    check_ids_of(&all);
    for (int i = 0; i < KERNEL_COUNT; i++)
        if (KERNELS[i].scan == NULL && runs_here(&KERNELS[i])) {
            kernels alone = kernels_choose(&KERNELS[i], 1, NULL);
            CHECK(alone.wide == KERNELS[i].wide && alone.pair == KERNELS[i].pair);
            check_ids_of(&alone);
        }
}

static bool is_always(void) { return true; }
static bool is_never(void) { return false; }

/* Wrong only where a chunk is cut late. */
static size_t scan_wrongly(const gear_table *table, const uint8_t *data, size_t from, size_t to,
                           uint32_t mask) {
    size_t end = gear_scan(table, data, from, to, mask);
    return end > from + 500 && end <= to ? end + 1 : end;
}

static void hash_wrongly(uint32_t state[8][SHA256_LANES], const uint8_t *const blocks[SHA256_LANES],
                         size_t count) {
    (void)blocks;
    state[0][0] += (uint32_t)count;
}

static void a_kernel_that_errs_is_not_used(void) {
    const kernel all[] = {{"cut-good", is_always, gear_scan, NULL, NULL},
                          {"cut-wrong", is_always, scan_wrongly, NULL, NULL},
                          {"sha-wide", is_always, NULL, hash_wrongly, NULL},
                          {"sha-pair", is_always, NULL, NULL, hash_wrongly}};
    kernels chosen = kernels_choose(all, 4, NULL);
    CHECK(chosen.scan == gear_scan && chosen.wide == NULL && chosen.pair == NULL);
    CHECK(chosen.wrong == 3);
    CHECK(strcmp(chosen.text, "cut-good; wrong: cut-wrong,sha-wide,sha-pair") == 0);
    chosen = kernels_choose(all + 1, 1, NULL);
    CHECK(strcmp(chosen.text, "scalar; wrong: cut-wrong") == 0);
}

static void kernels_are_chosen_by_name(void) {
    const kernel all[] = {{"a", is_always, gear_scan, NULL, NULL},
                          {"ab", is_always, gear_scan, NULL, NULL},
                          {"foreign", is_never, scan_wrongly, NULL, NULL}};
    static const char *const CASES[][2] = {{NULL, "a,ab"},  {"", "a,ab"},   {"scalar", "scalar"},
                                           {"a", "a"},      {"ab", "ab"},   {"ab,a", "a,ab"},
                                           {"b", "scalar"}, {"abc,a", "a"}, {"foreign", "scalar"},
                                           {",", "scalar"}, {"a,,", "a"}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        kernels chosen = kernels_choose(all, 3, CASES[i][0]);
        CHECK(strcmp(chosen.text, CASES[i][1]) == 0 && chosen.wrong == 0);
    }
}

static void the_kernels_in_use_can_be_asked_for(void) {
    char text[128], little[4];
    CHECK(hf_kernels(text, sizeof text) == 0);
    CHECK(strcmp(text, kernels_in_use()->text) == 0);
    CHECK(hf_kernels(little, sizeof little) == 0 && strlen(little) == 3);
}

const test KERNEL_TESTS[] = {
    {"kernels: scans agree at every boundary", scans_agree_at_every_boundary},
    {"kernels: cuts agree", cuts_agree},
    {"kernels: ids agree", ids_agree},
    {"kernels: one that errs is not used", a_kernel_that_errs_is_not_used},
    {"kernels: they are chosen by name", kernels_are_chosen_by_name},
    {"kernels: those in use can be asked for", the_kernels_in_use_can_be_asked_for},
    {NULL, NULL},
};
