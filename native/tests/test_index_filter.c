/* Filters: never a false no, seldom a false yes, for any ids. */
#include "runs.h"

#include <unistd.h>

typedef void (*id_maker)(chance *chance, uint32_t number, uint8_t id[ID_PREFIX]);

static void uniform_id(chance *chance, uint32_t number, uint8_t id[ID_PREFIX]) {
    (void)number;
    chance_fill(chance, id, ID_PREFIX);
}

static void counted_id(chance *chance, uint32_t number, uint8_t id[ID_PREFIX]) {
    (void)chance;
    memset(id, 0, ID_PREFIX);
    put_u32(id + 12, __builtin_bswap32(number));
}

static void same_front_id(chance *chance, uint32_t number, uint8_t id[ID_PREFIX]) {
    memset(id, 0xAB, 8);
    put_u32(id + 8, __builtin_bswap32(number));
    chance_fill(chance, id + 12, 4);
}

static void same_back_id(chance *chance, uint32_t number, uint8_t id[ID_PREFIX]) {
    (void)chance;
    put_u64(id, __builtin_bswap64((uint64_t)number << 40));
    memset(id + 8, 0xCD, 8);
}

static void edge_id(chance *chance, uint32_t number, uint8_t id[ID_PREFIX]) {
    memset(id, number % 2 == 0 ? 0x00 : 0xFF, 10);
    put_u32(id + 10, __builtin_bswap32(number));
    chance_fill(chance, id + 14, 2);
}

static const id_maker MAKERS[] = {uniform_id, counted_id, same_front_id, same_back_id, edge_id};

static uint8_t *page_place(uint8_t *pages, uint32_t i) {
    return pages + (size_t)(i / PAGE_ENTRIES) * PAGE_BYTES + i % PAGE_ENTRIES * (size_t)ENTRY_BYTES;
}

/* Builds a filter of `count` ids, checks that it has each, and gives how many of 20,000 other ids
 * pass. */
static uint32_t try_filter(id_maker make, uint32_t count, uint64_t seed, uint8_t *pages) {
    chance chance = {seed};
    block block = {0};
    for (uint32_t i = 0; i < count; i++)
        make(&chance, i, page_place(pages, i));
    filter_shape(count, &block);
    uint8_t *filter = malloc(filter_bytes(&block));
    CHECK(filter != NULL && filter_build(filter, &block, pages, count) == HF_OK);
    for (uint32_t i = 0; i < count; i++)
        CHECK(filter_has(filter, &block, page_place(pages, i)));
    uint32_t passed = 0;
    for (uint32_t i = 0; i < 20000; i++) {
        uint8_t id[ID_PREFIX];
        chance_fill(&chance, id, ID_PREFIX);
        passed += filter_has(filter, &block, id);
    }
    free(filter);
    return passed;
}

static void a_filter_never_denies_what_it_has(void) {
    uint8_t *pages = calloc(BLOCK_PAGES, PAGE_BYTES);
    CHECK(pages != NULL);
    printf("HF_FUZZ_SEED=%llu ... ", (unsigned long long)fuzz_seed());
    for (uint64_t part = 0; part < 2; part++) { /* more than a million ids */
        uint32_t passed = try_filter(uniform_id, BLOCK_ENTRIES, fuzz_seed() + part, pages);
        CHECK(passed > 20 && passed < 160); /* 1 in 256 is 78 */
    }
    for (size_t i = 0; i < sizeof MAKERS / sizeof *MAKERS; i++)
        CHECK(try_filter(MAKERS[i], 100000, fuzz_seed() + i, pages) < 160);
    for (uint32_t count = 1; count < 600; count += 7)
        try_filter(uniform_id, count, fuzz_seed() + count, pages);
    free(pages);
}

static void a_full_block_costs_less_than_nine_bits_an_id(void) {
    block block = {0};
    filter_shape(BLOCK_ENTRIES, &block);
    printf("%.3f bits ... ", 8.0 * (double)filter_bytes(&block) / BLOCK_ENTRIES);
    CHECK(filter_bytes(&block) * 8 < 8.7 * BLOCK_ENTRIES);
    CHECK(filter_bytes(&block) % PAGE_BYTES == 0); /* nothing is lost to padding */
}

static void an_id_that_comes_twice_is_refused(void) {
    uint8_t pages[PAGE_BYTES] = {0}, filter[256];
    block block = {0};
    filter_shape(2, &block);
    CHECK(filter_bytes(&block) <= sizeof filter);
    CHECK(filter_build(filter, &block, pages, 2) == HF_E_FORMAT);
}

/* Through files: several blocks, and ids that interpolation guesses wrong. */
static void a_run_gives_back_any_ids(void) {
    enum { COUNT = 20000, CONTAINER = 500 };
    for (size_t i = 0; i < sizeof MAKERS / sizeof *MAKERS; i++) {
        hf_index *index = hf_index_new();
        uint8_t id[32] = {0}, name[32] = {1};
        for (int pass = 0; pass < 2; pass++) {
            chance chance = {fuzz_seed()};
            for (uint32_t n = 0; n < COUNT; n++) {
                MAKERS[i](&chance, n, id);
                put_u32(name + 4, n / CONTAINER);
                uint32_t wanted = (uint32_t)hf_index_slot_of(index, name);
                uint32_t slot = wanted, ordinal = n;
                if (pass == 0)
                    CHECK(hf_index_claim(index, id, &slot, &ordinal) == 0);
                else
                    CHECK(hf_index_find(index, id, &slot, &ordinal) == 1 && slot == wanted);
                CHECK(ordinal == n);
            }
            if (pass == 1)
                continue;
            int fd = written(index, 0);
            CHECK(hf_index_replace(index, 0, fd) == HF_OK && hf_index_pending(index) == 0);
            close(fd);
        }
        chance others = {fuzz_seed() + 1};
        for (uint32_t n = 0; n < COUNT; n++) {
            uint32_t slot, ordinal;
            chance_fill(&others, id, 16);
            CHECK(hf_index_find(index, id, &slot, &ordinal) == 0);
        }
        hf_index_free(index);
    }
}

const test INDEX_FILTER_TESTS[] = {
    {"a filter never denies what it has", a_filter_never_denies_what_it_has},
    {"a full block costs less than nine bits an id", a_full_block_costs_less_than_nine_bits_an_id},
    {"an id that comes twice is refused", an_id_that_comes_twice_is_refused},
    {"a run gives back any ids", a_run_gives_back_any_ids},
    {NULL, NULL},
};
