/* Sense data of both forms, however short: SPC-5 4.4, SAT-4 12.2.2.7. */
#include "smart.h"

enum {
    FIXED = 0x70,
    FIXED_DEFERRED = 0x71,
    DESCRIPTORS = 0x72,
    DESCRIPTORS_DEFERRED = 0x73,
    INFORMATION = 0x00,
    ATA_RETURN = 0x09,
    REGISTERS_ASC = 0x00,
    REGISTERS_ASCQ = 0x1D, /* ATA PASS THROUGH INFORMATION AVAILABLE */
};

static uint64_t get_be(const uint8_t *from, int bytes) {
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value = value << 8 | from[i];
    return value;
}

static void read_fixed(smart_reply *reply, bool is_ata) {
    const uint8_t *sense = reply->sense;
    uint32_t length = reply->sense_length;
    reply->sense_key = length > 2 ? sense[2] & 0x0F : 0;
    reply->asc = length > 12 ? sense[12] : 0;
    reply->ascq = length > 13 ? sense[13] : 0;
    if (is_ata && length > 13 && reply->asc == REGISTERS_ASC && reply->ascq == REGISTERS_ASCQ) {
        reply->has_registers = true;
        reply->ata_error = sense[3];
        reply->ata_status = sense[4];
        reply->ata_device = sense[5];
        reply->ata_count = sense[6];
        reply->ata_lba = (uint64_t)sense[9] | (uint64_t)sense[10] << 8 | (uint64_t)sense[11] << 16;
    } else if (length > 6 && (sense[0] & 0x80)) {
        reply->has_information = true;
        reply->information = get_be(sense + 3, 4);
    }
}

static void read_registers(smart_reply *reply, const uint8_t *field) {
    reply->has_registers = true;
    reply->ata_error = field[3];
    reply->ata_count = (uint16_t)(field[4] << 8 | field[5]);
    reply->ata_lba = (uint64_t)field[7] | (uint64_t)field[9] << 8 | (uint64_t)field[11] << 16 |
                     (uint64_t)field[6] << 24 | (uint64_t)field[8] << 32 |
                     (uint64_t)field[10] << 40;
    reply->ata_device = field[12];
    reply->ata_status = field[13];
}

static void read_descriptors(smart_reply *reply, bool is_ata) {
    const uint8_t *sense = reply->sense;
    uint32_t length = reply->sense_length;
    reply->sense_key = length > 1 ? sense[1] & 0x0F : 0;
    reply->asc = length > 2 ? sense[2] : 0;
    reply->ascq = length > 3 ? sense[3] : 0;
    uint32_t end = length > 7 ? 8u + sense[7] : 0;
    end = end < length ? end : length;
    for (uint32_t at = 8; at + 2 <= end; at += 2u + sense[at + 1]) {
        uint32_t size = 2u + sense[at + 1];
        if (at + size > end)
            break;
        if (sense[at] == ATA_RETURN && size >= 14 && is_ata)
            read_registers(reply, sense + at);
        else if (sense[at] == INFORMATION && size >= 12 && (sense[at + 2] & 0x80)) {
            reply->has_information = true;
            reply->information = get_be(sense + at + 4, 8);
        }
    }
}

void smart_read_sense(smart_reply *reply, bool is_ata) {
    switch (reply->sense_length > 0 ? reply->sense[0] & 0x7F : 0) {
    case FIXED:
    case FIXED_DEFERRED:
        read_fixed(reply, is_ata);
        break;
    case DESCRIPTORS:
    case DESCRIPTORS_DEFERRED:
        read_descriptors(reply, is_ata);
        break;
    default: /* vendor specific, or nothing */
        break;
    }
}
