/* One open container in memory: chunks gather in a frame, frames are compressed and sealed into the
 * buffer, finish() adds the directory and names the whole. Nothing is on disk before that, so a
 * crash leaves no half container and no nonce is ever used twice: the container id is random, its
 * key is derived from it, frames are numbered, and a writer lives in one process only.
 */
#include "internal.h"

#include <stdlib.h>
#include <zstd.h>

/* The directory counts a frame's chunks in 16 bits, and a reader's references need room to spare.
 */
enum { CHUNKS_MAX = 60000, SEAL_SLACK = 4096 };

struct hf_writer {
    uint8_t *buffer;
    size_t used;
    uint8_t header[HF_HEADER_BYTES];
    uint8_t key[HF_KEY_BYTES];
    int kind;
    uint8_t level;
    bool is_sealed; /* the nonces of this container are used up */
    uint32_t slot;
    EVP_CIPHER_CTX *gcm;
    ZSTD_CCtx *zstd;
    uint8_t *ids; /* 32 bytes per chunk */
    uint32_t *lengths;
    frame_entry *frames;
    uint8_t *bases; /* 32 bytes each */
    uint32_t chunk_count, chunk_capacity, frame_count, frame_capacity, base_count, base_capacity;
    uint8_t *pending; /* plain bytes of the frame being filled */
    uint32_t pending_bytes, pending_chunks;
    uint8_t *scratch;
    size_t scratch_bytes;
    uint8_t *aad;
    size_t aad_bytes;
};

hf_writer *hf_writer_new(int kind, const uint8_t container_id[16], const uint8_t container_key[32],
                         uint32_t slot, int level) {
    hf_writer *writer = calloc(1, sizeof *writer);
    if (writer == NULL)
        return NULL;
    writer->kind = kind;
    writer->level = (uint8_t)level;
    writer->slot = slot;
    memcpy(writer->key, container_key, HF_KEY_BYTES);
    memcpy(writer->header, "HFCONT01", 8);
    put_u16(writer->header + 8, 1);
    writer->header[10] = (uint8_t)kind;
    memcpy(writer->header + 16, container_id, 16);
    writer->buffer = aligned_alloc(4096, HF_CONTAINER_BYTES); /* to be written past the cache */
    writer->pending = malloc(HF_FRAME_MAX);
    writer->scratch_bytes = ZSTD_compressBound(HF_FRAME_MAX);
    writer->scratch = malloc(writer->scratch_bytes);
    writer->gcm = EVP_CIPHER_CTX_new();
    writer->zstd = ZSTD_createCCtx();
    if (writer->buffer == NULL || writer->pending == NULL || writer->scratch == NULL ||
        writer->gcm == NULL || writer->zstd == NULL ||
        ZSTD_isError(ZSTD_CCtx_setParameter(writer->zstd, ZSTD_c_compressionLevel, level))) {
        hf_writer_free(writer);
        return NULL;
    }
    memcpy(writer->buffer, writer->header, HF_HEADER_BYTES);
    writer->used = HF_HEADER_BYTES;
    return writer;
}

void hf_writer_free(hf_writer *writer) {
    if (writer == NULL)
        return;
    OPENSSL_cleanse(writer->key, sizeof writer->key);
    EVP_CIPHER_CTX_free(writer->gcm);
    ZSTD_freeCCtx(writer->zstd);
    free(writer->buffer);
    free(writer->pending);
    free(writer->scratch);
    free(writer->ids);
    free(writer->lengths);
    free(writer->frames);
    free(writer->bases);
    free(writer->aad);
    free(writer);
}

uint32_t hf_writer_chunks(const hf_writer *writer) { return writer->chunk_count; }

uint32_t writer_slot(const hf_writer *writer) { return writer->slot; }

static size_t directory_bytes(size_t frames, size_t chunks, size_t bases) {
    return DIRECTORY_HEAD_BYTES + frames * FRAME_ENTRY_BYTES + chunks * (HF_ID_BYTES + 4) +
           bases * HF_ID_BYTES + EXTENSION_LEVEL_BYTES;
}

int hf_writer_has_room(const hf_writer *writer, size_t plain_bytes) {
    size_t chunks = plain_bytes / HF_CHUNK_MIN + 2;
    size_t frames = plain_bytes / HF_PAGE_FRAME_TARGET + 2;
    if (writer->is_sealed || writer->chunk_count + chunks > CHUNKS_MAX)
        return false;
    size_t worst = writer->used + writer->pending_bytes + plain_bytes + frames * HF_TAG_BYTES +
                   directory_bytes(writer->frame_count + frames, writer->chunk_count + chunks,
                                   writer->base_count + 1) +
                   HF_TRAILER_BYTES + SEAL_SLACK;
    return worst <= HF_CONTAINER_BYTES;
}

