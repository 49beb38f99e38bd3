/* Runs: written, mapped, merged, replaced, and malformed. */
#define _GNU_SOURCE
#include "runs.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

static void make_id(uint64_t number, uint8_t id[32]) {
    chance chance = {number * 1000003};
    chance_fill(&chance, id, 32);
}

/* Containers are named by a number here. */
static uint32_t slot_of(hf_index *index, uint32_t number) {
    uint8_t name[32] = {0};
    put_u32(name, number + 1);
    return (uint32_t)hf_index_slot_of(index, name);
}

static void claim(hf_index *index, uint64_t number, uint32_t container, uint32_t ordinal) {
    uint8_t id[32];
    make_id(number, id);
    uint32_t slot = slot_of(index, container);
    CHECK(hf_index_claim(index, id, &slot, &ordinal) == 0);
}

/* "container,ordinal" of an id, or an empty text. */
static const char *place(hf_index *index, uint64_t number) {
    static char text[40];
    uint8_t id[32], name[32];
    uint32_t slot, ordinal;
    make_id(number, id);
    text[0] = '\0';
    if (hf_index_find(index, id, &slot, &ordinal)) {
        CHECK(hf_index_slot_name(index, slot, name) == HF_OK);
        snprintf(text, sizeof text, "%u,%u", get_u32(name) - 1, ordinal);
    }
    return text;
}

static bool lies(hf_index *index, uint64_t number, uint32_t container, uint32_t ordinal) {
    char wanted[40];
    snprintf(wanted, sizeof wanted, "%u,%u", container, ordinal);
    return strcmp(place(index, number), wanted) == 0;
}

/* A run of `count` ids from `first` on, all in one container, ordinals from 0 on. */
static int run_of(uint64_t first, uint32_t count, uint32_t container) {
    hf_index *index = hf_index_new();
    for (uint32_t i = 0; i < count; i++)
        claim(index, first + i, container, i);
    int fd = written(index, 0);
    hf_index_free(index);
    return fd;
}

static int add(hf_index *index, int fd) {
    int number = hf_index_add_run(index, fd);
    close(fd);
    return number;
}

static void a_hundred_thousand_entries_come_back_from_a_run(void) {
    enum { ENTRIES = 100000 };
    hf_index *index = hf_index_new();
    int fd = run_of(0, ENTRIES, 3);
    CHECK(add(index, fd) == 0);
    CHECK(hf_index_run_entries(index, 0) == ENTRIES);
    CHECK(hf_index_run_entries(index, 1) == 0 && hf_index_run_entries(index, -1) == 0);
    for (uint32_t i = 0; i < ENTRIES; i++)
        CHECK(lies(index, i, 3, i));
    for (uint32_t i = ENTRIES; i < 2 * ENTRIES; i++)
        CHECK(*place(index, i) == '\0');
    CHECK(hf_index_pending(index) == 0);
    hf_index_free(index);
}

static void an_empty_run_is_a_run(void) {
    hf_index *index = hf_index_new();
    CHECK(add(index, run_of(0, 0, 0)) == 0);
    CHECK(*place(index, 1) == '\0');
    hf_index_free(index);
}

static void replacing_moves_memory_and_runs_into_one(void) {
    hf_index *index = hf_index_new();
    for (uint32_t i = 0; i < 3; i++)
        CHECK(add(index, run_of(1000 * i, 1000, i)) == (int)i);
    claim(index, 5000, 9, 4);
    int fd = written(index, 1);
    CHECK(hf_index_replace(index, 1, fd) == HF_OK);
    close(fd);
    CHECK(hf_index_pending(index) == 0);
    CHECK(hf_index_run_entries(index, 0) == 1000 && hf_index_run_entries(index, 1) == 2001);
    CHECK(hf_index_run_entries(index, 2) == 0);
    CHECK(lies(index, 999, 0, 999) && lies(index, 1000, 1, 0) && lies(index, 2999, 2, 999));
    CHECK(lies(index, 5000, 9, 4));
    hf_index_free(index);
}

