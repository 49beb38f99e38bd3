/* The index in memory: slots, claims, look-ups, threads. */
#include "check.h"

#include <pthread.h>

enum { ENTRIES = 100000, THREADS = 8, SHARED = 20000 };

static void make_id(uint64_t number, uint8_t id[32]) {
    chance chance = {number * 1000003};
    chance_fill(&chance, id, 32);
}

static void what_was_claimed_is_found(void) {
    hf_index *index = hf_index_new();
    uint32_t slot = (uint32_t)hf_index_open_slot(index);
    uint8_t id[32];
    for (uint32_t i = 0; i < ENTRIES; i++) {
        uint32_t at = slot, ordinal = i;
        make_id(i, id);
        CHECK(hf_index_claim(index, id, &at, &ordinal) == 0 && at == slot && ordinal == i);
    }
    CHECK(hf_index_pending(index) == ENTRIES);
    for (uint32_t i = 0; i < 2 * ENTRIES; i++) {
        uint32_t at = 77, ordinal = 77;
        make_id(i, id);
        CHECK(hf_index_find(index, id, &at, &ordinal) == (i < ENTRIES));
        CHECK(i < ENTRIES ? at == slot && ordinal == i : at == 77 && ordinal == 77);
    }
    hf_index_free(index);
}

static void a_second_claim_is_told_of_the_first(void) {
    hf_index *index = hf_index_new();
    uint32_t first = (uint32_t)hf_index_open_slot(index), ordinal = 3;
    uint32_t second = (uint32_t)hf_index_open_slot(index), other = 9;
    uint8_t id[32];
    make_id(1, id);
    CHECK(first != second);
    CHECK(hf_index_claim(index, id, &first, &ordinal) == 0);
    CHECK(hf_index_claim(index, id, &second, &other) == 1 && second == first && other == 3);
    hf_index_free(index);
}

static void a_claim_for_no_slot_is_refused(void) {
    hf_index *index = hf_index_new();
    uint32_t slot = 0, ordinal = 0;
    uint8_t id[32] = {1};
    CHECK(hf_index_claim(index, id, &slot, &ordinal) == HF_E_FORMAT);
    slot = UINT32_MAX;
    CHECK(hf_index_claim(index, id, &slot, &ordinal) == HF_E_FORMAT);
    CHECK(hf_index_pending(index) == 0);
    hf_index_free(index);
}

static void a_dead_slot_is_as_if_unknown(void) {
    hf_index *index = hf_index_new();
    uint32_t dead = (uint32_t)hf_index_open_slot(index);
    uint32_t alive = (uint32_t)hf_index_open_slot(index);
    uint32_t slot = dead, ordinal = 1;
    uint8_t id[32], name[32] = {5};
    make_id(1, id);
    CHECK(hf_index_claim(index, id, &slot, &ordinal) == 0);
    CHECK(hf_index_name_slot(index, dead, name) == HF_OK);
    hf_index_kill_slot(index, dead);
    hf_index_kill_slot(index, 4711); /* no such slot: nothing happens */
    CHECK(hf_index_find(index, id, &slot, &ordinal) == 0);
    CHECK(hf_index_slot_name(index, dead, name) == HF_E_ID);
    slot = alive, ordinal = 2;
    CHECK(hf_index_claim(index, id, &slot, &ordinal) == 0);
    CHECK(hf_index_find(index, id, &slot, &ordinal) == 1 && slot == alive && ordinal == 2);
    CHECK(hf_index_pending(index) == 1);
    hf_index_free(index);
}

static void slots_and_names_belong_together(void) {
    enum { NAMES = 5000 };
    hf_index *index = hf_index_new();
    uint8_t name[32], found[32];
    for (uint32_t i = 0; i < NAMES; i++) {
        make_id(i, name);
        CHECK(!hf_index_knows(index, name));
        if (i % 2 == 0) {
            CHECK(hf_index_slot_of(index, name) == i);
        } else {
            CHECK(hf_index_open_slot(index) == i);
            CHECK(hf_index_slot_name(index, i, found) == HF_E_ID);
            CHECK(hf_index_name_slot(index, i, name) == HF_OK);
        }
        CHECK(hf_index_name_slot(index, i, name) == HF_E_FORMAT); /* it has one */
    }
    for (uint32_t i = 0; i < NAMES; i++) {
        make_id(i, name);
        CHECK(hf_index_knows(index, name) && hf_index_slot_of(index, name) == i);
        CHECK(hf_index_slot_name(index, i, found) == HF_OK && memcmp(name, found, 32) == 0);
    }
    CHECK(hf_index_slot_count(index) == NAMES);
    CHECK(hf_index_slot_name(index, NAMES, found) == HF_E_ID);
    CHECK(hf_index_name_slot(index, NAMES, name) == HF_E_FORMAT);
    hf_index_free(index);
}

typedef struct {
    hf_index *index;
    uint32_t slot;
    uint32_t won;
    pthread_t thread;
} claimant;

static void *claim_all(void *context) {
    claimant *claimant = context;
    for (uint32_t i = 0; i < SHARED; i++) {
        uint32_t slot = claimant->slot, ordinal = i;
        uint8_t id[32];
        make_id(i, id);
        int known = hf_index_claim(claimant->index, id, &slot, &ordinal);
        CHECK(known >= 0 && ordinal == i && (known == 1 || slot == claimant->slot));
        claimant->won += known == 0;
    }
    return NULL;
}

static void of_threads_that_claim_at_once_one_wins(void) {
    claimant claimants[THREADS];
    hf_index *index = hf_index_new();
    for (int i = 0; i < THREADS; i++) {
        claimants[i] = (claimant){.index = index, .slot = (uint32_t)hf_index_open_slot(index)};
        CHECK(pthread_create(&claimants[i].thread, NULL, claim_all, &claimants[i]) == 0);
    }
    uint32_t won = 0;
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(claimants[i].thread, NULL) == 0);
        won += claimants[i].won;
    }
    CHECK(won == SHARED && hf_index_pending(index) == SHARED);
    hf_index_free(index);
}

const test INDEX_TESTS[] = {
    {"what was claimed is found", what_was_claimed_is_found},
    {"a second claim is told of the first", a_second_claim_is_told_of_the_first},
    {"a claim for no slot is refused", a_claim_for_no_slot_is_refused},
    {"a dead slot is as if unknown", a_dead_slot_is_as_if_unknown},
    {"slots and names belong together", slots_and_names_belong_together},
    {"of threads that claim at once one wins", of_threads_that_claim_at_once_one_wins},
    {NULL, NULL},
};
