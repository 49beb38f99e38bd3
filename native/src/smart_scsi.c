/* SCSI commands, and the way of all SG_IO: SPC-5 6, SBC-4 5. */
#include "smart.h"

#include <errno.h>
#include <string.h>

enum {
    TEST_UNIT_READY = 0x00,
    INQUIRY = 0x12,
    SEND_DIAGNOSTIC = 0x1D,
    READ_CAPACITY_10 = 0x25,
    LOG_SENSE = 0x4D,
    MODE_SENSE_10 = 0x5A,
    SERVICE_ACTION_IN_16 = 0x9E,
    READ_CAPACITY_16 = 0x10,
    READ_DEFECT_DATA_12 = 0xB7,
    CUMULATIVE_VALUES = 0x40,
    NO_BLOCK_DESCRIPTORS = 0x08,
    GROWN_LIST = 0x08 | 4 /* as bytes from index: 8 bytes each */,
};
enum { CHECK_CONDITION = 2, BUSY = 8, RESERVATION_CONFLICT = 0x18, TASK_SET_FULL = 0x28 };
enum {
    HOST_NO_CONNECT = 1,
    HOST_BUS_BUSY = 2,
    HOST_TIME_OUT = 3,
    HOST_BAD_TARGET = 4,
    DRIVER_TIMEOUT = 6,
    ATTENTIONS = 3, /* resets and mode changes that are reported before the command is done */
};
enum {
    KEY_NONE = 0,
    KEY_RECOVERED = 1,
    KEY_NOT_READY = 2,
    KEY_ILLEGAL = 5,
    KEY_ATTENTION = 6,
    KEY_ABORTED = 11,
};

static void set_be16(uint8_t *to, uint32_t value) {
    to[0] = (uint8_t)(value >> 8);
    to[1] = (uint8_t)value;
}

static uint8_t reading_cdb(const smart_request *request, smart_cdb *cdb) {
    uint8_t *bytes = cdb->cdb;
    cdb->length = request->length;
    if (request->length == 0 || request->length > UINT16_MAX)
        return 0;
    switch (request->operation) {
    case SCSI_INQUIRY:
    case SCSI_VITAL_PAGE:
        bytes[0] = INQUIRY;
        bytes[1] = request->operation == SCSI_VITAL_PAGE;
        bytes[2] = request->operation == SCSI_VITAL_PAGE ? request->page : 0;
        set_be16(bytes + 3, request->length);
        return 6;
    case SCSI_LOG:
        bytes[0] = LOG_SENSE;
        bytes[2] = (uint8_t)(CUMULATIVE_VALUES | (request->page & 0x3F));
        bytes[3] = request->subpage;
        set_be16(bytes + 7, request->length);
        return 10;
    case SCSI_MODE:
        bytes[0] = MODE_SENSE_10;
        bytes[1] = NO_BLOCK_DESCRIPTORS;
        bytes[2] = request->page & 0x3F;
        bytes[3] = request->subpage;
        set_be16(bytes + 7, request->length);
        return 10;
    case SCSI_CAPACITY:
        bytes[0] = SERVICE_ACTION_IN_16;
        bytes[1] = READ_CAPACITY_16;
        set_be16(bytes + 12, request->length);
        return 16;
    case SCSI_SHORT_CAPACITY:
        bytes[0] = READ_CAPACITY_10;
        cdb->length = 8;
        return 10;
    case SCSI_DEFECTS:
        bytes[0] = READ_DEFECT_DATA_12;
        bytes[1] = GROWN_LIST;
        set_be16(bytes + 8, request->length);
        return 12;
    default:
        return 0;
    }
}

uint8_t scsi_cdb(const smart_request *request, smart_cdb *cdb) {
    memset(cdb, 0, sizeof *cdb);
    if (request->operation == SCSI_READY)
        return 6;
    if (request->operation == SCSI_SELF_TEST) {
        if (request->page != 1 && request->page != 2 && request->page != 4)
            return 0;
        cdb->cdb[0] = SEND_DIAGNOSTIC;
        cdb->cdb[1] = (uint8_t)(request->page << 5); /* in the background */
        return 6;
    }
    return reading_cdb(request, cdb);
}

