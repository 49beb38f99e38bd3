/* Writer to directory to reader, and what the reader says about damage. */
#include "sealed.h"

#include <unistd.h>

enum { LARGE = HF_FRAME_MAX };

static uint8_t *random_bytes(uint64_t seed, size_t length) {
    uint8_t *data = malloc(length);
    CHECK(data != NULL);
    chance chance = {seed};
    chance_fill(&chance, data, length);
    return data;
}

/* A second program wrote this container from docs/format/container.md alone. */
static void a_golden_container_holds(void) {
    static const uint8_t GOLDEN[32] = {0xee, 0xe5, 0x98, 0x5f, 0x35, 0x4f, 0x7a, 0x19,
                                       0xed, 0x4e, 0x55, 0x88, 0xcc, 0x64, 0xa4, 0x16,
                                       0x1f, 0xac, 0xfa, 0xd1, 0x6e, 0x83, 0xff, 0xaf,
                                       0xb0, 0xbd, 0x19, 0x4f, 0xef, 0xdd, 0x52, 0x21};
    filler filler = filler_new();
    uint8_t *first = random_bytes(4, 20000), *second = random_bytes(5, 300000);
    fill_chunk(&filler, first, 20000);
    fill_chunk(&filler, second, 300000);
    sealed sealed = filler_seal(&filler);
    CHECK(sealed.length == 320245 && memcmp(sealed.name, GOLDEN, sizeof GOLDEN) == 0);
    filler_free(&filler);
    free(first);
    free(second);
    free(sealed.data);
}

static void chunks_of_all_kinds_come_back(void) {
    static const uint32_t LENGTHS[] = {1,      2,      15,         16,   17,     4095,
                                       4096,   65536,  70000,      1,    262143, 262144,
                                       262145, 524288, LARGE - 16, 1000, LARGE,  LARGE / 2};
    enum { KINDS = 3, EACH = sizeof LENGTHS / sizeof *LENGTHS, CHUNKS = KINDS * EACH };
    filler filler = filler_new();
    uint8_t *chunks[CHUNKS];
    hf_ref refs[CHUNKS];
    size_t plain_bytes = 0;
    for (uint32_t i = 0; i < CHUNKS; i++) {
        uint32_t length = LENGTHS[i % EACH];
        chunks[i] = random_bytes(1000 + i, length);
        if (i / EACH > 0) /* half random, or one byte again and again */
            memset(chunks[i], (int)i, i / EACH == 1 ? length / 2 : length);
        refs[i] = fill_chunk(&filler, chunks[i], length);
        plain_bytes += length;
    }
    CHECK(hf_writer_chunks(filler.writer) <= CHUNKS); /* single bytes may be equal */
    sealed sealed = filler_seal(&filler);
    hf_directory *directory = sealed_directory(&sealed);
    CHECK(sealed.length < plain_bytes * 2 / 3 && hf_directory_frames(directory) > 8);
    CHECK(hf_directory_kind(directory) == HF_KIND_DATA);
    int fd = file_of(sealed.data, sealed.length);
    hf_reader *reader = hf_reader_new();
    for (uint32_t i = CHUNKS; i-- > 0;) {
        hf_item item = item_of(directory, fd, &refs[i]);
        uint8_t *out = malloc(refs[i].length);
        CHECK(out != NULL && hf_read(reader, &item, 1, out, refs[i].length) == 0);
        CHECK(memcmp(out, chunks[i], refs[i].length) == 0);
        free(out);
        free(chunks[i]);
    }
    CHECK(walk(directory, fd) == 0);
    hf_reader_free(reader);
    hf_directory_free(directory);
    filler_free(&filler);
    free(sealed.data);
    close(fd);
}

static void a_full_container_says_so_and_is_sound(uint32_t length, uint32_t least, uint32_t most) {
    filler filler = filler_new();
    uint8_t *data = random_bytes(length, length + 65536);
    hf_ref ref;
    int result;
    uint32_t added = 0;
    do { /* all chunks differ: a counter lies on top of random bytes */
        put_u32(data, added);
        result = hf_ingest_chunk(filler.ingester, filler.writer, data, length, &ref);
        added += result == HF_OK;
    } while (result == HF_OK);
    CHECK(result == HF_E_FULL && added >= least && added <= most);
    CHECK(hf_writer_chunks(filler.writer) == added);
    sealed sealed = filler_seal(&filler);
    CHECK(sealed.length <= HF_CONTAINER_BYTES);
    hf_directory *directory = sealed_directory(&sealed);
    CHECK(hf_directory_chunks(directory) == added);
    int fd = file_of(sealed.data, sealed.length);
    uint8_t *bad = malloc(added);
    hf_reader *reader = hf_reader_new();
    CHECK(bad != NULL && hf_verify(reader, directory, fd, ID_KEY, bad) == 0);
    hf_reader_free(reader);
    hf_directory_free(directory);
    filler_free(&filler);
    free(bad);
    free(data);
    free(sealed.data);
    close(fd);
}

