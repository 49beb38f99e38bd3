/* One request to a port, and the wire form of both. */
#include "internal.h"
#include "smart.h"

#include <errno.h>
#include <sys/ioctl.h>

static int device_scsi(smart_port *port, sg_io_hdr_t *header) {
    return ioctl(port->fd, SG_IO, header);
}

static int device_nvme(smart_port *port, struct nvme_admin_cmd *command) {
    return ioctl(port->fd, NVME_IOCTL_ADMIN_CMD, command);
}

smart_port smart_device_port(int fd) {
    return (smart_port){.scsi = device_scsi, .nvme = device_nvme, .fd = fd};
}

uint32_t smart_result_of_errno(int error) {
    switch (error) {
    case ENODEV:
    case ENXIO:
    case ENOENT:
    case ENOMEDIUM:
        return SMART_GONE;
    case ENOTTY:
    case EINVAL:
    case EOPNOTSUPP:
        return SMART_UNSUPPORTED;
    case EPERM:
    case EACCES:
        return SMART_DENIED;
    case EBUSY:
    case EAGAIN:
        return SMART_BUSY;
    case ETIMEDOUT:
    case ETIME:
    case EINTR: /* the NVMe driver: cancelled after its time */
        return SMART_TIMEOUT;
    default:
        return SMART_FAILED;
    }
}

void smart_send(smart_port *port, const smart_request *request, smart_reply *reply) {
    memset(reply, 0, sizeof *reply);
    if (request->timeout_ms == 0 || request->timeout_ms > SMART_TIMEOUT_MAX_MS)
        reply->result = SMART_BAD_REQUEST;
    else if (request->operation >= NVME_IDENTIFY_CONTROLLER && request->operation < SCSI_INQUIRY)
        smart_send_nvme(port, request, reply);
    else
        smart_send_scsi(port, request, reply);
}

bool smart_decode_request(const uint8_t bytes[SMART_REQUEST_BYTES], smart_request *request) {
    *request = (smart_request){
        .operation = get_u16(bytes + 4),
        .page = bytes[6],
        .subpage = bytes[7],
        .first = get_u16(bytes + 8),
        .nsid = get_u32(bytes + 12),
        .length = get_u32(bytes + 16),
        .timeout_ms = get_u32(bytes + 20),
    };
    return get_u32(bytes) == SMART_REQUEST_MAGIC && get_u16(bytes + 10) == 0;
}

void smart_encode_reply(const smart_reply *reply, uint8_t bytes[SMART_REPLY_BYTES]) {
    memset(bytes, 0, SMART_REPLY_BYTES);
    put_u32(bytes, SMART_REPLY_MAGIC);
    bytes[4] = (uint8_t)reply->result;
    bytes[5] = (uint8_t)(reply->has_registers | reply->has_information << 1);
    put_u16(bytes + 6, (uint16_t)reply->os_error);
    put_u32(bytes + 8, reply->data_length);
    put_u16(bytes + 12, (uint16_t)reply->sense_length);
    put_u16(bytes + 14, (uint16_t)reply->nvme_status);
    put_u16(bytes + 16, reply->host_status);
    put_u16(bytes + 18, reply->driver_status);
    bytes[20] = reply->scsi_status;
    bytes[21] = reply->sense_key;
    bytes[22] = reply->asc;
    bytes[23] = reply->ascq;
    bytes[24] = reply->ata_status;
    bytes[25] = reply->ata_error;
    bytes[26] = reply->ata_device;
    put_u16(bytes + 28, reply->ata_count);
    put_u64(bytes + 32, reply->ata_lba);
    put_u64(bytes + 40, reply->information);
}
