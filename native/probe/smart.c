/* holdfast-smart DEVICE: asks one disk, one request after the other.
 *
 * Requests come on standard input, replies go to standard output: a header of fixed length, the
 * sense, the data (src/smart.h). The process belongs to one disk, so that a disk that never
 * answers holds up nobody else: whoever started it gives up waiting. It can send only what
 * src/smart.h lists, keeps no rights that this does not need, and ends with its parent.
 * Exit: 0 at the end of input, 2 wrong use, 3 the device cannot be opened (the first bytes of
 * output are a reply that says why), 4 input or output broke.
 */
#define _GNU_SOURCE
#include "smart.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool read_all(uint8_t *to, size_t length) {
    for (size_t done = 0; done < length;) {
        ssize_t got = read(STDIN_FILENO, to + done, length - done);
        if (got == 0 || (got < 0 && errno != EINTR))
            return false;
        done += got > 0 ? (size_t)got : 0;
    }
    return true;
}

static bool write_all(const uint8_t *from, size_t length) {
    for (size_t done = 0; done < length;) {
        ssize_t wrote = write(STDOUT_FILENO, from + done, length - done);
        if (wrote < 0 && errno != EINTR)
            return false;
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    return true;
}

static bool write_reply(const smart_reply *reply) {
    uint8_t header[SMART_REPLY_BYTES];
    smart_encode_reply(reply, header);
    return write_all(header, sizeof header) && write_all(reply->sense, reply->sense_length) &&
           write_all(reply->data, reply->data_length);
}

/* SG_IO wants SYS_RAWIO for ATA, the NVMe driver SYS_ADMIN; nothing else is needed any more. */
static void drop_rights(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}}, now[2] = {{0}};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (syscall(SYS_capget, &header, now) != 0)
        return;
    uint32_t wanted = 1u << CAP_SYS_RAWIO | 1u << CAP_SYS_ADMIN;
    data[0].effective = data[0].permitted = now[0].permitted & wanted;
    syscall(SYS_capset, &header, data);
}

static int open_device(const char *path, smart_reply *reply) {
    struct stat status;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &status) == 0 && (S_ISBLK(status.st_mode) || S_ISCHR(status.st_mode)))
        return fd;
    reply->os_error = (uint32_t)(fd >= 0 ? ENOTTY : errno);
    reply->result = smart_result_of_errno((int)reply->os_error);
    if (fd >= 0)
        close(fd);
    return -1;
}

int main(int count, char **arguments) {
    static smart_reply reply;
    uint8_t bytes[SMART_REQUEST_BYTES];
    if (count != 2)
        return 2;
    signal(SIGPIPE, SIG_IGN);
    int fd = open_device(arguments[1], &reply);
    if (fd < 0) {
        write_reply(&reply);
        return 3;
    }
    drop_rights();
    smart_port port = smart_device_port(fd);
    while (read_all(bytes, sizeof bytes)) {
        smart_request request;
        if (smart_decode_request(bytes, &request))
            smart_send(&port, &request, &reply);
        else
            reply = (smart_reply){.result = SMART_BAD_REQUEST};
        if (!write_reply(&reply))
            return 4;
    }
    return 0;
}
