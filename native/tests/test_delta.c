#include "sealed.h"

#include <unistd.h>

enum { LENGTH = 64 << 10, LEVEL = 6 };

/* Bytes of four bits each, so that they compress, without repetitions. */
static void fill_half(uint64_t seed, uint8_t *to) {
    chance chance = {seed};
    chance_fill(&chance, to, LENGTH);
    for (int i = 0; i < LENGTH; i++)
        to[i] &= 0x0F;
}

static int shared(const hf_delta *delta, const uint8_t *one, const uint8_t *other) {
    uint64_t mine[HF_FEATURES], theirs[HF_FEATURES];
    hf_delta_sketch(delta, one, LENGTH, mine);
    hf_delta_sketch(delta, other, LENGTH, theirs);
    int count = 0;
    for (int i = 0; i < HF_FEATURES; i++)
        count += mine[i] == theirs[i];
    return count;
}

static void test_sketches_tell_what_resembles(void) {
    static uint8_t one[LENGTH], other[LENGTH], moved[LENGTH];
    hf_delta *delta = hf_delta_new(ID_KEY, LEVEL), *stranger = hf_delta_new(CONTAINER_KEY, LEVEL);
    CHECK(delta != NULL && stranger != NULL);
    fill_half(1, one);
    fill_half(2, other);
    CHECK(shared(delta, one, one) == HF_FEATURES);
    CHECK(shared(delta, one, other) == 0);
    memcpy(moved + 100, one, LENGTH - 100);
    for (int i = 5000; i < LENGTH; i += 9000)
        moved[i] ^= 0x10;
    CHECK(shared(delta, one, moved) >= 1);
    uint64_t mine[HF_FEATURES], theirs[HF_FEATURES];
    hf_delta_sketch(delta, one, LENGTH, mine);
    hf_delta_sketch(stranger, one, LENGTH, theirs);
    for (int i = 0; i < HF_FEATURES; i++)
        CHECK(mine[i] != theirs[i]); /* a sketch says nothing without the key */
    hf_delta_sketch(delta, one, 0, mine);
    hf_delta_free(delta);
    hf_delta_free(stranger);
}

typedef struct {
    uint8_t base[LENGTH], plain[LENGTH], ids[3][HF_ID_BYTES];
    sealed sealed;
} parcel;

/* A container of one chunk alone and one packed against a base. */
static void pack_parcel(parcel *parcel) {
    static uint8_t packed[LENGTH];
    hf_delta *delta = hf_delta_new(ID_KEY, LEVEL);
    fill_half(3, parcel->base);
    memcpy(parcel->plain, parcel->base, LENGTH);
    parcel->plain[LENGTH / 2] ^= 0x10;
    const uint8_t *chunks[] = {parcel->base, parcel->plain, parcel->base};
    for (int i = 0; i < 3; i++)
        CHECK(hf_chunk_id(ID_KEY, chunks[i], LENGTH, parcel->ids[i]) == HF_OK);
    CHECK(hf_delta_pack(delta, parcel->base, LENGTH, parcel->plain, LENGTH, packed, 10) ==
          HF_E_FULL);
    int alone = hf_delta_pack(delta, NULL, 0, parcel->plain, LENGTH, packed, LENGTH);
    int length = hf_delta_pack(delta, parcel->base, LENGTH, parcel->plain, LENGTH, packed, LENGTH);
    CHECK(length > 0 && length < 200 && alone > LENGTH / 3);
    hf_writer *writer = hf_writer_new(HF_KIND_DELTA, CONTAINER_ID, CONTAINER_KEY, 0, LEVEL);
    CHECK(hf_writer_put(writer, parcel->ids[0], parcel->base, LENGTH) == HF_OK);
    CHECK(hf_writer_put_delta(writer, parcel->ids[1], LENGTH, parcel->ids[0], packed,
                              (uint32_t)length) == HF_OK);
    CHECK(hf_writer_put_delta(writer, parcel->ids[1], LENGTH, parcel->ids[0], packed, LENGTH) ==
          HF_E_FORMAT);
    const uint8_t *data;
    CHECK(hf_writer_finish(writer, parcel->sealed.name, &data, &parcel->sealed.length) == HF_OK);
    parcel->sealed.data = malloc(parcel->sealed.length);
    memcpy(parcel->sealed.data, data, parcel->sealed.length);
    hf_writer_free(writer);
    hf_delta_free(delta);
}

