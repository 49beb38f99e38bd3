/* Fast kernels: inner loops that some processors run several times faster, bit-identical to the
 * scalar ones. Which are used is chosen once (kernels.c). Not for callers of the library.
 */
#ifndef HF_KERNELS_H
#define HF_KERNELS_H

#include "internal.h"

enum { SHA256_LANES = 16 };
extern const uint32_t SHA256_ROUNDS[64];

/* SHA-256's compression of `count` blocks of 64 bytes in each lane at once. Lanes whose pointer is
 * NULL stand idle: their states may become anything. At least one lane has work. */
typedef void sha256_kernel(uint32_t state[8][SHA256_LANES],
                           const uint8_t *const blocks[SHA256_LANES], size_t count);

/* One kernel: exactly one of the last three is set. */
typedef struct {
    const char *name; /* in HOLDFAST_KERNELS and hf_kernels */
    bool (*is_supported)(void);
    gear_scanner *scan;
    sha256_kernel *wide; /* always works on all lanes, so it pays with most of them busy */
    sha256_kernel *pair; /* works on the busy lanes, two at a time */
} kernel;

/* What the library works with. */
typedef struct kernels {
    gear_scanner *scan;  /* never NULL */
    sha256_kernel *wide; /* NULL: not on this machine */
    sha256_kernel *pair;
    int wrong;      /* how many gave wrong results to the self-test and are not used */
    char text[128]; /* "cut-avx512,sha256-ni; wrong: sha256-avx512", or "scalar" */
} kernels;

extern const kernel KERNELS[];
extern const int KERNEL_COUNT;

/* The kernels of `all` that are in `names` (a comma list; NULL or "" is all of them), that this
 * processor has, and that agree with the scalar code on fixed inputs. */
kernels kernels_choose(const kernel *all, int count, const char *names);
/* KERNELS by environment variable HOLDFAST_KERNELS, chosen at the first call. */
const kernels *kernels_in_use(void);

/* sha256.c: HMAC-SHA-256 of many messages, from the states after the key's two blocks. */
typedef struct {
    uint32_t inner[8], outer[8];
} hmac_states;
hmac_states hmac_begin(const kernels *kernels, const uint8_t key[32]);
void hmac_many(const kernels *kernels, const hmac_states *states, const uint8_t *const *data,
               const uint32_t *lengths, uint8_t (*macs)[32], int count);

/* fingerprint.c, with given kernels; they must outlive it */
fingerprinter *fingerprinter_with(const uint8_t key[32], const kernels *kernels);

#ifdef __x86_64__
gear_scanner gear_scan_avx512;
sha256_kernel sha256_avx512, sha256_ni;
#endif

#endif
