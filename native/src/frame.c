/* What writing and reading a container share: associated data, nonces, AES-256-GCM.
 * docs/format/container.md is the specification.
 */
#include "internal.h"

size_t frame_aad(uint8_t *aad, const uint8_t container_id[16], int kind, uint32_t index,
                 const frame_entry *entry, const uint8_t *ids, const uint32_t *lengths,
                 const uint8_t *bases) {
    memset(aad, 0, FRAME_AAD_HEAD_BYTES);
    memcpy(aad, "HFFRAME1", 8);
    memcpy(aad + 8, container_id, 16);
    aad[24] = (uint8_t)kind;
    aad[25] = entry->codec;
    put_u32(aad + 28, index);
    put_u32(aad + 32, entry->offset);
    put_u32(aad + 36, entry->plain_length);
    if (entry->base != NO_BASE)
        memcpy(aad + 40, bases + (size_t)entry->base * HF_ID_BYTES, HF_ID_BYTES);
    size_t id_bytes = (size_t)HF_ID_BYTES * entry->chunk_count;
    size_t length_bytes = sizeof(uint32_t) * entry->chunk_count;
    memcpy(aad + FRAME_AAD_HEAD_BYTES, ids, id_bytes);
    memcpy(aad + FRAME_AAD_HEAD_BYTES + id_bytes, lengths, length_bytes);
    return FRAME_AAD_HEAD_BYTES + id_bytes + length_bytes;
}

void frame_nonce(uint8_t nonce[12], uint32_t index) {
    memset(nonce, 0, 12);
    put_u32(nonce, index);
}

void directory_nonce(uint8_t nonce[12]) { memset(nonce, 0xFF, 12); }

void directory_aad(uint8_t aad[DIRECTORY_AAD_BYTES], const uint8_t header[HF_HEADER_BYTES],
                   uint64_t directory_offset) {
    memcpy(aad, header, HF_HEADER_BYTES);
    memcpy(aad + HF_HEADER_BYTES, "HFDIR001", 8);
    put_u64(aad + HF_HEADER_BYTES + 8, directory_offset);
}

int gcm_seal(EVP_CIPHER_CTX *gcm, const uint8_t key[32], const uint8_t nonce[12],
             const uint8_t *aad, size_t aad_length, const uint8_t *plain, size_t length,
             uint8_t *out) {
    int size = 0;
    if (EVP_EncryptInit_ex(gcm, EVP_aes_256_gcm(), NULL, key, nonce) != 1 ||
        EVP_EncryptUpdate(gcm, NULL, &size, aad, (int)aad_length) != 1 ||
        EVP_EncryptUpdate(gcm, out, &size, plain, (int)length) != 1 ||
        EVP_EncryptFinal_ex(gcm, out + length, &size) != 1 ||
        EVP_CIPHER_CTX_ctrl(gcm, EVP_CTRL_GCM_GET_TAG, HF_TAG_BYTES, out + length) != 1)
        return HF_E_CRYPTO;
    return HF_OK;
}

int gcm_open(EVP_CIPHER_CTX *gcm, const uint8_t key[32], const uint8_t nonce[12],
             const uint8_t *aad, size_t aad_length, const uint8_t *sealed, size_t length,
             uint8_t *out) {
    if (length < HF_TAG_BYTES)
        return HF_E_FORMAT;
    size_t plain_length = length - HF_TAG_BYTES;
    uint8_t tag[HF_TAG_BYTES];
    memcpy(tag, sealed + plain_length, HF_TAG_BYTES);
    int size = 0;
    if (EVP_DecryptInit_ex(gcm, EVP_aes_256_gcm(), NULL, key, nonce) != 1 ||
        EVP_DecryptUpdate(gcm, NULL, &size, aad, (int)aad_length) != 1 ||
        EVP_DecryptUpdate(gcm, out, &size, sealed, (int)plain_length) != 1 ||
        EVP_CIPHER_CTX_ctrl(gcm, EVP_CTRL_GCM_SET_TAG, HF_TAG_BYTES, tag) != 1)
        return HF_E_CRYPTO;
    return EVP_DecryptFinal_ex(gcm, out + plain_length, &size) == 1 ? HF_OK : HF_E_AUTH;
}