static void test_a_delta_decodes_with_its_base_only(void) {
    static parcel parcel;
    static uint8_t out[LENGTH];
    pack_parcel(&parcel);
    hf_directory *directory = sealed_directory(&parcel.sealed);
    int fd = file_of(parcel.sealed.data, parcel.sealed.length);
    CHECK(hf_directory_kind(directory) == HF_KIND_DELTA && hf_directory_frames(directory) == 2);
    uint8_t base_id[HF_ID_BYTES];
    CHECK(hf_directory_base(directory, 0, base_id) == 0);
    CHECK(hf_directory_base(directory, 2, base_id) == 0);
    CHECK(hf_directory_base(directory, 1, base_id) == 1);
    CHECK(memcmp(base_id, parcel.ids[0], HF_ID_BYTES) == 0);
    hf_reader *reader = hf_reader_new();
    CHECK(hf_read_frame(reader, directory, fd, 1, out, LENGTH) == HF_E_BASE);
    CHECK(hf_read_frame(reader, directory, fd, 0, out, LENGTH) == HF_OK);
    CHECK(memcmp(out, parcel.base, LENGTH) == 0);
    CHECK(hf_read_delta(reader, directory, fd, 0, out, LENGTH, out, LENGTH) == HF_E_FORMAT);
    CHECK(hf_read_delta(reader, directory, fd, 1, parcel.base, LENGTH, out, LENGTH - 1) ==
          HF_E_FULL);
    CHECK(hf_read_delta(reader, directory, fd, 1, parcel.base, LENGTH, out, LENGTH) == HF_OK);
    CHECK(memcmp(out, parcel.plain, LENGTH) == 0);
    /* Another base gives an error or other bytes, and what is read next is not touched by it. */
    parcel.base[LENGTH - 1] ^= 1;
    if (hf_read_delta(reader, directory, fd, 1, parcel.base, LENGTH, out, LENGTH) == HF_OK)
        CHECK(memcmp(out, parcel.plain, LENGTH) != 0);
    (void)hf_read_delta(reader, directory, fd, 1, parcel.base, 1, out, LENGTH);
    CHECK(hf_read_frame(reader, directory, fd, 0, out, LENGTH) == HF_OK);
    CHECK(walk(directory, fd) == 1); /* nobody gives bases to a verification */
    hf_reader_free(reader);
    hf_directory_free(directory);
    close(fd);
    free(parcel.sealed.data);
}

static void test_every_byte_of_a_container_of_deltas_is_covered(void) {
    static parcel parcel;
    static uint8_t out[LENGTH];
    pack_parcel(&parcel);
    chance chance = {fuzz_seed()};
    for (int round = 0; round < 300; round++) {
        size_t at = chance_below(&chance, (uint32_t)parcel.sealed.length - HF_TRAILER_BYTES);
        uint8_t bit = (uint8_t)(1u << chance_below(&chance, 8));
        parcel.sealed.data[at] ^= bit;
        int error;
        hf_directory *directory = sealed_open(parcel.sealed.data, parcel.sealed.length, &error);
        if (directory != NULL) {
            hf_reader *reader = hf_reader_new();
            int fd = file_of(parcel.sealed.data, parcel.sealed.length);
            int plain = hf_read_frame(reader, directory, fd, 0, out, LENGTH);
            int delta = hf_read_delta(reader, directory, fd, 1, parcel.base, LENGTH, out, LENGTH);
            CHECK((plain == HF_E_AUTH) + (delta == HF_E_AUTH) == 1);
            hf_reader_free(reader);
            close(fd);
        }
        hf_directory_free(directory);
        parcel.sealed.data[at] ^= bit;
    }
    free(parcel.sealed.data);
}

static void test_deltas_are_refused_in_other_containers(void) {
    hf_writer *writer = hf_writer_new(HF_KIND_DATA, CONTAINER_ID, CONTAINER_KEY, 0, LEVEL);
    CHECK(hf_writer_put_delta(writer, ID_KEY, LENGTH, CUT_KEY, TAG_KEY, 32) == HF_E_FORMAT);
    hf_writer_free(writer);
}

const test DELTA_TESTS[] = {
    {"delta: sketches", test_sketches_tell_what_resembles},
    {"delta: base", test_a_delta_decodes_with_its_base_only},
    {"delta: every byte", test_every_byte_of_a_container_of_deltas_is_covered},
    {"delta: other kinds", test_deltas_are_refused_in_other_containers},
    {NULL, NULL},
};
