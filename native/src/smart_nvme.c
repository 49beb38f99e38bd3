/* NVMe admin commands: NVM Express 1.4, 5. */
#include "smart.h"

#include <errno.h>
#include <string.h>

enum { GET_LOG_PAGE = 0x02, IDENTIFY = 0x06, DEVICE_SELF_TEST = 0x14 };
enum { OF_NAMESPACE = 0, OF_CONTROLLER = 1, IDENTIFY_BYTES = 4096 };
/* Status codes of type 0 and 1 that mean: not this command, not this page. */
enum {
    INVALID_OPCODE = 0x001,
    INVALID_FIELD = 0x002,
    INVALID_NAMESPACE = 0x00B,
    INVALID_LOG_PAGE = 0x109,
    STATUS_MASK = 0x7FF,
};

static bool is_log_page(uint8_t page) { return page == 1 || page == 2 || page == 3 || page == 6; }

static bool build(const smart_request *request, struct nvme_admin_cmd *command) {
    command->nsid = request->nsid;
    switch (request->operation) {
    case NVME_IDENTIFY_CONTROLLER:
    case NVME_IDENTIFY_NAMESPACE:
        command->opcode = IDENTIFY;
        command->data_len = IDENTIFY_BYTES;
        command->cdw10 =
            request->operation == NVME_IDENTIFY_CONTROLLER ? OF_CONTROLLER : OF_NAMESPACE;
        if (request->operation == NVME_IDENTIFY_CONTROLLER)
            command->nsid = 0;
        return true;
    case NVME_LOG:
        if (!is_log_page(request->page) || request->length == 0 || request->length % 4 != 0 ||
            request->length > SMART_DATA_MAX)
            return false;
        command->opcode = GET_LOG_PAGE;
        command->data_len = request->length;
        command->cdw10 = (request->length / 4 - 1) << 16 | request->page;
        return true;
    case NVME_SELF_TEST:
        command->opcode = DEVICE_SELF_TEST;
        command->cdw10 = request->page;
        return request->page == 1 || request->page == 2 || request->page == 15;
    default:
        return false;
    }
}

static uint32_t result_of_status(uint32_t status) {
    switch (status & STATUS_MASK) {
    case 0:
        return SMART_OK;
    case INVALID_OPCODE:
    case INVALID_FIELD:
    case INVALID_NAMESPACE:
    case INVALID_LOG_PAGE:
        return SMART_UNSUPPORTED;
    default:
        return SMART_FAILED;
    }
}

void smart_send_nvme(smart_port *port, const smart_request *request, smart_reply *reply) {
    struct nvme_admin_cmd command = {.timeout_ms = request->timeout_ms};
    if (!build(request, &command)) {
        reply->result = SMART_BAD_REQUEST;
        return;
    }
    if (command.data_len > 0)
        command.addr = (uint64_t)(uintptr_t)reply->data;
    int status = port->nvme(port, &command);
    if (status < 0) {
        reply->os_error = (uint32_t)errno;
        reply->result = smart_result_of_errno(errno);
        return;
    }
    reply->nvme_status = (uint32_t)status;
    reply->result = result_of_status((uint32_t)status);
    reply->data_length = reply->result == SMART_OK ? command.data_len : 0;
}
