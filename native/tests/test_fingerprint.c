/* Chunk ids and extent tags against values that other programs computed. */
#include "sealed.h"

static void check_id(const uint8_t key[32], const void *data, size_t length, const char *hex) {
    uint8_t id[32];
    char text[65];
    CHECK(hf_chunk_id(key, data, length, id) == HF_OK);
    for (int i = 0; i < 32; i++)
        snprintf(text + 2 * i, 3, "%02x", id[i]);
    CHECK(strcmp(text, hex) == 0);
}

/* RFC 4231, cases 1 to 4: their keys are shorter than 32 bytes, and HMAC fills up with zeros. */
static void ids_are_hmac_sha_256(void) {
    uint8_t key[32] = {0}, data[50];
    memset(key, 0x0b, 20);
    check_id(key, "Hi There", 8,
             "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    memset(key, 0, sizeof key);
    memcpy(key, "Jefe", 4);
    check_id(key, "what do ya want for nothing?", 28,
             "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, 20);
    memset(data, 0xdd, sizeof data);
    check_id(key, data, sizeof data,
             "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
    for (uint8_t i = 0; i < 25; i++)
        key[i] = (uint8_t)(i + 1);
    memset(data, 0xcd, sizeof data);
    check_id(key, data, sizeof data,
             "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b");
    check_id(ID_KEY, data, 0, "d38b42096d80f45f826b44a9d5607de72496a415d3f4a1a8c88e3bb9da8dc1cb");
}

static void a_long_chunk_has_the_id_that_python_gives_it(void) {
    uint8_t *data = malloc(1 << 20);
    CHECK(data != NULL);
    chance chance = {2};
    chance_fill(&chance, data, 1 << 20);
    check_id(ID_KEY, data, 1 << 20,
             "81257b6a072601fc02f9ad482e54b5a65de6a669a15953e05b7a2ce068d16c5e");
    free(data);
}

static void many_ids_at_once_are_those_one_by_one(void) {
    enum { COUNT = 40, LENGTH_MAX = 5000 };
    static uint8_t room[COUNT][LENGTH_MAX];
    const uint8_t *data[COUNT];
    uint32_t lengths[COUNT];
    uint8_t ids[COUNT][32], id[32];
    chance chance = {fuzz_seed()};
    fingerprinter *printer = fingerprinter_new(ID_KEY);
    CHECK(printer != NULL);
    for (int i = 0; i < COUNT; i++) {
        lengths[i] = chance_below(&chance, LENGTH_MAX + 1);
        data[i] = room[i];
        chance_fill(&chance, room[i], lengths[i]);
    }
    for (int count = 0; count <= COUNT; count++) {
        memset(ids, 0, sizeof ids);
        CHECK(fingerprint_many(printer, data, lengths, ids, count) == HF_OK);
        for (int i = 0; i < count; i++) {
            CHECK(fingerprint(printer, data[i], lengths[i], id) == HF_OK);
            CHECK(memcmp(id, ids[i], 32) == 0);
        }
    }
    fingerprinter_free(printer);
}

static void the_tag_is_gmac(void) {
    static const uint8_t GOLDEN[16] = {0xd3, 0x5f, 0x05, 0x3c, 0x44, 0x90, 0xb8, 0x8d,
                                       0x0c, 0xb3, 0x50, 0x2f, 0x94, 0x95, 0x9f, 0xf3};
    uint8_t data[1000], tag[16];
    chance chance = {3};
    chance_fill(&chance, data, sizeof data);
    tagger *tagger = tagger_new(TAG_KEY);
    CHECK(tagger != NULL);
    for (int round = 0; round < 2; round++) { /* a tagger begins anew each time */
        CHECK(extent_tag(tagger, data, sizeof data, tag) == HF_OK);
        CHECK(memcmp(tag, GOLDEN, sizeof tag) == 0);
    }
    tagger_free(tagger);
}

static void tags_differ_by_length_and_by_content(void) {
    enum { LENGTH = 256, VARIANTS = LENGTH + 8 * LENGTH };
    static uint8_t tags[VARIANTS][16];
    uint8_t data[LENGTH] = {0};
    tagger *tagger = tagger_new(TAG_KEY);
    CHECK(tagger != NULL);
    int count = 0;
    for (size_t length = 1; length <= LENGTH; length++)
        CHECK(extent_tag(tagger, data, length, tags[count++]) == HF_OK);
    for (int bit = 0; bit < 8 * LENGTH; bit++) {
        data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK(extent_tag(tagger, data, LENGTH, tags[count++]) == HF_OK);
        data[bit / 8] = 0;
    }
    for (int i = 0; i < count; i++)
        for (int n = 0; n < i; n++)
            CHECK(memcmp(tags[i], tags[n], 16) != 0);
    tagger_free(tagger);
}

const test FINGERPRINT_TESTS[] = {
    {"ids are HMAC-SHA-256", ids_are_hmac_sha_256},
    {"a long chunk has the id that Python gives it", a_long_chunk_has_the_id_that_python_gives_it},
    {"many ids at once are those one by one", many_ids_at_once_are_those_one_by_one},
    {"the tag is GMAC", the_tag_is_gmac},
    {"tags differ by length and by content", tags_differ_by_length_and_by_content},
    {NULL, NULL},
};
