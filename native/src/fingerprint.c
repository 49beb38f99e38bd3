/* Chunk ids (HMAC-SHA-256) and extent tags (AES-256-GMAC).
 *
 * An id must stay unique against somebody who may choose contents and see ids, hence SHA-256. A tag
 * is only ever compared with the tag of the same extent in the base point and never leaves sealed
 * pages: against an adversary who sees neither key nor tags, GMAC with one nonce is a universal
 * hash, and two different extents of 4 MiB (2^18 blocks) meet with probability 2^-110. It runs at
 * several GB/s, several times SHA-256.
 */
#include "kernels.h"

#include <stdlib.h>

struct fingerprinter {
    const kernels *kernels;
    hmac_states states; /* where there is a kernel for SHA-256 */
    EVP_MD_CTX *inner, *outer, *work;
};

static EVP_MD_CTX *keyed_state(const uint8_t key[32], uint8_t pad) {
    uint8_t block[64];
    memset(block, pad, sizeof block);
    for (int i = 0; i < HF_KEY_BYTES; i++)
        block[i] ^= key[i];
    EVP_MD_CTX *state = EVP_MD_CTX_new();
    if (state != NULL && (EVP_DigestInit_ex(state, EVP_sha256(), NULL) != 1 ||
                          EVP_DigestUpdate(state, block, sizeof block) != 1)) {
        EVP_MD_CTX_free(state);
        state = NULL;
    }
    OPENSSL_cleanse(block, sizeof block);
    return state;
}

static bool has_lanes(const kernels *kernels) {
    return kernels->wide != NULL || kernels->pair != NULL;
}

fingerprinter *fingerprinter_with(const uint8_t key[32], const kernels *kernels) {
    fingerprinter *printer = calloc(1, sizeof *printer);
    if (printer == NULL)
        return NULL;
    printer->kernels = kernels;
    if (has_lanes(kernels))
        printer->states = hmac_begin(kernels, key);
    printer->inner = keyed_state(key, 0x36);
    printer->outer = keyed_state(key, 0x5c);
    printer->work = EVP_MD_CTX_new();
    if (printer->inner != NULL && printer->outer != NULL && printer->work != NULL)
        return printer;
    fingerprinter_free(printer);
    return NULL;
}

fingerprinter *fingerprinter_new(const uint8_t key[32]) {
    return fingerprinter_with(key, kernels_in_use());
}

void fingerprinter_free(fingerprinter *printer) {
    if (printer == NULL)
        return;
    EVP_MD_CTX_free(printer->inner);
    EVP_MD_CTX_free(printer->outer);
    EVP_MD_CTX_free(printer->work);
    OPENSSL_cleanse(&printer->states, sizeof printer->states);
    free(printer);
}

int fingerprint(fingerprinter *printer, const uint8_t *data, size_t length, uint8_t id[32]) {
    uint8_t digest[32];
    if (EVP_MD_CTX_copy_ex(printer->work, printer->inner) != 1 ||
        EVP_DigestUpdate(printer->work, data, length) != 1 ||
        EVP_DigestFinal_ex(printer->work, digest, NULL) != 1 ||
        EVP_MD_CTX_copy_ex(printer->work, printer->outer) != 1 ||
        EVP_DigestUpdate(printer->work, digest, sizeof digest) != 1 ||
        EVP_DigestFinal_ex(printer->work, id, NULL) != 1)
        return HF_E_CRYPTO;
    return HF_OK;
}

int fingerprint_many(fingerprinter *printer, const uint8_t *const *data, const uint32_t *lengths,
                     uint8_t (*ids)[32], int count) {
    if (count > 1 && has_lanes(printer->kernels)) {
        hmac_many(printer->kernels, &printer->states, data, lengths, ids, count);
        return HF_OK;
    }
    for (int i = 0; i < count; i++) {
        int result = fingerprint(printer, data[i], lengths[i], ids[i]);
        if (result < 0)
            return result;
    }
    return HF_OK;
}

int hf_chunk_id(const uint8_t id_key[32], const uint8_t *data, size_t length, uint8_t id[32]) {
    fingerprinter *printer = fingerprinter_new(id_key);
    if (printer == NULL)
        return HF_E_MEMORY;
    int result = fingerprint(printer, data, length, id);
    fingerprinter_free(printer);
    return result;
}

struct tagger {
    EVP_CIPHER_CTX *gcm;
};

tagger *tagger_new(const uint8_t key[32]) {
    static const uint8_t nonce[12];
    tagger *tagger = calloc(1, sizeof *tagger);
    if (tagger == NULL)
        return NULL;
    tagger->gcm = EVP_CIPHER_CTX_new();
    if (tagger->gcm != NULL &&
        EVP_EncryptInit_ex(tagger->gcm, EVP_aes_256_gcm(), NULL, key, nonce) == 1)
        return tagger;
    tagger_free(tagger);
    return NULL;
}

void tagger_free(tagger *tagger) {
    if (tagger == NULL)
        return;
    EVP_CIPHER_CTX_free(tagger->gcm);
    free(tagger);
}

int extent_tag(tagger *tagger, const uint8_t *data, size_t length, uint8_t tag[16]) {
    static const uint8_t nonce[12];
    int size = 0;
    uint8_t none[1];
    if (EVP_EncryptInit_ex(tagger->gcm, NULL, NULL, NULL, nonce) != 1 ||
        EVP_EncryptUpdate(tagger->gcm, NULL, &size, data, (int)length) != 1 ||
        EVP_EncryptFinal_ex(tagger->gcm, none, &size) != 1 ||
        EVP_CIPHER_CTX_ctrl(tagger->gcm, EVP_CTRL_GCM_GET_TAG, HF_TAG_BYTES, tag) != 1)
        return HF_E_CRYPTO;
    return HF_OK;
}
