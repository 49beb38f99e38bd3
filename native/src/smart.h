/* Health commands for disks: what may be asked, what comes back. Sends and returns bytes; what
 * they mean is decided in Python (appliance/formats).
 *
 * Only the commands of this list can be sent, all of them harmless to data. A disk may answer
 * with anything, late or never: lengths are those of the transfer that really happened, never
 * those that the disk claims. Sources: ACS-4 (ATA), SAT-4 (ATA PASS-THROUGH(16), sense), SPC-5
 * and SBC-4 (SCSI), NVM Express 1.4.
 */
#ifndef HF_SMART_H
#define HF_SMART_H

#include <linux/nvme_ioctl.h>
#include <scsi/sg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SMART_DATA_MAX = 64 << 10,
    SMART_SENSE_MAX = 252,
    SMART_CDB_MAX = 16,
    SMART_REQUEST_BYTES = 24,
    SMART_REPLY_BYTES = 48,
    SMART_TIMEOUT_MAX_MS = 120000,
    SMART_REQUEST_MAGIC = 0x51534648, /* "HFSQ" */
    SMART_REPLY_MAGIC = 0x52534648,   /* "HFSR" */
};

/* The same numbers as in appliance/native/smart.py. */
enum smart_operation {
    ATA_IDENTIFY = 1,
    ATA_SMART_DATA = 2,
    ATA_SMART_THRESHOLDS = 3,
    ATA_SMART_STATUS = 4,
    ATA_SMART_LOG = 5, /* page: log address */
    ATA_LOG_EXT = 6,   /* page: log address, first: page of the log */
    ATA_SELF_TEST = 7, /* page: 1 short, 2 extended, 127 abort */
    ATA_POWER_MODE = 8,
    NVME_IDENTIFY_CONTROLLER = 16,
    NVME_IDENTIFY_NAMESPACE = 17, /* nsid */
    NVME_LOG = 18,                /* page: 1, 2, 3 or 6; nsid */
    NVME_SELF_TEST = 19,          /* page: 1 short, 2 extended, 15 abort; nsid */
    SCSI_INQUIRY = 32,
    SCSI_VITAL_PAGE = 33, /* page: VPD page */
    SCSI_LOG = 34,        /* page, subpage */
    SCSI_SELF_TEST = 35,  /* page: 1 short, 2 extended, 4 abort */
    SCSI_CAPACITY = 36,
    SCSI_MODE = 37, /* page, subpage */
    SCSI_DEFECTS = 38,
    SCSI_READY = 39,
    SCSI_SHORT_CAPACITY = 40,
};

enum smart_result {
    SMART_OK = 0,
    SMART_BAD_REQUEST = 1, /* not one of the commands above, or out of range: nothing was sent */
    SMART_UNSUPPORTED = 2, /* the disk, or its driver, does not know the command */
    SMART_GONE = 3,        /* no disk there (any more) */
    SMART_TIMEOUT = 4,
    SMART_NOT_READY = 5,
    SMART_BUSY = 6,
    SMART_DENIED = 7, /* the kernel does not allow it */
    SMART_FAILED = 8, /* the disk tried and failed: see sense, registers or NVMe status */
};

typedef struct {
    uint16_t operation;
    uint8_t page, subpage;
    uint16_t first;
    uint32_t nsid, length, timeout_ms;
} smart_request;

typedef struct {
    uint32_t result;
    uint32_t os_error; /* errno */
    uint32_t nvme_status;
    uint16_t host_status, driver_status;
    uint8_t scsi_status, sense_key, asc, ascq;
    /* ATA registers, when the disk gave them. */
    bool has_registers;
    uint8_t ata_status, ata_error, ata_device;
    uint16_t ata_count;
    uint64_t ata_lba;
    bool has_information;
    uint64_t information; /* of the sense: the LBA of a medium error */
    uint32_t sense_length, data_length;
    uint8_t sense[SMART_SENSE_MAX];
    uint8_t data[SMART_DATA_MAX];
} smart_reply;

/* How commands reach a disk: ioctls of an open device, or a test's recording of one. Both give
 * what ioctl(2) gives, and set errno. */
typedef struct smart_port smart_port;
struct smart_port {
    int (*scsi)(smart_port *port, sg_io_hdr_t *header);
    int (*nvme)(smart_port *port, struct nvme_admin_cmd *command);
    int fd;
};

/* Sends one request and fills all of `reply`. Never fails otherwise than by reply->result. */
void smart_send(smart_port *port, const smart_request *request, smart_reply *reply);

/* The port of an open block or character device. */
smart_port smart_device_port(int fd);

/* Wire form, little-endian: false for what is no request. */
bool smart_decode_request(const uint8_t bytes[SMART_REQUEST_BYTES], smart_request *request);
void smart_encode_reply(const smart_reply *reply, uint8_t bytes[SMART_REPLY_BYTES]);

/* smart_ata.c, smart_scsi.c: the CDB of a request; gives its length, 0 for no such request. */
typedef struct {
    uint8_t cdb[SMART_CDB_MAX];
    uint32_t length; /* bytes to be read */
    bool wants_registers;
} smart_cdb;
uint8_t ata_cdb(const smart_request *request, smart_cdb *cdb);
uint8_t scsi_cdb(const smart_request *request, smart_cdb *cdb);
void smart_send_scsi(smart_port *port, const smart_request *request, smart_reply *reply);

/* smart_nvme.c */
void smart_send_nvme(smart_port *port, const smart_request *request, smart_reply *reply);

/* smart_sense.c: key, codes, information and registers out of reply->sense, as far as it goes. */
void smart_read_sense(smart_reply *reply, bool is_ata);

uint32_t smart_result_of_errno(int error);

#endif