static void merging_drops_the_double_and_the_dead(void) {
    hf_index *index = hf_index_new();
    CHECK(add(index, run_of(0, 100, 0)) == 0);   /* 0..99, dead later */
    CHECK(add(index, run_of(50, 100, 1)) == 1);  /* 50..149 */
    CHECK(add(index, run_of(100, 100, 2)) == 2); /* 100..199, newer than container 1 */
    CHECK(lies(index, 120, 2, 20));
    hf_index_kill_slot(index, slot_of(index, 0));
    CHECK(*place(index, 10) == '\0' && lies(index, 60, 1, 10));
    claim(index, 10, 3, 7); /* stored again */
    int fd = written(index, 0);
    hf_index *fresh = hf_index_new();
    CHECK(hf_index_add_run(fresh, fd) == 0);
    CHECK(hf_index_run_entries(fresh, 0) == 151); /* 10 and 50..199 */
    CHECK(lies(fresh, 10, 3, 7) && *place(fresh, 11) == '\0');
    CHECK(lies(fresh, 60, 1, 10) && lies(fresh, 120, 2, 20) && lies(fresh, 199, 2, 99));
    uint8_t dead[32] = {1};
    CHECK(!hf_index_knows(fresh, dead) && hf_index_slot_count(fresh) == 3);
    hf_index_free(index);
    hf_index_free(fresh);
    close(fd);
}

static void open_containers_stay_in_memory(void) {
    hf_index *index = hf_index_new();
    uint32_t slot = (uint32_t)hf_index_open_slot(index);
    uint8_t id[32], name[32] = {77};
    for (uint32_t i = 0; i < 10000; i++) {
        uint32_t at = slot, ordinal = i;
        make_id(i, id);
        CHECK(hf_index_claim(index, id, &at, &ordinal) == 0);
    }
    claim(index, 20000, 1, 1);
    int fd = written(index, 0);
    CHECK(hf_index_replace(index, 0, fd) == HF_OK);
    close(fd);
    CHECK(hf_index_run_entries(index, 0) == 1 && hf_index_pending(index) == 10000);
    CHECK(hf_index_name_slot(index, slot, name) == HF_OK);
    fd = written(index, 0);
    CHECK(hf_index_replace(index, 0, fd) == HF_OK);
    close(fd);
    CHECK(hf_index_run_entries(index, 0) == 10001 && hf_index_pending(index) == 0);
    CHECK(lies(index, 9999, 76, 9999));
    hf_index_free(index);
}

/* A sealer thread may name a container at any moment. */
static void a_container_named_while_a_run_is_written_is_kept(void) {
    hf_index *index = hf_index_new();
    uint32_t slot = (uint32_t)hf_index_open_slot(index), at = slot, ordinal = 5;
    uint8_t id[32], name[32] = {77};
    make_id(1, id);
    CHECK(hf_index_claim(index, id, &at, &ordinal) == 0);
    int fd = written(index, 0);
    CHECK(hf_index_name_slot(index, slot, name) == HF_OK);
    CHECK(hf_index_replace(index, 0, fd) == HF_OK);
    close(fd);
    CHECK(lies(index, 1, 76, 5) && hf_index_pending(index) == 1);
    hf_index_free(index);
}

static void a_full_disk_is_an_error_that_keeps_its_number(void) {
    hf_index *index = hf_index_new();
    claim(index, 1, 1, 1);
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    CHECK(fd >= 0);
    errno = 0;
    CHECK(hf_index_write(index, 0, fd) == HF_E_IO && errno == ENOSPC);
    close(fd);
    CHECK(lies(index, 1, 1, 1) && hf_index_pending(index) == 1);
    CHECK(hf_index_write(index, -1, 1) == HF_E_FORMAT);
    hf_index_free(index);
}

static void there_is_a_limit_to_runs(void) {
    hf_index *index = hf_index_new();
    for (int i = 0; i < RUNS_MAX; i++)
        CHECK(add(index, run_of((uint64_t)i, 1, 1)) == i);
    CHECK(add(index, run_of(1000, 1, 1)) == HF_E_FULL);
    int fd = written(index, 0);
    CHECK(hf_index_replace(index, RUNS_MAX, fd) == HF_E_FORMAT);
    CHECK(hf_index_replace(index, -1, fd) == HF_E_FORMAT);
    CHECK(hf_index_replace(index, 0, fd) == HF_OK && hf_index_run_entries(index, 0) == RUNS_MAX);
    close(fd);
    hf_index_free(index);
}

typedef struct {
    hf_index *index;
    uint32_t container, won;
    pthread_t thread;
} claimant;

enum { SHARED = 30000, CLAIMANTS = 3 };

static void *claim_shared(void *context) {
    claimant *claimant = context;
    uint32_t own = slot_of(claimant->index, claimant->container);
    for (uint32_t i = 0; i < SHARED; i++) {
        uint32_t slot = own, ordinal = i;
        uint8_t id[32];
        make_id(i, id);
        int known = hf_index_claim(claimant->index, id, &slot, &ordinal);
        CHECK(known >= 0 && ordinal == i && (known == 1 || slot == own));
        claimant->won += known == 0;
    }
    return NULL;
}

