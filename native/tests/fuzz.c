/* Mutations behind the tags: directories and frames are sealed again under the right key, so that
 * what parses them is reached. Nothing may crash, hang, or read or write out of bounds.
 * HF_FUZZ_COUNT mutations per test; HF_FUZZ_SEED repeats a run.
 */
#define _GNU_SOURCE
#include "runs.h"
#include "sealed.h"

#include <unistd.h>

static chance begin(void) {
    printf("HF_FUZZ_SEED=%llu HF_FUZZ_COUNT=%llu ... ", (unsigned long long)fuzz_seed(),
           (unsigned long long)fuzz_count());
    fflush(stdout);
    return (chance){fuzz_seed()};
}

/* Flips, interesting numbers, neighbours of what was there, and other lengths. */
static size_t mutate(chance *chance, uint8_t *bytes, size_t length, size_t capacity) {
    static const uint32_t NUMBERS[] = {
        0,          1,         2,           16,         0xFFFF,         0x10000, HF_FRAME_MAX,
        0x02000000, INT32_MAX, 0x80000000u, UINT32_MAX, UINT32_MAX - 15};
    for (uint32_t edits = 1 + chance_below(chance, 3); edits > 0 && length > 8; edits--) {
        uint32_t at = chance_below(chance, (uint32_t)length - 4);
        switch (chance_below(chance, 6)) {
        case 0:
            bytes[at] ^= (uint8_t)(1 << chance_below(chance, 8));
            break;
        case 1:
            put_u32(bytes + at / 4 * 4, NUMBERS[chance_below(chance, 12)]);
            break;
        case 2:
            put_u32(bytes + at / 4 * 4, get_u32(bytes + at / 4 * 4) + chance_below(chance, 5) - 2);
            break;
        case 3: /* most fields are at the front */
            put_u32(bytes + at % 64 / 4 * 4, NUMBERS[chance_below(chance, 12)]);
            break;
        case 4:
            put_u16(bytes + at / 2 * 2, (uint16_t)chance_next(chance));
            break;
        default: {
            size_t other = chance_below(chance, 8) == 0 ? chance_below(chance, (uint32_t)capacity)
                                                        : length + chance_below(chance, 9) - 4;
            if (other > length && other <= capacity)
                chance_fill(chance, bytes + length, other - length);
            length = other <= capacity ? other : length;
        }
        }
    }
    return length;
}

/* What is there and not refused is read like anything else. */
static bool try_container(const uint8_t *data, size_t length) {
    int error;
    hf_directory *directory = sealed_open(data, length, &error);
    if (directory == NULL) {
        CHECK(error == HF_E_FORMAT);
        return false;
    }
    int fd = file_of(data, length);
    walk(directory, fd);
    hf_directory_free(directory);
    close(fd);
    return true;
}

static void mutated_directories_are_survived(void) {
    enum { CAPACITY = 1024 };
    chance chance = begin();
    forged *forged = malloc(sizeof *forged);
    uint8_t *container = malloc(FORGED_MAX), plain[CAPACITY], mutant[CAPACITY];
    CHECK(forged != NULL && container != NULL);
    forged_init(forged, 1);
    size_t whole = forge(forged, container);
    size_t offset = get_u64(container + whole - HF_TRAILER_BYTES);
    size_t sealed_length = whole - HF_TRAILER_BYTES - offset, length = sealed_length - HF_TAG_BYTES;
    uint8_t nonce[12], aad[DIRECTORY_AAD_BYTES];
    EVP_CIPHER_CTX *gcm = EVP_CIPHER_CTX_new();
    directory_nonce(nonce);
    directory_aad(aad, container, offset);
    CHECK(length <= CAPACITY && gcm_open(gcm, CONTAINER_KEY, nonce, aad, sizeof aad,
                                         container + offset, sealed_length, plain) == HF_OK);
    EVP_CIPHER_CTX_free(gcm);
    uint64_t opened = 0;
    for (uint64_t i = 0; i < fuzz_count(); i++) {
        memcpy(mutant, plain, length);
        size_t mutant_length = mutate(&chance, mutant, length, CAPACITY);
        opened +=
            try_container(container, forge_directory(container, offset, mutant, mutant_length));
    }
    printf("%llu opened ... ", (unsigned long long)opened);
    CHECK(opened < fuzz_count() || fuzz_count() == 0);
    free(forged);
    free(container);
}

