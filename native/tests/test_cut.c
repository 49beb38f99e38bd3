/* Cut points: the golden ones, their bounds, and that what stands before does not matter. */
#include "kernels.h"
#include "sealed.h"

enum { ENDS_MAX = 300, LENGTH = HF_EXTENT_BYTES };

static int cut(const uint8_t *data, size_t length, uint32_t *ends) {
    int count = hf_cut(CUT_KEY, data, length, ends, ENDS_MAX);
    CHECK(count >= 0);
    return count;
}

static uint8_t *random_bytes(uint64_t seed, size_t length) {
    uint8_t *data = malloc(length);
    CHECK(data != NULL);
    chance chance = {seed};
    chance_fill(&chance, data, length);
    return data;
}

/* Computed by a second program: the hash over the whole buffer first, then the rules. */
static void golden_cut_points_hold_for_every_kernel(void) {
    static const uint32_t GOLDEN[] = {
        61799,   149501,  215897,  326842,  434461,  538385,  640952,  725052,  841436,
        913841,  948757,  1086438, 1342150, 1458122, 1545456, 1694967, 1711864, 1973880,
        2066590, 2213017, 2327713, 2364252, 2404238, 2589804, 2643425, 2768765, 2848877,
        2927624, 2994561, 3060981, 3110426, 3180516, 3218691, 3315446, 3401360, 3509707,
        3579297, 3671761, 3815570, 3969206, 4097331, 4118619, 4183990, 4194304};
    uint8_t *data = random_bytes(1, LENGTH);
    gear_table table;
    CHECK(gear_table_make(&table, CUT_KEY) == HF_OK);
    for (int i = -1; i < KERNEL_COUNT; i++) { /* first the scalar one */
        uint32_t ends[ENDS_MAX];
        if (i >= 0 && (KERNELS[i].scan == NULL || !KERNELS[i].is_supported()))
            continue;
        table.scan = i < 0 ? gear_scan : KERNELS[i].scan;
        CHECK(gear_cut(&table, data, LENGTH, ends, ENDS_MAX) == sizeof GOLDEN / sizeof *GOLDEN);
        CHECK(memcmp(ends, GOLDEN, sizeof GOLDEN) == 0);
    }
    free(data);
}

static void chunks_keep_their_bounds(void) {
    static const size_t LENGTHS[] = {1,      2,      16384,  16385,      16416,     65536,
                                     262143, 262144, 262145, LENGTH - 1, LENGTH + 1};
    uint8_t *data = random_bytes(7, LENGTH + 1);
    for (size_t i = 0; i < sizeof LENGTHS / sizeof *LENGTHS; i++) {
        uint8_t *exact = malloc(LENGTHS[i]);
        CHECK(exact != NULL);
        memcpy(exact, data, LENGTHS[i]);
        uint32_t ends[ENDS_MAX], start = 0;
        int count = cut(exact, LENGTHS[i], ends);
        for (int n = 0; n < count; n++) {
            uint32_t size = ends[n] - start;
            CHECK(size >= 1 && size <= HF_CHUNK_MAX);
            CHECK(n == count - 1 || size > HF_CHUNK_MIN);
            start = ends[n];
        }
        CHECK(count > 0 && start == LENGTHS[i]);
        free(exact);
    }
    free(data);
}

static void nothing_has_no_chunks_and_a_small_array_is_full(void) {
    uint32_t ends[2];
    uint8_t *data = random_bytes(7, LENGTH);
    CHECK(hf_cut(CUT_KEY, data, 0, ends, 2) == 0);
    CHECK(hf_cut(CUT_KEY, data, LENGTH, ends, 2) == HF_E_FULL);
    free(data);
}

static void zeros_make_chunks_of_the_largest_size(void) {
    uint8_t *zeros = calloc(1, LENGTH);
    uint32_t ends[ENDS_MAX];
    CHECK(zeros != NULL && cut(zeros, LENGTH, ends) == LENGTH / HF_CHUNK_MAX);
    for (uint32_t i = 0; i < LENGTH / HF_CHUNK_MAX; i++)
        CHECK(ends[i] == (i + 1) * HF_CHUNK_MAX);
    free(zeros);
}

/* Bytes inserted in front shift the cut points and change only the first few. */
static void cut_points_do_not_depend_on_earlier_ones(void) {
    for (uint32_t shift = 1; shift < 40000; shift = shift * 3 + 1) {
        uint8_t *data = random_bytes(11, LENGTH + shift);
        uint32_t whole[ENDS_MAX], tail[ENDS_MAX];
        int count = cut(data, LENGTH + shift, whole), tail_count = cut(data + shift, LENGTH, tail);
        int same = 0;
        while (same < count && same < tail_count &&
               whole[count - 1 - same] == tail[tail_count - 1 - same] + shift)
            same++;
        CHECK(same >= tail_count - 12);
        free(data);
    }
}

static void another_key_cuts_elsewhere(void) {
    uint8_t key[32] = {1}, *data = random_bytes(1, LENGTH);
    uint32_t ends[ENDS_MAX], others[ENDS_MAX];
    int count = cut(data, LENGTH, ends), same = 0;
    int other_count = hf_cut(key, data, LENGTH, others, ENDS_MAX);
    for (int i = 0; i < count - 1; i++)
        for (int n = 0; n < other_count - 1; n++)
            same += ends[i] == others[n];
    CHECK(other_count > 0 && same <= 1);
    free(data);
}

const test CUT_TESTS[] = {
    {"golden cut points hold for every kernel", golden_cut_points_hold_for_every_kernel},
    {"chunks keep their bounds", chunks_keep_their_bounds},
    {"nothing has no chunks, and a small array is full",
     nothing_has_no_chunks_and_a_small_array_is_full},
    {"zeros make chunks of the largest size", zeros_make_chunks_of_the_largest_size},
    {"cut points do not depend on earlier ones", cut_points_do_not_depend_on_earlier_ones},
    {"another key cuts elsewhere", another_key_cuts_elsewhere},
    {NULL, NULL},
};
