#include "sealed.h"

#include <unistd.h>
#include <zstd.h>

#define COUNT_8(n) n, n + 1, n + 2, n + 3, n + 4, n + 5, n + 6, n + 7
#define COUNT_32(n) COUNT_8(n), COUNT_8(n + 8), COUNT_8(n + 16), COUNT_8(n + 24)
const uint8_t ID_KEY[32] = {COUNT_32(0)}, CUT_KEY[32] = {COUNT_32(0)}, TAG_KEY[32] = {COUNT_32(0)};
const uint8_t CONTAINER_KEY[32] = {COUNT_32(32)};
const uint8_t CONTAINER_ID[16] = {COUNT_8(100), COUNT_8(108)};

filler filler_new(void) {
    filler filler = {.index = hf_index_new()};
    CHECK(filler.index != NULL);
    uint32_t slot = (uint32_t)hf_index_open_slot(filler.index);
    filler.ingester = hf_ingester_new(filler.index, ID_KEY, CUT_KEY, TAG_KEY);
    filler.writer = hf_writer_new(HF_KIND_DATA, CONTAINER_ID, CONTAINER_KEY, slot, 3);
    CHECK(filler.ingester != NULL && filler.writer != NULL);
    return filler;
}

void filler_free(filler *filler) {
    hf_ingester_free(filler->ingester);
    hf_writer_free(filler->writer);
    hf_index_free(filler->index);
}

hf_ref fill_chunk(filler *filler, const uint8_t *data, uint32_t length) {
    hf_ref ref;
    CHECK(hf_ingest_chunk(filler->ingester, filler->writer, data, length, &ref) == HF_OK);
    return ref;
}

sealed filler_seal(filler *filler) {
    sealed sealed;
    const uint8_t *data;
    CHECK(hf_writer_finish(filler->writer, sealed.name, &data, &sealed.length) == HF_OK);
    sealed.data = malloc(sealed.length);
    CHECK(sealed.data != NULL);
    memcpy(sealed.data, data, sealed.length);
    return sealed;
}

hf_directory *sealed_open(const uint8_t *data, size_t length, int *error) {
    CHECK(length >= HF_HEADER_BYTES + HF_TRAILER_BYTES);
    const uint8_t *trailer = data + length - HF_TRAILER_BYTES;
    uint64_t offset = get_u64(trailer), sealed_length = get_u64(trailer + 8);
    CHECK(offset + sealed_length + HF_TRAILER_BYTES == length);
    uint8_t *header = malloc(HF_HEADER_BYTES), *sealed = malloc(sealed_length);
    CHECK(header != NULL && sealed != NULL);
    memcpy(header, data, HF_HEADER_BYTES);
    memcpy(sealed, data + offset, sealed_length);
    hf_directory *directory =
        hf_directory_open(header, sealed, sealed_length, offset, CONTAINER_KEY, error);
    CHECK((directory != NULL) == (*error == HF_OK));
    free(header);
    free(sealed);
    return directory;
}

hf_directory *sealed_directory(const sealed *sealed) {
    int error;
    hf_directory *directory = sealed_open(sealed->data, sealed->length, &error);
    CHECK(directory != NULL);
    return directory;
}

hf_item item_of(const hf_directory *directory, int fd, const hf_ref *ref) {
    hf_item item = {
        .directory = directory, .fd = fd, .ordinal = ref->ordinal, .length = ref->length};
    memcpy(item.id, ref->id, HF_ID_BYTES);
    return item;
}

int walk(const hf_directory *directory, int fd) {
    hf_reader *reader = hf_reader_new();
    uint32_t chunks = hf_directory_chunks(directory);
    uint8_t *bad = malloc(chunks), *out = malloc(HF_FRAME_MAX);
    CHECK(reader != NULL && bad != NULL && out != NULL);
    for (uint32_t i = 0; i < chunks; i++) {
        uint32_t frame, offset, length, frame_length, ordinal = i;
        const uint8_t *id = hf_directory_ids(directory) + (size_t)i * HF_ID_BYTES;
        CHECK(hf_directory_locate(directory, id, &ordinal, &frame, &offset, &length,
                                  &frame_length) == HF_OK);
        CHECK(ordinal == i && frame < hf_directory_frames(directory) && length > 0 &&
              frame_length <= HF_FRAME_MAX && offset + length <= frame_length);
        hf_ref ref = {.ordinal = i, .length = length};
        memcpy(ref.id, id, HF_ID_BYTES);
        hf_item item = item_of(directory, fd, &ref);
        CHECK(hf_read(reader, &item, 1, out, length) == (item.result < 0));
    }
    int damaged = hf_verify(reader, directory, fd, ID_KEY, bad), counted = 0;
    for (uint32_t i = 0; i < chunks; i++)
        counted += bad[i];
    CHECK(damaged == counted);
    hf_reader_free(reader);
    free(bad);
    free(out);
    return damaged;
}

