/* Commands for disks, through a port that answers like a disk, or like none. */
#include "check.h"
#include "smart.h"

#include <errno.h>

/* One recorded answer, and what was asked. */
typedef struct {
    smart_port port;
    uint8_t cdb[SMART_CDB_MAX];
    struct nvme_admin_cmd command;
    int answer, os_error, calls;
    uint8_t status;
    uint16_t host_status;
    int32_t resid;
    uint8_t sense[SMART_SENSE_MAX], sense_length;
    int attentions; /* answers that are a unit attention, before the recorded one */
    chance *chance; /* answers of chance instead */
} recorded;

static const uint8_t ATTENTION[] = {0x70, 0, 6, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x29, 0, 0, 0, 0, 0};

static int answer_by_chance(recorded *port, sg_io_hdr_t *header) {
    chance *chance = port->chance;
    if (chance_below(chance, 8) == 0) {
        errno = (int)chance_below(chance, 130);
        return -1;
    }
    static const uint8_t FORMS[] = {0x70, 0x71, 0x72, 0x73, 0xF0, 0xF2};
    chance_fill(chance, header->dxferp, header->dxfer_len < 64 ? header->dxfer_len : 64);
    chance_fill(chance, header->sbp, header->mx_sb_len);
    if (chance_below(chance, 8) != 0)
        header->sbp[0] = FORMS[chance_below(chance, 6)];
    if (chance_below(chance, 2) == 0)
        header->sbp[chance_below(chance, 2) == 0 ? 8 : 22] = (uint8_t)(chance_below(chance, 2) * 9);
    header->sb_len_wr = (uint8_t)chance_next(chance);
    uint8_t statuses[] = {0, 0, 2, (uint8_t)chance_next(chance)};
    header->status = statuses[chance_below(chance, 4)];
    header->host_status = (uint16_t)(chance_below(chance, 4) == 0 ? chance_below(chance, 20) : 0);
    header->driver_status = (uint16_t)(chance_below(chance, 4) == 0 ? chance_next(chance) : 8);
    header->resid = chance_below(chance, 2) == 0 ? 0 : (int)chance_next(chance);
    return 0;
}

static int answer_scsi(smart_port *port, sg_io_hdr_t *header) {
    recorded *disk = (recorded *)port;
    disk->calls++;
    memcpy(disk->cdb, header->cmdp, header->cmd_len);
    if (disk->chance != NULL)
        return answer_by_chance(disk, header);
    errno = disk->os_error;
    bool is_attention = disk->attentions-- > 0;
    const uint8_t *sense = is_attention ? ATTENTION : disk->sense;
    header->sb_len_wr = is_attention ? sizeof ATTENTION : disk->sense_length;
    memcpy(header->sbp, sense, header->sb_len_wr);
    memset(header->dxferp, 0x5A, header->dxfer_len);
    header->status = is_attention ? 2 : disk->status;
    header->host_status = disk->host_status;
    header->resid = disk->resid;
    return disk->answer;
}

static int answer_nvme(smart_port *port, struct nvme_admin_cmd *command) {
    recorded *disk = (recorded *)port;
    disk->calls++;
    disk->command = *command;
    if (disk->chance != NULL) {
        errno = (int)chance_below(disk->chance, 130);
        chance_fill(disk->chance, (uint8_t *)(uintptr_t)command->addr,
                    command->data_len < 64 ? command->data_len : 64);
        int status = (int)chance_below(disk->chance, 0x8000) - 4;
        return chance_below(disk->chance, 4) == 0 ? 0 : status;
    }
    errno = disk->os_error;
    return disk->answer;
}

static recorded disk_with(const uint8_t *sense, uint8_t length) {
    recorded disk = {.port = {.scsi = answer_scsi, .nvme = answer_nvme},
                     .status = length > 0 ? 2 : 0,
                     .sense_length = length};
    memcpy(disk.sense, sense, length);
    return disk;
}