static void large_chunks_fill_a_container(void) {
    a_full_container_says_so_and_is_sound(HF_CHUNK_MAX, 124, 127);
}

static void tiny_chunks_fill_a_container(void) {
    a_full_container_says_so_and_is_sound(4, 59000, 60000);
}

static void what_is_no_chunk_is_refused_and_not_learned(void) {
    filler filler = filler_new();
    uint8_t *data = random_bytes(1, LARGE + 1), id[32];
    hf_ref ref;
    uint32_t slot, ordinal;
    CHECK(hf_ingest_chunk(filler.ingester, filler.writer, data, 0, &ref) == HF_E_FORMAT);
    CHECK(hf_ingest_chunk(filler.ingester, filler.writer, data, LARGE + 1, &ref) == HF_E_FORMAT);
    CHECK(hf_chunk_id(ID_KEY, data, LARGE + 1, id) == HF_OK);
    CHECK(hf_index_find(filler.index, id, &slot, &ordinal) == 0);
    CHECK(hf_writer_chunks(filler.writer) == 0);
    filler_free(&filler);
    free(data);
}

static void a_sealed_container_takes_nothing_more(void) {
    filler filler = filler_new();
    uint8_t name[32], data[100] = {1};
    const uint8_t *bytes;
    size_t length;
    hf_ref ref;
    CHECK(hf_writer_finish(filler.writer, name, &bytes, &length) == HF_E_FORMAT); /* empty */
    fill_chunk(&filler, data, sizeof data);
    sealed sealed = filler_seal(&filler);
    data[0] = 2;
    CHECK(!hf_writer_has_room(filler.writer, 1));
    CHECK(hf_ingest_chunk(filler.ingester, filler.writer, data, 100, &ref) == HF_E_FULL);
    CHECK(hf_writer_finish(filler.writer, name, &bytes, &length) == HF_E_FORMAT);
    filler_free(&filler);
    free(sealed.data);
}

/* ---- what a reader is told wrongly, and damage ---- */

enum { SMALL = 40, SMALL_LENGTH = 20000 };

/* 40 chunks of 20,000 random bytes: three frames. */
static sealed make_small(hf_ref refs[SMALL]) {
    filler filler = filler_new();
    uint8_t *data = random_bytes(99, SMALL * SMALL_LENGTH);
    for (uint32_t i = 0; i < SMALL; i++)
        refs[i] = fill_chunk(&filler, data + i * SMALL_LENGTH, SMALL_LENGTH);
    sealed sealed = filler_seal(&filler);
    filler_free(&filler);
    free(data);
    return sealed;
}

static void wrong_ordinals_and_ids_are_noticed(void) {
    hf_ref refs[SMALL];
    sealed sealed = make_small(refs);
    hf_directory *directory = sealed_directory(&sealed);
    int fd = file_of(sealed.data, sealed.length);
    int empty = file_of("", 0);
    enum { ITEMS = 9, ROOM = 2 * SMALL_LENGTH };
    hf_item items[ITEMS];
    for (int i = 0; i < ITEMS; i++)
        items[i] = item_of(directory, fd, &refs[3 * i]);
    items[1].ordinal = 7;          /* another chunk's: the id is the truth */
    items[2].ordinal = UINT32_MAX; /* nobody's */
    items[3].id[31] ^= 1;
    items[4].length--;
    items[5].out_offset = SMALL_LENGTH + 1;
    items[6].out_offset = UINT64_MAX;
    items[7].fd = -1;
    items[8].fd = empty;
    static const int RESULTS[ITEMS] = {HF_OK,     HF_OK,     HF_OK,   HF_E_ID,   HF_E_FORMAT,
                                       HF_E_FULL, HF_E_FULL, HF_E_IO, HF_E_SHORT};
    uint8_t *out = malloc(ROOM);
    hf_reader *reader = hf_reader_new();
    CHECK(out != NULL && hf_read(reader, items, ITEMS, out, ROOM) == 6);
    /* 7 and 8 lie in frames that were decoded already: a fresh reader needs the file. */
    hf_reader_free(reader);
    reader = hf_reader_new();
    CHECK(hf_read(reader, items + 7, 2, out, ROOM) == 2);
    for (int i = 0; i < ITEMS; i++)
        CHECK(items[i].result == RESULTS[i]);
    CHECK(items[1].ordinal == 3 && items[2].ordinal == 6);
    CHECK(hf_read_frame(reader, directory, fd, hf_directory_frames(directory), out, ROOM) ==
          HF_E_FULL);
    CHECK(hf_read_frame(reader, directory, fd, 0, out, 1) == HF_E_FULL);
    hf_reader_free(reader);
    hf_directory_free(directory);
    free(sealed.data);
    free(out);
    close(fd);
    close(empty);
}

