/* A stand-in of libnvidia-ml.so.1: the functions that are asked of the driver, answered from the environment.
 *
 * ENGINERY_TEST_GPUS    "name|uuid|MiB|major.minor" a GPU, separated by ";"
 * ENGINERY_TEST_READINGS  "MiB in use|throttle reasons|MIG mode|pid:MiB,pid:MiB" a GPU, in the same order; where it is
 *                       not set, these questions are not supported
 * ENGINERY_TEST_DRIVER  version of the driver; "broken" makes the library refuse to start, as one does whose
 *                       kernel module is not loaded
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, DRIVER_NOT_LOADED = 9 };

static char rows[16][256];
static int count;

static int field(void *device, int index, char *out, unsigned length) {
    char row[256], *rest = row, *value = NULL;
    strcpy(row, rows[(long)device - 1]);
    for (int i = 0; i <= index; i++) value = strsep(&rest, "|");
    if (value == NULL) return NOT_FOUND;
    snprintf(out, length, "%s", value);
    return SUCCESS;
}

int nvmlInitWithFlags(unsigned flags) {
    char all[4096], *rest = all, *row;
    if (strcmp(getenv("ENGINERY_TEST_DRIVER"), "broken") == 0) return DRIVER_NOT_LOADED;
    snprintf(all, sizeof all, "%s", getenv("ENGINERY_TEST_GPUS"));
    for (count = 0; (row = strsep(&rest, ";")) != NULL && *row;) snprintf(rows[count++], 256, "%s", row);
    return SUCCESS;
}

int nvmlShutdown(void) { return SUCCESS; }

const char *nvmlErrorString(int code) { return code == DRIVER_NOT_LOADED ? "Driver Not Loaded" : "Not Found"; }

int nvmlSystemGetDriverVersion(char *out, unsigned length) {
    snprintf(out, length, "%s", getenv("ENGINERY_TEST_DRIVER"));
    return SUCCESS;
}

int nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = 13000; return SUCCESS; }

int nvmlDeviceGetCount_v2(unsigned *out) { *out = count; return SUCCESS; }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    *device = (void *)(long)(index + 1);
    return SUCCESS;
}

int nvmlDeviceGetName(void *device, char *out, unsigned length) { return field(device, 0, out, length); }

int nvmlDeviceGetUUID(void *device, char *out, unsigned length) { return field(device, 1, out, length); }

int nvmlDeviceGetMemoryInfo(void *device, unsigned long long *total_free_used) {
    char mib[32];
    int code = field(device, 2, mib, sizeof mib);
    total_free_used[0] = strtoull(mib, NULL, 10) << 20;
    return code == SUCCESS && total_free_used[0] == 0 ? NOT_SUPPORTED : code;
}

int nvmlDeviceGetCudaComputeCapability(void *device, int *major, int *minor) {
    char version[32];
    int code = field(device, 3, version, sizeof version);
    sscanf(version, "%d.%d", major, minor);
    return code;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) {
    char own[256];
    for (long i = 0; i < count; i++)
        if (field((void *)(i + 1), 1, own, sizeof own) == SUCCESS && strcmp(own, uuid) == 0) {
            *device = (void *)(i + 1);
            return SUCCESS;
        }
    return NOT_FOUND;
}

static int reading(void *device, int index, char *out, unsigned length) {
    const char *told = getenv("ENGINERY_TEST_READINGS");
    char all[4096], *rest = all, *row = NULL, *value = NULL;
    if (told == NULL) return NOT_SUPPORTED;
    snprintf(all, sizeof all, "%s", told);
    for (long i = 0; i < (long)device; i++) row = strsep(&rest, ";");
    for (int i = 0; i <= index; i++) value = strsep(&row, "|");
    if (value == NULL || *value == '\0') return NOT_SUPPORTED;
    snprintf(out, length, "%s", value);
    return SUCCESS;
}

struct memory_v2 { unsigned version; unsigned long long total, reserved, free, used; };

int nvmlDeviceGetMemoryInfo_v2(void *device, struct memory_v2 *memory) {
    char mib[32];
    int code = reading(device, 0, mib, sizeof mib);
    memory->used = strtoull(mib, NULL, 10) << 20;
    return code;
}

int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *reasons) {
    char bits[32];
    int code = reading(device, 1, bits, sizeof bits);
    *reasons = strtoull(bits, NULL, 16);
    return code;
}

int nvmlDeviceGetMigMode(void *device, unsigned *current, unsigned *pending) {
    char mode[32];
    int code = reading(device, 2, mode, sizeof mode);
    *current = *pending = strtoul(mode, NULL, 10);
    return code;
}

struct process { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; };

int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned *size, struct process *found) {
    char all[1024], *rest = all, *one;
    unsigned room = *size;
    int code = reading(device, 3, all, sizeof all);
    if (code != SUCCESS) return code;
    for (*size = 0; (one = strsep(&rest, ",")) != NULL && *one; (*size)++) {
        if (*size >= room) continue;
        memset(&found[*size], 0, sizeof *found);
        sscanf(one, "%u:%llu", &found[*size].pid, &found[*size].used);
        found[*size].used <<= 20;
    }
    return *size > room ? INSUFFICIENT_SIZE : SUCCESS;
}