static smart_reply *ask(recorded *disk, smart_request request) {
    static smart_reply reply;
    request.timeout_ms = request.timeout_ms ? request.timeout_ms : 1000;
    smart_send(&disk->port, &request, &reply);
    return &reply;
}

static void commands_have_the_bytes_of_the_standards(void) {
    static const struct {
        smart_request request;
        uint8_t cdb[16];
    } CASES[] = {
        {{.operation = ATA_IDENTIFY}, {0x85, 8, 0x0E, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xEC}},
        {{.operation = ATA_SMART_DATA},
         {0x85, 8, 0x0E, 0, 0xD0, 0, 1, 0, 0, 0, 0x4F, 0, 0xC2, 0, 0xB0}},
        {{.operation = ATA_SMART_THRESHOLDS},
         {0x85, 8, 0x0E, 0, 0xD1, 0, 1, 0, 0, 0, 0x4F, 0, 0xC2, 0, 0xB0}},
        {{.operation = ATA_SMART_LOG, .page = 6, .length = 512},
         {0x85, 8, 0x0E, 0, 0xD5, 0, 1, 0, 6, 0, 0x4F, 0, 0xC2, 0, 0xB0}},
        {{.operation = ATA_LOG_EXT, .page = 4, .first = 0x105, .length = 1024},
         {0x85, 9, 0x0E, 0, 0, 0, 2, 0, 4, 1, 5, 0, 0, 0, 0x2F}},
        {{.operation = SCSI_INQUIRY, .length = 96}, {0x12, 0, 0, 0, 96}},
        {{.operation = SCSI_VITAL_PAGE, .page = 0xB1, .length = 512}, {0x12, 1, 0xB1, 2, 0}},
        {{.operation = SCSI_LOG, .page = 0x2F, .subpage = 1, .length = 0x1234},
         {0x4D, 0, 0x6F, 1, 0, 0, 0, 0x12, 0x34}},
        {{.operation = SCSI_SELF_TEST, .page = 2}, {0x1D, 0x40}},
        {{.operation = SCSI_DEFECTS, .length = 8}, {0xB7, 12, 0, 0, 0, 0, 0, 0, 0, 8}},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        recorded disk = disk_with(ATTENTION, 0);
        CHECK(ask(&disk, CASES[i].request)->result == SMART_OK);
        CHECK(memcmp(disk.cdb, CASES[i].cdb, 16) == 0);
    }
    recorded disk = disk_with(ATTENTION, 0);
    ask(&disk,
        (smart_request){.operation = NVME_LOG, .page = 2, .nsid = UINT32_MAX, .length = 512});
    CHECK(disk.command.opcode == 2 && disk.command.cdw10 == (127u << 16 | 2));
    CHECK(disk.command.nsid == UINT32_MAX && disk.command.data_len == 512);
}

static void only_harmless_commands_are_sent(void) {
    recorded disk = disk_with(ATTENTION, 0);
    for (uint32_t operation = 0; operation <= UINT16_MAX; operation++)
        for (uint32_t page = 0; page < (operation < 64 ? 256 : 1); page++) {
            ask(&disk, (smart_request){
                           .operation = (uint16_t)operation, .page = (uint8_t)page, .length = 512});
            uint8_t ata = disk.cdb[0] == 0x85 ? disk.cdb[14] : 0xEC;
            CHECK(ata == 0xEC || ata == 0xB0 || ata == 0x2F || ata == 0xE5);
            uint8_t feature = ata == 0xB0 && disk.cdb[0] == 0x85 ? disk.cdb[4] : 0xD0;
            CHECK(feature == 0xD0 || feature == 0xD1 || feature == 0xD4 || feature == 0xD5 ||
                  feature == 0xDA);
            static const uint8_t SCSI[] = "\x85\x00\x12\x1D\x25\x4D\x5A\x9E\xB7";
            CHECK(memchr(SCSI, disk.cdb[0], 9) != NULL);
            uint8_t nvme = disk.command.opcode;
            CHECK(nvme == 0 || nvme == 2 || nvme == 6 || nvme == 0x14);
        }
    int before = disk.calls;
    ask(&disk, (smart_request){.operation = ATA_SMART_LOG, .page = 6, .length = 500});
    ask(&disk, (smart_request){.operation = ATA_SELF_TEST, .page = 4});
    ask(&disk, (smart_request){.operation = NVME_LOG, .page = 2, .length = SMART_DATA_MAX + 4});
    ask(&disk, (smart_request){.operation = ATA_IDENTIFY, .timeout_ms = UINT32_MAX});
    CHECK(disk.calls == before);
}

