/* The rules of docs/format/container.md, broken one by one in containers that authenticate. */
#include "sealed.h"

#include <unistd.h>
#include <zstd.h>

static void as_it_is(forged *forged) { (void)forged; }
static void with_an_extension(forged *forged) { forged->extension = 77; }
static void of_pages(forged *forged) { forged->header[10] = HF_KIND_PAGE; }

static void of_kind_0(forged *forged) { forged->header[10] = 0; }
static void of_kind_4(forged *forged) { forged->header[10] = 4; }
static void of_deltas(forged *forged) { forged->header[10] = HF_KIND_DELTA; }
static void of_a_later_version(forged *forged) { forged->header[8] = 2; }
static void of_a_later_key(forged *forged) { forged->header[11] = 1; }
static void with_a_foreign_magic(forged *forged) { forged->header[7] = '2'; }
static void without_chunks(forged *forged) { forged->frame_count = forged->chunk_count = 0; }
static void without_frames(forged *forged) { forged->frame_count = 0; }
static void with_bases(forged *forged) { forged->base_count = 1; }
static void with_an_orphan(forged *forged) { forged->frames[1].entry.chunk_count--; }
static void with_a_chunk_too_many(forged *forged) { forged->frames[1].entry.chunk_count++; }
static void with_an_empty_frame(forged *forged) { forged->frames[0].entry.chunk_count = 0; }
static void with_a_gap(forged *forged) { forged->frames[1].entry.first_chunk++; }
static void with_an_overlap(forged *forged) { forged->frames[1].entry.first_chunk--; }
static void with_a_frame_elsewhere(forged *forged) { forged->frames[1].offset_error = 1; }
static void with_a_gap_at_the_end(forged *forged) { forged->gap = 1; }
static void with_a_surplus(forged *forged) { forged->surplus = 1; }
static void with_codec_2(forged *forged) { forged->frames[1].entry.codec = 2; }
static void with_a_lone_base(forged *forged) {
    of_deltas(forged);
    with_bases(forged);
    forged->frames[1].base = 0;
}
static void with_a_delta_of_nothing(forged *forged) {
    of_deltas(forged);
    with_codec_2(forged);
}
static void with_a_delta_of_many(forged *forged) {
    with_a_lone_base(forged);
    with_codec_2(forged);
}
static void with_a_flag(forged *forged) { forged->frames[1].flags = 1; }
static void with_a_base(forged *forged) { forged->frames[1].base = 0; }
static void with_another_sum(forged *forged) { forged->frames[0].entry.plain_length++; }
static void with_a_long_chunk(forged *forged) { forged->lengths[11] = UINT32_MAX; }
static void with_a_short_store(forged *forged) { forged->frames[1].payload_length--; }

static void with_an_empty_chunk(forged *forged) {
    forged->frames[1].entry.plain_length -= forged->lengths[11];
    forged->frames[1].payload_length -= forged->lengths[11];
    forged->lengths[11] = 0;
}

static void with_a_large_frame(forged *forged) {
    forged->lengths[0] += HF_FRAME_MAX + 1 - forged->frames[0].entry.plain_length;
    forged->frames[0].entry.plain_length = HF_FRAME_MAX + 1;
}

/* ---- frames that the directory admits and that do not decode to what it says ---- */

static void with_two_in_one(forged *forged) {
    uint32_t half = forged->frames[0].entry.plain_length / 2;
    uint8_t *payload = forged->frames[0].payload;
    size_t first = ZSTD_compress(payload, FORGED_PAYLOAD, forged->plain, half, 3);
    size_t second = ZSTD_compress(payload + first, FORGED_PAYLOAD - first, forged->plain + half,
                                  forged->frames[0].entry.plain_length - half, 3);
    forged->frames[0].payload_length = first + second;
}

static void with_something_behind(forged *forged) {
    static const uint8_t SKIPPABLE[10] = {0x50, 0x2A, 0x4D, 0x18, 2, 0, 0, 0, 7, 7};
    memcpy(forged->frames[0].payload + forged->frames[0].payload_length, SKIPPABLE, 10);
    forged->frames[0].payload_length += 10;
}

static void with_a_short_frame(forged *forged) {
    forged->frames[0].payload_length =
        ZSTD_compress(forged->frames[0].payload, FORGED_PAYLOAD, forged->plain,
                      forged->frames[0].entry.plain_length - 1, 3);
}

static void with_a_longer_frame(forged *forged) {
    forged->frames[0].payload_length =
        ZSTD_compress(forged->frames[0].payload, FORGED_PAYLOAD, forged->plain,
                      forged->frames[0].entry.plain_length + 1, 3);
}

