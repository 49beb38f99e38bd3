/* ATA commands inside ATA PASS-THROUGH(16): SAT-4 12.2.2, ACS-4 7. */
#include "smart.h"

#include <string.h>

enum {
    PASS_THROUGH_16 = 0x85,
    NON_DATA = 3 << 1,
    PIO_IN = 4 << 1,
    EXTEND = 1,
    CK_COND = 0x20,
    FROM_DEVICE = 0x08,
    IN_BLOCKS = 0x04,
    LENGTH_IN_COUNT = 0x02,
    SECTOR = 512,
};
enum {
    IDENTIFY_DEVICE = 0xEC,
    READ_LOG_EXT = 0x2F,
    CHECK_POWER_MODE = 0xE5,
    SMART = 0xB0,
    READ_DATA = 0xD0,
    READ_THRESHOLDS = 0xD1,
    EXECUTE_OFFLINE = 0xD4,
    READ_LOG = 0xD5,
    RETURN_STATUS = 0xDA,
    SIGNATURE_MID = 0x4F,
    SIGNATURE_HIGH = 0xC2,
};

static void set_smart(uint8_t *cdb, uint8_t feature, uint8_t lba_low) {
    cdb[4] = feature;
    cdb[8] = lba_low;
    cdb[10] = SIGNATURE_MID;
    cdb[12] = SIGNATURE_HIGH;
    cdb[14] = SMART;
}

static void set_reading(smart_cdb *cdb, uint32_t sectors) {
    cdb->cdb[1] = PIO_IN;
    cdb->cdb[2] = FROM_DEVICE | IN_BLOCKS | LENGTH_IN_COUNT;
    cdb->cdb[5] = (uint8_t)(sectors >> 8);
    cdb->cdb[6] = (uint8_t)sectors;
    cdb->length = sectors * SECTOR;
}

static void set_asking(smart_cdb *cdb) {
    cdb->cdb[1] = NON_DATA;
    cdb->cdb[2] = CK_COND;
    cdb->wants_registers = true;
}

static bool is_self_test(uint8_t code) {
    return code == 1 || code == 2 || code == 127; /* short, extended, abort: none while offline */
}

uint8_t ata_cdb(const smart_request *request, smart_cdb *cdb) {
    uint32_t sectors = request->length / SECTOR;
    bool is_log =
        request->length % SECTOR == 0 && sectors > 0 && sectors <= SMART_DATA_MAX / SECTOR;
    memset(cdb, 0, sizeof *cdb);
    cdb->cdb[0] = PASS_THROUGH_16;
    switch (request->operation) {
    case ATA_IDENTIFY:
        set_reading(cdb, 1);
        cdb->cdb[14] = IDENTIFY_DEVICE;
        return 16;
    case ATA_SMART_DATA:
    case ATA_SMART_THRESHOLDS:
        set_reading(cdb, 1);
        set_smart(cdb->cdb, request->operation == ATA_SMART_DATA ? READ_DATA : READ_THRESHOLDS, 0);
        return 16;
    case ATA_SMART_STATUS:
        set_asking(cdb);
        set_smart(cdb->cdb, RETURN_STATUS, 0);
        return 16;
    case ATA_SMART_LOG:
        if (!is_log)
            return 0;
        set_reading(cdb, sectors);
        set_smart(cdb->cdb, READ_LOG, request->page);
        return 16;
    case ATA_LOG_EXT:
        if (!is_log)
            return 0;
        set_reading(cdb, sectors);
        cdb->cdb[1] |= EXTEND;
        cdb->cdb[8] = request->page;
        cdb->cdb[9] = (uint8_t)(request->first >> 8);
        cdb->cdb[10] = (uint8_t)request->first;
        cdb->cdb[14] = READ_LOG_EXT;
        return 16;
    case ATA_SELF_TEST:
        if (!is_self_test(request->page))
            return 0;
        set_asking(cdb);
        set_smart(cdb->cdb, EXECUTE_OFFLINE, request->page);
        return 16;
    case ATA_POWER_MODE:
        set_asking(cdb);
        cdb->cdb[14] = CHECK_POWER_MODE;
        return 16;
    default:
        return 0;
    }
}