static void registers_come_in_both_forms_of_sense(void) {
    static const uint8_t DESCRIPTOR[] = {0x72, 1, 0, 0x1D, 0, 0, 0,    14, 9,    12,   0,
                                         0x04, 0, 0, 0,    0, 0, 0xF4, 0,  0x2C, 0xE0, 0x50};
    static const uint8_t FIXED[] = {0x70, 0,    1,    4, 0x50, 0xE0, 0, 10, 0,
                                    0,    0xF4, 0x2C, 0, 0x1D, 0,    0, 0,  0};
    const struct {
        const uint8_t *bytes;
        uint8_t length;
    } forms[] = {{DESCRIPTOR, sizeof DESCRIPTOR}, {FIXED, sizeof FIXED}};
    for (int i = 0; i < 2; i++) {
        recorded disk = disk_with(forms[i].bytes, forms[i].length);
        smart_reply *reply = ask(&disk, (smart_request){.operation = ATA_SMART_STATUS});
        CHECK(reply->result == SMART_OK && reply->has_registers && reply->sense_key == 1);
        CHECK(reply->ata_lba == 0x2CF400 && reply->ata_status == 0x50 && reply->ata_error == 4);
        for (uint8_t length = 0; length < forms[i].length; length++) { /* cut short anywhere */
            disk.sense_length = length;
            reply = ask(&disk, (smart_request){.operation = ATA_SMART_STATUS});
            CHECK(length >= 14 || reply->result != SMART_OK || !reply->has_registers);
        }
    }
    recorded bridge = disk_with(ATTENTION, 0);
    CHECK(ask(&bridge, (smart_request){.operation = ATA_SMART_STATUS})->result ==
          SMART_UNSUPPORTED);
}

static void a_medium_error_names_its_block(void) {
    static const uint8_t FIXED[] = {0xF0, 0, 3, 0, 0, 0x12, 0x34, 10, 0, 0, 0, 0, 0x11, 0};
    recorded disk = disk_with(FIXED, sizeof FIXED);
    smart_reply *reply = ask(&disk, (smart_request){.operation = SCSI_READY});
    CHECK(reply->result == SMART_FAILED && reply->has_information);
    CHECK(reply->information == 0x1234 && reply->asc == 0x11);
}

static void every_way_to_fail_has_a_name(void) {
    static const struct {
        int os_error;
        uint32_t result;
    } ERRORS[] = {{ENODEV, SMART_GONE}, {ENOTTY, SMART_UNSUPPORTED}, {EPERM, SMART_DENIED},
                  {EBUSY, SMART_BUSY},  {ETIMEDOUT, SMART_TIMEOUT},  {EIO, SMART_FAILED}};
    recorded disk = disk_with(ATTENTION, 0);
    disk.answer = -1;
    for (size_t i = 0; i < sizeof ERRORS / sizeof *ERRORS; i++) {
        disk.os_error = ERRORS[i].os_error;
        CHECK(ask(&disk, (smart_request){.operation = ATA_IDENTIFY})->result == ERRORS[i].result);
        smart_reply *reply = ask(&disk, (smart_request){.operation = NVME_IDENTIFY_CONTROLLER});
        CHECK(reply->result == ERRORS[i].result && reply->data_length == 0);
    }
    disk.answer = 0;
    disk.host_status = 1;
    CHECK(ask(&disk, (smart_request){.operation = SCSI_READY})->result == SMART_GONE);
    disk.host_status = 3;
    CHECK(ask(&disk, (smart_request){.operation = SCSI_READY})->result == SMART_TIMEOUT);
    disk.host_status = 0;
    disk.status = 8;
    CHECK(ask(&disk, (smart_request){.operation = SCSI_READY})->result == SMART_BUSY);
    disk.answer = 0x4109; /* with the "do not retry" bit */
    smart_reply *reply =
        ask(&disk, (smart_request){.operation = NVME_LOG, .page = 6, .length = 564});
    CHECK(reply->result == SMART_UNSUPPORTED && reply->nvme_status == 0x4109);
}