static void claims_go_on_while_runs_are_written(void) {
    hf_index *index = hf_index_new();
    claimant claimants[CLAIMANTS];
    for (uint32_t i = 0; i < CLAIMANTS; i++) {
        claimants[i] = (claimant){.index = index, .container = i};
        CHECK(pthread_create(&claimants[i].thread, NULL, claim_shared, &claimants[i]) == 0);
    }
    for (int round = 0; round < 20; round++) {
        int first_run = round % 3 == 0 ? 0 : round % 3 - 1;
        int fd = written(index, first_run);
        CHECK(hf_index_replace(index, first_run, fd) == HF_OK);
        close(fd);
    }
    uint32_t won = 0;
    for (int i = 0; i < CLAIMANTS; i++) {
        CHECK(pthread_join(claimants[i].thread, NULL) == 0);
        won += claimants[i].won;
    }
    int fd = written(index, 0);
    CHECK(hf_index_replace(index, 0, fd) == HF_OK && hf_index_pending(index) == 0);
    close(fd);
    CHECK(won == SHARED && hf_index_run_entries(index, 0) == SHARED);
    hf_index_free(index);
}

/* ---- malformed files ---- */

static int try_bytes(const uint8_t *bytes, size_t length) {
    hf_index *index = hf_index_new();
    claim(index, 7777, 7, 7);
    int result = add(index, file_of(bytes, length));
    for (uint32_t i = 0; result == 0 && i < 600; i += 50) /* whatever it gives, it lives */
        place(index, i);
    CHECK(lies(index, 7777, 7, 7));
    hf_index_free(index);
    return result;
}

/* Three pages with one container. */
static uint8_t *small_run(size_t *length) {
    int fd = run_of(0, 500, 3);
    uint8_t *bytes = bytes_of(fd, length);
    close(fd);
    return bytes;
}

static void malformed_runs_are_refused(void) {
    static const uint64_t COUNTS[] = {0,
                                      1,
                                      501,
                                      511,
                                      UINT32_MAX,
                                      1ull << 32,
                                      1ull << 59,
                                      1ull << 61,
                                      1ull << 63,
                                      UINT64_MAX,
                                      UINT64_MAX / ENTRY_BYTES + 1};
    size_t length;
    uint8_t *good = small_run(&length), *bytes = malloc(length + 1);
    CHECK(bytes != NULL && try_bytes(good, length) == 0);
    for (size_t cut = 0; cut < length; cut += cut < 100 ? 1 : 97)
        CHECK(try_bytes(good, cut) < 0);
    good[length] = 0;
    CHECK(try_bytes(good, length + 1) == HF_E_FORMAT);
    for (size_t i = 0; i < sizeof COUNTS / sizeof *COUNTS; i++)
        for (size_t at = 8; at <= 24; at += 8) {
            if (at == 8 && COUNTS[i] == 501)
                continue; /* as many pages: the last entry is zeros then */
            memcpy(bytes, good, length);
            put_u64(bytes + at, at == 16 && COUNTS[i] == 1 ? 2 : COUNTS[i]);
            sign_run(bytes, length);
            CHECK(try_bytes(bytes, length) == HF_E_FORMAT);
        }
    memcpy(bytes, good, length);
    bytes[7] = '1';
    sign_run(bytes, length);
    CHECK(try_bytes(bytes, length) == HF_E_FORMAT);
    hf_index *index = hf_index_new();
    CHECK(hf_index_add_run(index, -1) == HF_E_IO);
    hf_index_free(index);
    free(good);
    free(bytes);
}

static void blocks_that_point_elsewhere_are_refused(void) {
    static const struct {
        size_t at, width;
        uint64_t value;
    } LIES[] = {
        {0, 8, 4097},        {0, 8, 1ull << 40}, {0, 8, UINT64_MAX - 4095}, {16, 4, 0},
        {16, 4, 3},          {16, 4, 1 << 13},   {16, 4, UINT32_MAX},       {20, 4, 0},
        {20, 4, UINT32_MAX}, {20, 4, 1 << 18},   {0, 8, 1 << 14},
    };
    size_t length;
    uint8_t *good = small_run(&length), *bytes = malloc(length);
    CHECK(bytes != NULL);
    for (size_t i = 0; i < sizeof LIES / sizeof *LIES; i++) {
        memcpy(bytes, good, length);
        uint8_t *block = bytes + get_u64(bytes + 24) + MARK_BYTES;
        memcpy(block + LIES[i].at, &LIES[i].value, LIES[i].width);
        sign_run(bytes, length);
        CHECK(try_bytes(bytes, length) == HF_E_FORMAT);
    }
    free(good);
    free(bytes);
}

