/* Preloaded into a program that asks disks: answers its ioctls out of files in HOLDFAST_REPLAY,
 * one for each page, named as appliance/formats/disk_pages.py names them. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/nvme_ioctl.h>
#include <scsi/sg.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PAGE_MAX = 1 << 17 };
static uint8_t page[PAGE_MAX];

/* The bytes of a page, or -1 for one that the disk does not have. */
static long load(const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", getenv("HOLDFAST_REPLAY"), name);
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return -1;
    memset(page, 0, sizeof page);
    long length = (long)fread(page, 1, sizeof page, file);
    fclose(file);
    return length;
}

static int refuse(sg_io_hdr_t *header, int is_ata) {
    static const uint8_t ILLEGAL[] = {0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x24, 0, 0, 0, 0, 0};
    static const uint8_t ABORTED[] = {0x72, 0x0B, 0, 0, 0, 0, 0, 14, 9, 12, 0,
                                      4,    0,    0, 0, 0, 0, 0, 0,  0, 0,  0x51};
    const uint8_t *sense = is_ata ? ABORTED : ILLEGAL;
    size_t length = is_ata ? sizeof ABORTED : sizeof ILLEGAL;
    memcpy(header->sbp, sense, length < header->mx_sb_len ? length : header->mx_sb_len);
    header->sb_len_wr = (unsigned char)length;
    header->status = 2;
    header->masked_status = 1;
    header->driver_status = 8;
    return 0;
}

static int give(sg_io_hdr_t *header, long from, long length, int is_ata) {
    if (length < 0)
        return refuse(header, is_ata);
    long left = length > from ? length - from : 0;
    long wanted = (long)header->dxfer_len;
    memcpy(header->dxferp, page + from, (size_t)(left < wanted ? left : wanted));
    header->resid = (int)(left < wanted ? wanted - left : 0);
    return 0;
}

static int give_registers(sg_io_hdr_t *header, uint8_t count, uint8_t mid, uint8_t high) {
    uint8_t sense[22] = {0x72, 1, 0, 0x1D, 0, 0, 0, 14, 9, 12, 0, 0, 0, count};
    sense[17] = mid;
    sense[19] = high;
    sense[21] = 0x50;
    memcpy(header->sbp, sense, sizeof sense < header->mx_sb_len ? sizeof sense : header->mx_sb_len);
    header->sb_len_wr = sizeof sense;
    header->status = 2;
    header->masked_status = 1;
    header->driver_status = 8;
    return 0;
}

/* ATA PASS-THROUGH (12) and (16). */
static int answer_ata(sg_io_hdr_t *header) {
    const uint8_t *cdb = header->cmdp;
    int is_long = cdb[0] == 0x85;
    uint8_t command = is_long ? cdb[14] : cdb[9], feature = is_long ? cdb[4] : cdb[3];
    uint8_t low = is_long ? cdb[8] : cdb[5];
    char name[32] = "";
    long from = 0;
    if (command == 0xEC)
        snprintf(name, sizeof name, "identify");
    else if (command == 0xE5)
        return give_registers(header, 0xFF, 0, 0);
    else if (command == 0xB0 && feature == 0xD0)
        snprintf(name, sizeof name, "data");
    else if (command == 0xB0 && feature == 0xD1)
        snprintf(name, sizeof name, "thresholds");
    else if (command == 0xB0 && feature == 0xD5)
        snprintf(name, sizeof name, "log-%02x", low);
    else if (command == 0xB0 && feature == 0xDA)
        return load("status") == 2 ? give_registers(header, 0, page[0], page[1])
                                   : refuse(header, 1);
    else if (command == 0x2F) {
        snprintf(name, sizeof name, "gplog-%02x", low);
        from = 512L * (cdb[10] | cdb[9] << 8);
    }
    long length = name[0] ? load(name) : -1;
    if (command == 0x2F && low == 4 && length > 0) /* kept without the pages that are not there */
        for (from = 0; from < length && page[from + 2] != cdb[10]; from += 512)
            ;
    return give(header, from, length, 1);
}

static int answer_mode(sg_io_hdr_t *header, int is_long) {
    char name[32];
    snprintf(name, sizeof name, "mode-%02x", header->cmdp[2] & 0x3F);
    long length = load(name);
    if (length >= 8 && !is_long) { /* the header of MODE SENSE(6) is half as long */
        memmove(page + 4, page + 8, (size_t)length - 8);
        memset(page, 0, 4);
        length -= 4;
        page[0] = (uint8_t)(length - 1);
    }
    return give(header, 0, length, 0);
}

static int answer_scsi(sg_io_hdr_t *header) {
    const uint8_t *cdb = header->cmdp;
    char name[32] = "";
    switch (cdb[0]) {
    case 0x00:
        return 0;
    case 0x03:
        memset(page, 0, 18);
        page[0] = 0x70;
        page[7] = 10;
        return give(header, 0, 18, 0);
    case 0x12:
        snprintf(name, sizeof name, cdb[1] & 1 ? "vpd-%02x" : "inquiry", cdb[2]);
        break;
    case 0x1A:
    case 0x5A:
        return answer_mode(header, cdb[0] == 0x5A);
    case 0x25:
        snprintf(name, sizeof name, "short-capacity");
        break;
    case 0x4D:
        snprintf(name, sizeof name, cdb[3] ? "log-%02x-%02x" : "log-%02x", cdb[2] & 0x3F, cdb[3]);
        break;
    case 0x9E:
        snprintf(name, sizeof name, "capacity");
        break;
    case 0xB7:
        snprintf(name, sizeof name, "defects");
        break;
    case 0x85:
    case 0xA1:
        return answer_ata(header);
    default:
        return refuse(header, 0);
    }
    return give(header, 0, load(name), 0);
}

static int answer_nvme(struct nvme_admin_cmd *command) {
    char name[32] = "";
    if (command->opcode == 0x06)
        snprintf(name, sizeof name, command->cdw10 & 1 ? "controller" : "namespace");
    else if (command->opcode == 0x02)
        snprintf(name, sizeof name, "log-%02x", command->cdw10 & 0xFF);
    long length = name[0] ? load(name) : -1;
    if (length < 0)
        return 0x4002;
    memcpy((void *)(uintptr_t)command->addr, page, command->data_len);
    return 0;
}

int ioctl(int fd, unsigned long request, ...) {
    va_list arguments;
    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    if (getenv("HOLDFAST_REPLAY") == NULL)
        return (int)syscall(SYS_ioctl, fd, request, argument);
    if (request == SG_IO)
        return answer_scsi(argument);
    if (request == NVME_IOCTL_ADMIN_CMD)
        return answer_nvme(argument);
    errno = ENOTTY;
    return -1;
}