void forged_init(forged *forged, uint64_t seed) {
    memset(forged, 0, sizeof *forged);
    memcpy(forged->header, "HFCONT01\1\0\1\0", 12);
    memcpy(forged->header + 16, CONTAINER_ID, sizeof CONTAINER_ID);
    forged->frame_count = 2;
    forged->chunk_count = FORGED_CHUNKS;
    chance chance = {seed};
    uint8_t *plain = forged->plain;
    for (uint32_t i = 0; i < FORGED_CHUNKS; i++) {
        forged->lengths[i] = 1 + chance_below(&chance, 4000);
        memset(plain, (int)i, forged->lengths[i]);
        chance_fill(&chance, plain, forged->lengths[i] / 4);
        CHECK(hf_chunk_id(ID_KEY, plain, forged->lengths[i], forged->ids + i * HF_ID_BYTES) == 0);
        plain += forged->lengths[i];
    }
    plain = forged->plain;
    for (uint32_t i = 0; i < forged->frame_count; i++) {
        frame_entry *entry = &forged->frames[i].entry;
        entry->chunk_count = FORGED_CHUNKS / 2;
        entry->first_chunk = i * FORGED_CHUNKS / 2;
        for (uint32_t n = 0; n < FORGED_CHUNKS / 2; n++)
            entry->plain_length += forged->lengths[entry->first_chunk + n];
        entry->codec = i == 0 ? HF_CODEC_ZSTD : HF_CODEC_STORED;
        forged->frames[i].base = UINT32_MAX;
        forged->frames[i].payload_length = entry->plain_length;
        memcpy(forged->frames[i].payload, plain, entry->plain_length);
        if (i == 0)
            forged->frames[i].payload_length = ZSTD_compress(
                forged->frames[i].payload, FORGED_PAYLOAD, plain, entry->plain_length, 3);
        CHECK(!ZSTD_isError(forged->frames[i].payload_length));
        plain += entry->plain_length;
    }
}

static size_t describe(const forged *forged, uint8_t *plain) {
    put_u32(plain, forged->frame_count);
    put_u32(plain + 4, forged->chunk_count);
    put_u32(plain + 8, forged->base_count);
    put_u32(plain + 12, forged->extension);
    uint8_t *at = plain + DIRECTORY_HEAD_BYTES;
    uint32_t offset = HF_HEADER_BYTES;
    for (uint32_t i = 0; i < forged->frame_count; i++, at += FRAME_ENTRY_BYTES) {
        const frame_entry *entry = &forged->frames[i].entry;
        uint32_t stored_length = (uint32_t)forged->frames[i].payload_length + HF_TAG_BYTES;
        put_u32(at, offset + forged->frames[i].offset_error);
        put_u32(at + 4, stored_length);
        put_u32(at + 8, entry->plain_length);
        put_u32(at + 12, entry->first_chunk);
        put_u16(at + 16, entry->chunk_count);
        at[18] = entry->codec;
        at[19] = forged->frames[i].flags;
        put_u32(at + 20, forged->frames[i].base);
        offset += stored_length;
    }
    memcpy(at, forged->ids, (size_t)forged->chunk_count * HF_ID_BYTES);
    at += (size_t)forged->chunk_count * HF_ID_BYTES;
    memcpy(at, forged->lengths, (size_t)forged->chunk_count * sizeof(uint32_t));
    at += (size_t)forged->chunk_count * sizeof(uint32_t);
    memset(at, 0xBB, (size_t)forged->base_count * HF_ID_BYTES);
    at += (size_t)forged->base_count * HF_ID_BYTES;
    memset(at, 0xEE, forged->extension + forged->surplus);
    return (size_t)(at - plain) + forged->extension + forged->surplus;
}

size_t forge(const forged *forged, uint8_t *out) {
    EVP_CIPHER_CTX *gcm = EVP_CIPHER_CTX_new();
    uint8_t nonce[12], aad[FRAME_AAD_HEAD_BYTES + FORGED_CHUNKS * (HF_ID_BYTES + 4)];
    memcpy(out, forged->header, HF_HEADER_BYTES);
    size_t used = HF_HEADER_BYTES;
    for (uint32_t i = 0; i < forged->frame_count; i++) {
        frame_entry entry = forged->frames[i].entry;
        entry.offset = (uint32_t)used;
        entry.base = NO_BASE;
        uint32_t first = entry.first_chunk;
        bool fits = first <= FORGED_CHUNKS && entry.chunk_count <= FORGED_CHUNKS - first;
        if (!fits) /* the directory is refused before anybody opens this frame */
            entry.chunk_count = 0, first = 0;
        frame_nonce(nonce, i);
        size_t aad_length =
            frame_aad(aad, forged->header + 16, forged->header[10], i, &entry,
                      forged->ids + first * HF_ID_BYTES, forged->lengths + first, NULL);
        size_t length = forged->frames[i].payload_length;
        CHECK(gcm_seal(gcm, CONTAINER_KEY, nonce, aad, aad_length, forged->frames[i].payload,
                       length, out + used) == HF_OK);
        used += length + HF_TAG_BYTES;
    }
    EVP_CIPHER_CTX_free(gcm);
    memset(out + used, 0, forged->gap);
    used += forged->gap;
    uint8_t plain[2048];
    return forge_directory(out, used, plain, describe(forged, plain));
}

size_t forge_directory(uint8_t *container, size_t offset, const uint8_t *plain, size_t length) {
    EVP_CIPHER_CTX *gcm = EVP_CIPHER_CTX_new();
    uint8_t nonce[12], aad[DIRECTORY_AAD_BYTES];
    directory_nonce(nonce);
    directory_aad(aad, container, offset);
    CHECK(gcm_seal(gcm, CONTAINER_KEY, nonce, aad, sizeof aad, plain, length, container + offset) ==
          HF_OK);
    EVP_CIPHER_CTX_free(gcm);
    uint8_t *trailer = container + offset + length + HF_TAG_BYTES;
    memset(trailer, 0, HF_TRAILER_BYTES);
    put_u64(trailer, offset);
    put_u64(trailer + 8, length + HF_TAG_BYTES);
    memcpy(trailer + 16, "HFCEND01", 8);
    return offset + length + HF_TAG_BYTES + HF_TRAILER_BYTES;
}