static void a_short_reply_is_as_long_as_it_was(void) {
    static const struct {
        int32_t resid;
        uint32_t length;
    } CASES[] = {{0, 512}, {12, 500}, {512, 0}, {513, 0}, {INT32_MAX, 0}, {-5, 512}};
    recorded disk = disk_with(ATTENTION, 0);
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        disk.resid = CASES[i].resid;
        CHECK(ask(&disk, (smart_request){.operation = ATA_IDENTIFY})->data_length ==
              CASES[i].length);
    }
}

static void an_attention_is_asked_again_but_not_for_ever(void) {
    recorded disk = disk_with(ATTENTION, 0);
    disk.attentions = 2;
    CHECK(ask(&disk, (smart_request){.operation = SCSI_READY})->result == SMART_OK);
    disk.attentions = 1000;
    disk.calls = 0;
    CHECK(ask(&disk, (smart_request){.operation = SCSI_READY})->result == SMART_FAILED);
    CHECK(disk.calls == 3);
}

static void garbage_from_disks_and_callers_is_survived(void) {
    chance chance = {fuzz_seed()};
    printf("HF_FUZZ_SEED=%llu ... ", (unsigned long long)chance.state);
    recorded disk = disk_with(ATTENTION, 0);
    disk.chance = &chance;
    smart_reply *reply = malloc(sizeof *reply);
    CHECK(reply != NULL);
    uint64_t answered = 0;
    for (uint64_t i = 0; i < fuzz_count(); i++) {
        uint8_t bytes[SMART_REQUEST_BYTES], header[SMART_REPLY_BYTES];
        smart_request request;
        chance_fill(&chance, bytes, sizeof bytes);
        put_u32(bytes, SMART_REQUEST_MAGIC);
        put_u16(bytes + 4, (uint16_t)chance_below(&chance, 48));
        put_u16(bytes + 10, 0);
        if (chance_below(&chance, 4) != 0) {
            put_u32(bytes + 16, 512 * chance_below(&chance, 3));
            put_u32(bytes + 20, 1 + chance_below(&chance, SMART_TIMEOUT_MAX_MS));
        }
        CHECK(smart_decode_request(bytes, &request));
        smart_send(&disk.port, &request, reply);
        CHECK(reply->result <= SMART_FAILED && reply->data_length <= SMART_DATA_MAX);
        CHECK(reply->sense_length <= SMART_SENSE_MAX);
        smart_encode_reply(reply, header);
        answered += reply->data_length > 0;
    }
    printf("%llu with data ... ", (unsigned long long)answered);
    CHECK(answered > fuzz_count() / 100);
    free(reply);
}

const test SMART_TESTS[] = {
    {"smart: commands have the bytes of the standards", commands_have_the_bytes_of_the_standards},
    {"smart: only harmless commands are sent", only_harmless_commands_are_sent},
    {"smart: registers come in both forms of sense", registers_come_in_both_forms_of_sense},
    {"smart: a medium error names its block", a_medium_error_names_its_block},
    {"smart: every way to fail has a name", every_way_to_fail_has_a_name},
    {"smart: a short reply is as long as it was", a_short_reply_is_as_long_as_it_was},
    {"smart: an attention is asked again, but not for ever",
     an_attention_is_asked_again_but_not_for_ever},
    {"fuzz: mutated disks are survived", garbage_from_disks_and_callers_is_survived},
    {NULL, NULL},
};