static uint32_t result_of_sense(const smart_reply *reply, bool is_ata) {
    switch (reply->sense_key) {
    case KEY_NONE:
    case KEY_RECOVERED:
        return SMART_OK;
    case KEY_NOT_READY:
        return SMART_NOT_READY;
    case KEY_ILLEGAL:
        return SMART_UNSUPPORTED;
    case KEY_ABORTED: /* how a disk refuses an ATA command */
        return is_ata ? SMART_UNSUPPORTED : SMART_FAILED;
    default:
        return SMART_FAILED;
    }
}

static uint32_t judge(const smart_reply *reply, bool is_ata) {
    switch (reply->host_status) {
    case 0:
        break;
    case HOST_NO_CONNECT:
    case HOST_BAD_TARGET:
        return SMART_GONE;
    case HOST_BUS_BUSY:
        return SMART_BUSY;
    case HOST_TIME_OUT:
        return SMART_TIMEOUT;
    default:
        return SMART_FAILED;
    }
    if ((reply->driver_status & 0x0F) == DRIVER_TIMEOUT)
        return SMART_TIMEOUT;
    switch (reply->scsi_status & 0x3E) {
    case 0:
        return SMART_OK;
    case CHECK_CONDITION:
        return result_of_sense(reply, is_ata);
    case BUSY:
    case RESERVATION_CONFLICT:
    case TASK_SET_FULL:
        return SMART_BUSY;
    default:
        return SMART_FAILED;
    }
}

static void send_once(smart_port *port, smart_cdb *cdb, uint8_t cdb_length, uint32_t timeout_ms,
                      smart_reply *reply, bool is_ata) {
    memset(reply, 0, sizeof *reply);
    sg_io_hdr_t header = {
        .interface_id = 'S',
        .dxfer_direction = cdb->length ? SG_DXFER_FROM_DEV : SG_DXFER_NONE,
        .cmd_len = cdb_length,
        .mx_sb_len = SMART_SENSE_MAX,
        .dxfer_len = cdb->length,
        .dxferp = reply->data,
        .cmdp = cdb->cdb,
        .sbp = reply->sense,
        .timeout = timeout_ms,
    };
    if (port->scsi(port, &header) < 0) {
        reply->os_error = (uint32_t)errno;
        reply->result = smart_result_of_errno(errno);
        return;
    }
    reply->host_status = header.host_status;
    reply->driver_status = header.driver_status;
    reply->scsi_status = header.status;
    reply->sense_length = header.sb_len_wr <= SMART_SENSE_MAX ? header.sb_len_wr : SMART_SENSE_MAX;
    smart_read_sense(reply, is_ata);
    reply->result = judge(reply, is_ata);
    bool has_data = reply->result == SMART_OK && header.resid <= (int64_t)cdb->length;
    reply->data_length = has_data && header.resid > 0 ? cdb->length - (uint32_t)header.resid
                         : has_data                   ? cdb->length
                                                      : 0;
}

void smart_send_scsi(smart_port *port, const smart_request *request, smart_reply *reply) {
    smart_cdb cdb;
    bool is_ata = request->operation < NVME_IDENTIFY_CONTROLLER;
    uint8_t cdb_length = is_ata ? ata_cdb(request, &cdb) : scsi_cdb(request, &cdb);
    if (cdb_length == 0) {
        reply->result = SMART_BAD_REQUEST;
        return;
    }
    for (int attempt = 0; attempt < ATTENTIONS; attempt++) {
        send_once(port, &cdb, cdb_length, request->timeout_ms, reply, is_ata);
        if (reply->result != SMART_FAILED || reply->sense_key != KEY_ATTENTION)
            break;
    }
    if (cdb.wants_registers && reply->result == SMART_OK && !reply->has_registers)
        reply->result = SMART_UNSUPPORTED; /* a bridge that drops what was asked for */
}
