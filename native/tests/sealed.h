/* Containers for tests: written by the library, or forged field by field under the right key. */
#ifndef HF_SEALED_H
#define HF_SEALED_H

#include "check.h"

extern const uint8_t ID_KEY[32], CUT_KEY[32], TAG_KEY[32], CONTAINER_KEY[32], CONTAINER_ID[16];

typedef struct {
    uint8_t *data;
    size_t length;
    uint8_t name[32];
} sealed;

/* Everything that fills one container. */
typedef struct {
    hf_index *index;
    hf_ingester *ingester;
    hf_writer *writer;
} filler;
filler filler_new(void);
void filler_free(filler *filler);
hf_ref fill_chunk(filler *filler, const uint8_t *data, uint32_t length);
sealed filler_seal(filler *filler);

/* Opens from copies of the exact size, so that the sanitizer sees every byte read too far. */
hf_directory *sealed_open(const uint8_t *data, size_t length, int *error);
/* Opens what must be openable. */
hf_directory *sealed_directory(const sealed *sealed);
hf_item item_of(const hf_directory *directory, int fd, const hf_ref *ref);
/* Locates, reads and verifies everything; gives the number of damaged chunks. */
int walk(const hf_directory *directory, int fd);

enum { FORGED_FRAMES = 3, FORGED_CHUNKS = 12, FORGED_PAYLOAD = 64 << 10 };
/* Two frames of six chunks to begin with; a test changes what it likes and forges. */
typedef struct {
    uint8_t header[HF_HEADER_BYTES];
    uint32_t frame_count, chunk_count, base_count, extension;
    uint32_t surplus; /* bytes behind the directory that it does not state */
    uint32_t gap;     /* bytes between the last frame and the directory */
    struct {
        frame_entry entry; /* .offset and .stored_length are what the payload makes them */
        uint8_t flags;
        uint32_t base;
        uint32_t offset_error; /* added to what the directory says */
        uint8_t payload[FORGED_PAYLOAD];
        size_t payload_length;
    } frames[FORGED_FRAMES];
    uint8_t ids[FORGED_CHUNKS * HF_ID_BYTES];
    uint32_t lengths[FORGED_CHUNKS];
    uint8_t plain[FORGED_FRAMES * FORGED_PAYLOAD];
} forged;
void forged_init(forged *forged, uint64_t seed);
/* Seals everything as it is; `out` must take FORGED_MAX bytes. Gives the length. */
enum { FORGED_MAX = FORGED_FRAMES * (FORGED_PAYLOAD + 64) + 4096 };
size_t forge(const forged *forged, uint8_t *out);
/* Seals a directory's plaintext behind `offset` bytes of container. Gives the whole length. */
size_t forge_directory(uint8_t *container, size_t offset, const uint8_t *plain, size_t length);

#endif