/* Honest about where its frames lie, else about nothing. */
static void mutate_frame(chance *chance, forged *forged) {
    uint32_t frame = chance_below(chance, forged->frame_count);
    frame_entry *entry = &forged->frames[frame].entry;
    uint8_t *payload = forged->frames[frame].payload;
    uint32_t *length = &forged->lengths[entry->first_chunk + chance_below(chance, 6)];
    switch (chance_below(chance, 6)) {
    case 0: /* a chunk and its frame grow or shrink together */
        entry->plain_length -= *length;
        *length = 1 + chance_below(chance, chance_below(chance, 2) ? HF_FRAME_MAX : 5000);
        entry->plain_length += *length;
        break;
    case 1:
        entry->codec = (uint8_t)chance_below(chance, 3);
        break;
    case 2:
        entry->plain_length = chance_below(chance, 2 * HF_FRAME_MAX);
        break;
    default:
        forged->frames[frame].payload_length =
            mutate(chance, payload, forged->frames[frame].payload_length, FORGED_PAYLOAD);
    }
}

static void mutated_frames_are_survived(void) {
    chance chance = begin();
    forged *forged = malloc(sizeof *forged), *original = malloc(sizeof *original);
    uint8_t *container = malloc(FORGED_MAX);
    CHECK(forged != NULL && original != NULL && container != NULL);
    forged_init(original, 2);
    uint64_t opened = 0;
    for (uint64_t i = 0; i < fuzz_count(); i++) {
        memcpy(forged, original, sizeof *forged - sizeof forged->plain);
        for (uint32_t edits = 1 + chance_below(&chance, 2); edits > 0; edits--)
            mutate_frame(&chance, forged);
        opened += try_container(container, forge(forged, container));
    }
    printf("%llu opened ... ", (unsigned long long)opened);
    CHECK(opened > fuzz_count() / 10);
    free(forged);
    free(original);
    free(container);
}

static bool try_run(const uint8_t *bytes, size_t length, chance *chance) {
    hf_index *index = hf_index_new();
    int fd = file_of(bytes, length), again = file_of("", 0);
    int number = hf_index_add_run(index, fd);
    CHECK(number == 0 || number == HF_E_FORMAT || number == HF_E_SHORT);
    for (int i = 0; number == 0 && i < 20; i++) {
        uint8_t id[32] = {0};
        uint32_t slot = (uint32_t)hf_index_open_slot(index), ordinal = 1;
        size_t at = chance_below(chance, (uint32_t)length);
        memcpy(id, bytes + at, length - at < 16 ? length - at : 16);
        hf_index_find(index, id, &slot, &ordinal);
        CHECK(slot < hf_index_slot_count(index));
        CHECK(hf_index_claim(index, id, &slot, &ordinal) >= 0);
    }
    if (number == 0 && hf_index_write(index, 0, again) == HF_OK)
        CHECK(hf_index_replace(index, 0, again) == HF_OK);
    close(fd);
    close(again);
    hf_index_free(index);
    return number == 0;
}

static void mutated_runs_are_survived(void) {
    enum { NAMES = 4, ENTRIES = 600 };
    chance chance = begin();
    hf_index *index = hf_index_new();
    for (uint32_t i = 0; i < ENTRIES; i++) {
        uint8_t id[32], name[32] = {(uint8_t)(i % NAMES)};
        chance_fill(&chance, id, sizeof id);
        uint32_t slot = (uint32_t)hf_index_slot_of(index, name), ordinal = i;
        CHECK(hf_index_claim(index, id, &slot, &ordinal) == 0);
    }
    int fd = written(index, 0);
    size_t whole;
    uint8_t *run = bytes_of(fd, &whole), *mutant = malloc(2 * whole);
    CHECK(mutant != NULL);
    uint64_t opened = 0;
    for (uint64_t i = 0; i < fuzz_count() / 10; i++) {
        memcpy(mutant, run, whole);
        size_t length = mutate(&chance, mutant, whole, 2 * whole);
        if (chance_below(&chance, 2) == 0) { /* numbers that decide where things lie */
            size_t at = chance_below(&chance, 2) == 0 ? 8 : get_u64(run + 24);
            mutant[at + chance_below(&chance, 64)] ^= (uint8_t)(1 << chance_below(&chance, 8));
            length = whole;
        }
        sign_run(mutant, length);
        opened += try_run(mutant, length, &chance);
    }
    printf("%llu opened ... ", (unsigned long long)opened);
    CHECK(opened > fuzz_count() / 100);
    close(fd);
    hf_index_free(index);
    free(run);
    free(mutant);
}

const test FUZZ_TESTS[] = {
    {"fuzz: mutated directories are survived", mutated_directories_are_survived},
    {"fuzz: mutated frames are survived", mutated_frames_are_survived},
    {"fuzz: mutated runs are survived", mutated_runs_are_survived},
    {NULL, NULL},
};