static void with_a_cut_frame(forged *forged) { forged->frames[0].payload_length -= 3; }
static void with_garbage(forged *forged) { memset(forged->frames[0].payload, 0xA5, 40); }
static void with_a_wrong_id(forged *forged) { forged->ids[0] ^= 1; }

typedef struct {
    const char *what;
    void (*change)(forged *forged);
    int opens;   /* what opening says */
    int damaged; /* chunks that verification finds damaged */
} rule;

static const rule RULES[] = {
    {"nothing broken", as_it_is, HF_OK, 0},
    {"an extension is skipped", with_an_extension, HF_OK, 0},
    {"pages", of_pages, HF_OK, 0},
    {"kind 0", of_kind_0, HF_E_FORMAT, 0},
    {"kind 4", of_kind_4, HF_E_FORMAT, 0},
    {"deltas without any", of_deltas, HF_OK, 0},
    {"a base without a delta", with_a_lone_base, HF_E_FORMAT, 0},
    {"a delta without a base", with_a_delta_of_nothing, HF_E_FORMAT, 0},
    {"a delta of several chunks", with_a_delta_of_many, HF_E_FORMAT, 0},
    {"version", of_a_later_version, HF_E_FORMAT, 0},
    {"key epoch", of_a_later_key, HF_E_FORMAT, 0},
    {"magic", with_a_foreign_magic, HF_E_FORMAT, 0},
    {"no chunks", without_chunks, HF_E_FORMAT, 0},
    {"no frames", without_frames, HF_E_FORMAT, 0},
    {"bases", with_bases, HF_E_FORMAT, 0},
    {"a chunk without a frame", with_an_orphan, HF_E_FORMAT, 0},
    {"a frame beyond the chunks", with_a_chunk_too_many, HF_E_FORMAT, 0},
    {"a frame of nothing", with_an_empty_frame, HF_E_FORMAT, 0},
    {"a gap", with_a_gap, HF_E_FORMAT, 0},
    {"an overlap", with_an_overlap, HF_E_FORMAT, 0},
    {"a frame elsewhere", with_a_frame_elsewhere, HF_E_FORMAT, 0},
    {"a gap before the directory", with_a_gap_at_the_end, HF_E_FORMAT, 0},
    {"bytes behind the directory", with_a_surplus, HF_E_FORMAT, 0},
    {"codec", with_codec_2, HF_E_FORMAT, 0},
    {"flags", with_a_flag, HF_E_FORMAT, 0},
    {"base", with_a_base, HF_E_FORMAT, 0},
    {"sum of lengths", with_another_sum, HF_E_FORMAT, 0},
    {"a chunk of 4 GiB", with_a_long_chunk, HF_E_FORMAT, 0},
    {"stored and shorter", with_a_short_store, HF_E_FORMAT, 0},
    {"a chunk of nothing", with_an_empty_chunk, HF_E_FORMAT, 0},
    {"a frame beyond 1 MiB", with_a_large_frame, HF_E_FORMAT, 0},
    {"two zstd frames", with_two_in_one, HF_OK, 6},
    {"bytes behind the zstd frame", with_something_behind, HF_OK, 6},
    {"too few bytes", with_a_short_frame, HF_OK, 6},
    {"too many bytes", with_a_longer_frame, HF_OK, 6},
    {"a cut zstd frame", with_a_cut_frame, HF_OK, 6},
    {"garbage", with_garbage, HF_OK, 6},
    {"a chunk that is not its id", with_a_wrong_id, HF_OK, 1},
};

static void every_rule_is_held(void) {
    forged *forged = malloc(sizeof *forged);
    uint8_t *out = malloc(FORGED_MAX);
    CHECK(forged != NULL && out != NULL);
    for (size_t i = 0; i < sizeof RULES / sizeof *RULES; i++) {
        forged_init(forged, 5);
        RULES[i].change(forged);
        size_t length = forge(forged, out);
        int error = 1, damaged = 0;
        hf_directory *directory = sealed_open(out, length, &error);
        if (directory != NULL) {
            int fd = file_of(out, length);
            damaged = walk(directory, fd);
            hf_directory_free(directory);
            close(fd);
        }
        if (error != RULES[i].opens || damaged != RULES[i].damaged)
            fprintf(stderr, "%s: opens with %d, %d damaged\n", RULES[i].what, error, damaged);
        CHECK(error == RULES[i].opens && damaged == RULES[i].damaged);
    }
    free(forged);
    free(out);
}

const test FORGED_TESTS[] = {{"every rule is held", every_rule_is_held}, {NULL, NULL}};