static int grow(void **array, uint32_t *capacity, uint32_t needed, size_t item_bytes) {
    if (needed <= *capacity)
        return HF_OK;
    uint32_t larger = *capacity == 0 ? 1024 : *capacity * 2;
    void *moved = realloc(*array, larger * item_bytes);
    if (moved == NULL)
        return HF_E_MEMORY;
    *array = moved;
    *capacity = larger;
    return HF_OK;
}

static int reserve_aad(hf_writer *writer, uint32_t chunks) {
    size_t needed = FRAME_AAD_HEAD_BYTES + (size_t)chunks * (HF_ID_BYTES + 4);
    if (needed <= writer->aad_bytes)
        return HF_OK;
    uint8_t *larger = realloc(writer->aad, needed * 2);
    if (larger == NULL)
        return HF_E_MEMORY;
    writer->aad = larger;
    writer->aad_bytes = needed * 2;
    return HF_OK;
}

/* Seals `length` bytes as the next frame, of the last `chunks` chunks. */
static int seal_frame(hf_writer *writer, frame_entry entry, const uint8_t *packed, size_t length) {
    if (grow((void **)&writer->frames, &writer->frame_capacity, writer->frame_count + 1,
             sizeof(frame_entry)) < 0 ||
        reserve_aad(writer, entry.chunk_count) < 0)
        return HF_E_MEMORY;
    entry.offset = (uint32_t)writer->used;
    entry.stored_length = (uint32_t)(length + HF_TAG_BYTES);
    entry.first_chunk = writer->chunk_count - entry.chunk_count;
    writer->frames[writer->frame_count] = entry;
    size_t aad_length =
        frame_aad(writer->aad, writer->header + 16, writer->kind, writer->frame_count, &entry,
                  writer->ids + (size_t)entry.first_chunk * HF_ID_BYTES,
                  writer->lengths + entry.first_chunk, writer->bases);
    uint8_t nonce[12];
    frame_nonce(nonce, writer->frame_count);
    int result = gcm_seal(writer->gcm, writer->key, nonce, writer->aad, aad_length, packed, length,
                          writer->buffer + writer->used);
    writer->frame_count++; /* the number is burned even if sealing failed */
    writer->used += length + HF_TAG_BYTES;
    return result;
}

/* Compresses and seals the pending frame. A frame that does not shrink is stored. */
static int flush_frame(hf_writer *writer, hf_stats *stats) {
    if (writer->pending_chunks == 0)
        return HF_OK;
    uint64_t began = now_ns();
    size_t packed = ZSTD_compress2(writer->zstd, writer->scratch, writer->scratch_bytes,
                                   writer->pending, writer->pending_bytes);
    if (ZSTD_isError(packed))
        return HF_E_CRYPTO;
    bool stored = packed >= writer->pending_bytes;
    uint64_t compressed = now_ns();
    frame_entry entry = {
        .plain_length = writer->pending_bytes,
        .chunk_count = (uint16_t)writer->pending_chunks,
        .codec = stored ? HF_CODEC_STORED : HF_CODEC_ZSTD,
        .base = NO_BASE,
    };
    int result = seal_frame(writer, entry, stored ? writer->pending : writer->scratch,
                            stored ? writer->pending_bytes : packed);
    if (result == HF_E_MEMORY)
        return result;
    writer->pending_bytes = 0;
    writer->pending_chunks = 0;
    if (stats != NULL) {
        stats->compress_ns += compressed - began;
        stats->seal_ns += now_ns() - compressed;
    }
    return result;
}

/* Lists a chunk in the directory. */
static int list_chunk(hf_writer *writer, const uint8_t id[32], uint32_t length) {
    uint32_t capacity = writer->chunk_capacity;
    if (grow((void **)&writer->ids, &capacity, writer->chunk_count + 1, HF_ID_BYTES) < 0 ||
        grow((void **)&writer->lengths, &writer->chunk_capacity, writer->chunk_count + 1,
             sizeof(uint32_t)) < 0)
        return HF_E_MEMORY;
    memcpy(writer->ids + (size_t)writer->chunk_count * HF_ID_BYTES, id, HF_ID_BYTES);
    writer->lengths[writer->chunk_count++] = length;
    return HF_OK;
}

int writer_add(hf_writer *writer, const uint8_t id[32], const uint8_t *data, uint32_t length,
               hf_stats *stats) {
    if (length == 0 || length > HF_FRAME_MAX)
        return HF_E_FORMAT;
    int result = HF_OK;
    if (writer->pending_bytes + length > HF_FRAME_MAX)
        result = flush_frame(writer, stats);
    if (result == HF_OK)
        result = list_chunk(writer, id, length);
    if (result < 0)
        return result;
    memcpy(writer->pending + writer->pending_bytes, data, length);
    writer->pending_bytes += length;
    writer->pending_chunks++;
    uint32_t target = writer->kind == HF_KIND_PAGE ? HF_PAGE_FRAME_TARGET : HF_FRAME_TARGET;
    return writer->pending_bytes >= target ? flush_frame(writer, stats) : HF_OK;
}