/* Nothing in a run is used unless its checksum is right, but filters, which can only cost hits. */
static void a_flipped_bit_never_gives_a_false_place(void) {
    size_t length;
    uint8_t *bytes = small_run(&length);
    chance chance = {fuzz_seed()};
    for (int i = 0; i < 400; i++) {
        size_t at = chance_below(&chance, (uint32_t)length);
        uint8_t bit = (uint8_t)(1 << chance_below(&chance, 8));
        bytes[at] ^= bit;
        hf_index *index = hf_index_new();
        if (add(index, file_of(bytes, length)) == 0)
            for (uint32_t id = 0; id < 500; id++)
                CHECK(*place(index, id) == '\0' || lies(index, id, 3, id));
        hf_index_free(index);
        bytes[at] ^= bit;
    }
    free(bytes);
}

static void a_damaged_page_is_reported_and_not_merged(void) {
    size_t length;
    uint8_t *bytes = small_run(&length);
    bytes[2 * PAGE_BYTES + 5] ^= 1;
    hf_index *index = hf_index_new();
    CHECK(add(index, file_of(bytes, length)) == 0 && !hf_index_damaged(index, 0));
    uint32_t found = 0;
    for (uint32_t id = 0; id < 500; id++)
        found += *place(index, id) != '\0';
    /* Ids near the edges of its neighbours are looked for there first. */
    CHECK(found > 200 && found <= 500 - PAGE_ENTRIES && hf_index_damaged(index, 0));
    int fd = file_of("", 0);
    CHECK(hf_index_write(index, 0, fd) == HF_E_FORMAT);
    CHECK(hf_index_write(index, 1, fd) == HF_OK); /* without the run: nothing is wrong */
    close(fd);
    hf_index_free(index);
    free(bytes);
}

/* Signed entries out of order and containers out of range cost hits, nothing else. */
static void forged_entries_are_harmless(void) {
    enum { ENTRIES = 2000 };
    hf_index *index = hf_index_new();
    size_t length;
    int fd = run_of(0, ENTRIES, 3);
    uint8_t *bytes = bytes_of(fd, &length);
    close(fd);
    chance chance = {1};
    for (uint32_t i = 0; i < ENTRIES; i++) {
        uint8_t *at = bytes + (1 + i / PAGE_ENTRIES) * (size_t)PAGE_BYTES +
                      i % PAGE_ENTRIES * (size_t)ENTRY_BYTES;
        if (i % 3 == 0)
            put_u32(at + 16, i % 2 == 0 ? 1 : UINT32_MAX);
        if (i % 50 == 1)
            chance_fill(&chance, at, 16);
    }
    sign_run(bytes, length);
    CHECK(add(index, file_of(bytes, length)) == 0);
    uint32_t found = 0;
    for (uint32_t i = 0; i < ENTRIES; i++)
        found += *place(index, i) != '\0';
    CHECK(found > ENTRIES / 4 && found < ENTRIES);
    fd = written(index, 0);
    CHECK(hf_index_replace(index, 0, fd) == HF_OK);
    close(fd);
    hf_index_free(index);
    free(bytes);
}

const test INDEX_RUN_TESTS[] = {
    {"a hundred thousand entries come back from a run",
     a_hundred_thousand_entries_come_back_from_a_run},
    {"an empty run is a run", an_empty_run_is_a_run},
    {"replacing moves memory and runs into one", replacing_moves_memory_and_runs_into_one},
    {"merging drops the double and the dead", merging_drops_the_double_and_the_dead},
    {"open containers stay in memory", open_containers_stay_in_memory},
    {"a container named while a run is written is kept",
     a_container_named_while_a_run_is_written_is_kept},
    {"a full disk is an error that keeps its number",
     a_full_disk_is_an_error_that_keeps_its_number},
    {"there is a limit to runs", there_is_a_limit_to_runs},
    {"claims go on while runs are written", claims_go_on_while_runs_are_written},
    {"malformed runs are refused", malformed_runs_are_refused},
    {"blocks that point elsewhere are refused", blocks_that_point_elsewhere_are_refused},
    {"a flipped bit never gives a false place", a_flipped_bit_never_gives_a_false_place},
    {"a damaged page is reported and not merged", a_damaged_page_is_reported_and_not_merged},
    {"forged entries are harmless", forged_entries_are_harmless},
    {NULL, NULL},
};
