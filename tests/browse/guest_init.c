/* The guest's only program: loads modules, does what /script says line by line, switches off.
 *
 *   mount SOURCE DIRECTORY TYPE     and unmount DIRECTORY
 *   text PATH WORDS...              a file of one line
 *   pattern PATH BYTES SEED         a file of bytes that the host can make too
 *   anything else                   a program and its arguments
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORDS_MAX 32

static int write_pattern(const char *path, unsigned long count, uint32_t seed) {
    FILE *file = fopen(path, "w");
    if (file == NULL)
        return 1;
    for (unsigned long at = 0; at < count; at++) {
        seed = seed * 1664525u + 1013904223u;
        putc((int)(seed >> 24), file);
    }
    return fclose(file);
}

static int write_text(const char *path, char **words, int count) {
    FILE *file = fopen(path, "w");
    if (file == NULL)
        return 1;
    for (int number = 0; number < count; number++)
        fprintf(file, "%s%c", words[number], number + 1 < count ? ' ' : '\n');
    return fclose(file);
}

static int run(char **words) {
    pid_t child = fork();
    if (child == 0) {
        execv(words[0], words);
        _exit(127);
    }
    int status = 1;
    waitpid(child, &status, 0);
    return status;
}

static int load(const char *name) {
    char path[512];
    snprintf(path, sizeof path, "/modules/%s", name);
    int fd = open(path, O_RDONLY);
    long result = fd < 0 ? -1 : syscall(SYS_finit_module, fd, "", 0);
    close(fd);
    return result == 0 ? 0 : 1;
}

static int perform(char **words, int count) {
    if (strcmp(words[0], "load") == 0)
        return load(words[1]);
    if (strcmp(words[0], "mount") == 0 && count == 4) {
        mkdir(words[2], 0755);
        return mount(words[1], words[2], words[3], 0, "");
    }
    if (strcmp(words[0], "unmount") == 0)
        return umount(words[1]);
    if (strcmp(words[0], "directory") == 0)
        return mkdir(words[1], 0755);
    if (strcmp(words[0], "text") == 0)
        return write_text(words[1], words + 2, count - 2);
    if (strcmp(words[0], "pattern") == 0 && count == 4)
        return write_pattern(words[1], strtoul(words[2], NULL, 10),
                             (uint32_t)strtoul(words[3], NULL, 10));
    return run(words);
}

int main(void) {
    char line[1024];
    mkdir("/proc", 0755), mount("proc", "/proc", "proc", 0, "");
    mkdir("/sys", 0755), mount("sysfs", "/sys", "sysfs", 0, "");
    mkdir("/dev", 0755), mount("devtmpfs", "/dev", "devtmpfs", 0, "");
    mkdir("/run", 0755), mkdir("/tmp", 0755);
    setenv("DM_DISABLE_UDEV", "1", 1);
    setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin", 1);
    FILE *script = fopen("/script", "r");
    int failed = script == NULL;
    while (!failed && fgets(line, sizeof line, script) != NULL) {
        char *words[WORDS_MAX + 1], *rest = NULL, shown[1024];
        int count = 0;
        strcpy(shown, line);
        for (char *word = strtok_r(line, " \n", &rest); word != NULL && count < WORDS_MAX;
             word = strtok_r(NULL, " \n", &rest))
            words[count++] = word;
        words[count] = NULL;
        if (count > 0 && perform(words, count) != 0) {
            printf("FAILED %s", shown);
            failed = 1;
        }
    }
    printf(failed ? "\n" : "DONE\n");
    fflush(stdout);
    sync();
    reboot(RB_POWER_OFF);
}