static void verify_finds_a_flipped_byte_and_spares_the_rest(void) {
    hf_ref refs[SMALL];
    sealed sealed = make_small(refs);
    hf_directory *directory = sealed_directory(&sealed);
    hf_reader *reader = hf_reader_new();
    size_t frames_end = get_u64(sealed.data + sealed.length - HF_TRAILER_BYTES);
    uint8_t bad[SMALL], out[SMALL_LENGTH];
    for (size_t at = HF_HEADER_BYTES; at < frames_end; at += 33333) {
        sealed.data[at] ^= 0x40;
        int fd = file_of(sealed.data, sealed.length);
        int damaged = hf_verify(reader, directory, fd, ID_KEY, bad);
        CHECK(damaged > 0 && damaged < SMALL);
        for (uint32_t i = 0; i < SMALL; i++) {
            hf_reader *fresh = hf_reader_new();
            hf_item item = item_of(directory, fd, &refs[i]);
            CHECK(hf_read(fresh, &item, 1, out, sizeof out) == bad[i]);
            CHECK(item.result == (bad[i] ? HF_E_AUTH : HF_OK));
            hf_reader_free(fresh);
        }
        close(fd);
        sealed.data[at] ^= 0x40;
    }
    hf_reader_free(reader);
    hf_directory_free(directory);
    free(sealed.data);
}

static void a_flipped_byte_of_header_or_directory_is_noticed(void) {
    hf_ref refs[SMALL];
    sealed sealed = make_small(refs);
    size_t frames_end = get_u64(sealed.data + sealed.length - HF_TRAILER_BYTES);
    for (size_t at = 0; at < sealed.length - HF_TRAILER_BYTES; at++) {
        if (at == HF_HEADER_BYTES)
            at = frames_end;
        sealed.data[at] ^= 1;
        int error;
        CHECK(sealed_open(sealed.data, sealed.length, &error) == NULL);
        CHECK(error == HF_E_AUTH || (error == HF_E_FORMAT && at < 12));
        sealed.data[at] ^= 1;
    }
    free(sealed.data);
}

/* A freed directory's address is used again: what was cached for it must not be. */
static void the_cache_does_not_mistake_one_container_for_another(void) {
    hf_reader *reader = hf_reader_new();
    for (uint32_t round = 0; round < 50; round++) {
        filler filler = filler_new();
        uint8_t *data = random_bytes(round, SMALL_LENGTH), out[SMALL_LENGTH];
        hf_ref ref = fill_chunk(&filler, data, SMALL_LENGTH);
        sealed sealed = filler_seal(&filler);
        hf_directory *directory = sealed_directory(&sealed);
        int fd = file_of(sealed.data, sealed.length);
        hf_item item = item_of(directory, fd, &ref);
        CHECK(hf_read(reader, &item, 1, out, sizeof out) == 0);
        CHECK(memcmp(out, data, sizeof out) == 0);
        hf_directory_free(directory);
        filler_free(&filler);
        free(data);
        free(sealed.data);
        close(fd);
    }
    hf_reader_free(reader);
}

const test CONTAINER_TESTS[] = {
    {"a golden container holds", a_golden_container_holds},
    {"chunks of all kinds come back", chunks_of_all_kinds_come_back},
    {"large chunks fill a container", large_chunks_fill_a_container},
    {"tiny chunks fill a container", tiny_chunks_fill_a_container},
    {"what is no chunk is refused and not learned", what_is_no_chunk_is_refused_and_not_learned},
    {"a sealed container takes nothing more", a_sealed_container_takes_nothing_more},
    {"wrong ordinals and ids are noticed", wrong_ordinals_and_ids_are_noticed},
    {"verify finds a flipped byte and spares the rest",
     verify_finds_a_flipped_byte_and_spares_the_rest},
    {"a flipped byte of header or directory is noticed",
     a_flipped_byte_of_header_or_directory_is_noticed},
    {"the cache does not mistake one container for another",
     the_cache_does_not_mistake_one_container_for_another},
    {NULL, NULL},
};