int hf_writer_put(hf_writer *writer, const uint8_t id[32], const uint8_t *data, uint32_t length) {
    return hf_writer_has_room(writer, length) ? writer_add(writer, id, data, length, NULL)
                                              : HF_E_FULL;
}

int hf_writer_put_delta(hf_writer *writer, const uint8_t id[32], uint32_t length,
                        const uint8_t base_id[32], const uint8_t *packed, uint32_t packed_length) {
    if (writer->kind != HF_KIND_DELTA || length == 0 || length > HF_FRAME_MAX ||
        packed_length == 0 || packed_length >= length)
        return HF_E_FORMAT;
    if (!hf_writer_has_room(writer, length))
        return HF_E_FULL;
    if (grow((void **)&writer->bases, &writer->base_capacity, writer->base_count + 1, HF_ID_BYTES) <
        0)
        return HF_E_MEMORY;
    int result = flush_frame(writer, NULL);
    if (result == HF_OK)
        result = list_chunk(writer, id, length);
    if (result < 0)
        return result;
    memcpy(writer->bases + (size_t)writer->base_count * HF_ID_BYTES, base_id, HF_ID_BYTES);
    frame_entry entry = {
        .plain_length = length,
        .chunk_count = 1,
        .codec = HF_CODEC_DELTA,
        .base = writer->base_count++,
    };
    return seal_frame(writer, entry, packed, packed_length);
}

static size_t write_directory(const hf_writer *writer, uint8_t *to) {
    put_u32(to, writer->frame_count);
    put_u32(to + 4, writer->chunk_count);
    put_u32(to + 8, writer->base_count);
    put_u32(to + 12, EXTENSION_LEVEL_BYTES);
    uint8_t *at = to + DIRECTORY_HEAD_BYTES;
    for (uint32_t i = 0; i < writer->frame_count; i++, at += FRAME_ENTRY_BYTES) {
        const frame_entry *entry = &writer->frames[i];
        put_u32(at, entry->offset);
        put_u32(at + 4, entry->stored_length);
        put_u32(at + 8, entry->plain_length);
        put_u32(at + 12, entry->first_chunk);
        put_u16(at + 16, entry->chunk_count);
        at[18] = entry->codec;
        at[19] = 0;
        put_u32(at + 20, entry->base);
    }
    memcpy(at, writer->ids, (size_t)writer->chunk_count * HF_ID_BYTES);
    at += (size_t)writer->chunk_count * HF_ID_BYTES;
    memcpy(at, writer->lengths, (size_t)writer->chunk_count * sizeof(uint32_t));
    at += (size_t)writer->chunk_count * sizeof(uint32_t);
    if (writer->base_count > 0)
        memcpy(at, writer->bases, (size_t)writer->base_count * HF_ID_BYTES);
    at += (size_t)writer->base_count * HF_ID_BYTES;
    put_u16(at, EXTENSION_LEVEL);
    put_u16(at + 2, 1);
    at[4] = writer->level;
    return directory_bytes(writer->frame_count, writer->chunk_count, writer->base_count);
}

int hf_writer_finish(hf_writer *writer, uint8_t name[32], const uint8_t **data, size_t *length) {
    int result = flush_frame(writer, NULL);
    if (result < 0)
        return result;
    if (writer->chunk_count == 0 || writer->is_sealed)
        return HF_E_FORMAT;
    size_t plain_length =
        directory_bytes(writer->frame_count, writer->chunk_count, writer->base_count);
    size_t sealed_length = plain_length + HF_TAG_BYTES;
    if (writer->used + sealed_length + HF_TRAILER_BYTES > HF_CONTAINER_BYTES)
        return HF_E_FULL;
    uint8_t *plain = malloc(plain_length);
    if (plain == NULL)
        return HF_E_MEMORY;
    write_directory(writer, plain);
    uint8_t nonce[12], aad[DIRECTORY_AAD_BYTES];
    directory_nonce(nonce);
    directory_aad(aad, writer->header, writer->used);
    writer->is_sealed = true;
    result = gcm_seal(writer->gcm, writer->key, nonce, aad, sizeof aad, plain, plain_length,
                      writer->buffer + writer->used);
    free(plain);
    if (result < 0)
        return result;
    uint8_t *trailer = writer->buffer + writer->used + sealed_length;
    memset(trailer, 0, HF_TRAILER_BYTES);
    put_u64(trailer, writer->used);
    put_u64(trailer + 8, sealed_length);
    memcpy(trailer + 16, "HFCEND01", 8);
    *data = writer->buffer;
    *length = writer->used + sealed_length + HF_TRAILER_BYTES;
    return EVP_Digest(writer->buffer, *length, name, NULL, EVP_sha256(), NULL) == 1 ? HF_OK
                                                                                    : HF_E_CRYPTO;
}
