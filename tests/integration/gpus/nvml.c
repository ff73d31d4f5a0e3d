/* A driver's library, as far as it is asked: it answers what the file says that NVML_OF_TESTS
   names, which it reads again at each call. A line is KEY=VALUE:

       init=9                    what nvmlInit returns; as count.error=4, 0.error=15: all of device 0
       stuck=1                   it does not return as long as that stands there
       count=2
       0.uuid=GPU-1  0.name=NVIDIA L4  0.total=24152899584  0.used=0  0.util=61  0.temp=58
       0.memory.error=3          what one question of it returns
       0.slices=7                it is cut, and may have so many
       0.1.uuid=MIG-1            its second slice, with the same keys
       0.1.gi=2  0.1.ci=0        its numbers on the device
       0.pids=12:1048576,13:0    processes, and their bytes

   -DOLD leaves out what drivers before R470 did not have. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long long u64;
typedef struct { unsigned pid; u64 used; unsigned gpu_instance, compute_instance; } process_t;

enum { OK = 0, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7 };

static char value[512];

static const char *get(const char *prefix, const char *key) {
    const char *path = getenv("NVML_OF_TESTS");
    FILE *file = path ? fopen(path, "r") : NULL;
    char wanted[128], line[640];
    const char *found = NULL;
    snprintf(wanted, sizeof wanted, "%s%s=", prefix, key);
    while (file && !found && fgets(line, sizeof line, file))
        if (!strncmp(line, wanted, strlen(wanted))) {
            line[strcspn(line, "\n")] = 0;
            snprintf(value, sizeof value, "%s", line + strlen(wanted));
            found = value;
        }
    if (file) fclose(file);
    return found;
}

static u64 number(const char *prefix, const char *key) {
    const char *text = get(prefix, key);
    return text ? strtoull(text, NULL, 10) : 0;
}

/* A handle is 100 * (device + 1) + slice + 1, or + 0 for the whole. */
static const char *prefix_of(void *handle) {
    static char prefix[32];
    size_t n = (size_t)handle;
    if (n % 100) snprintf(prefix, sizeof prefix, "%zu.%zu.", n / 100 - 1, n % 100 - 1);
    else snprintf(prefix, sizeof prefix, "%zu.", n / 100 - 1);
    return prefix;
}

static int wrong(void *handle, const char *question) {
    char key[64];
    int error = (int)number(prefix_of((void *)((size_t)handle / 100 * 100)), "error");
    if (error) return error;
    error = (int)number(prefix_of(handle), "error");
    if (error) return error;
    snprintf(key, sizeof key, "%s.error", question);
    return (int)number(prefix_of(handle), key);
}

static int text(void *handle, const char *key, char *out, unsigned size) {
    int error = wrong(handle, key);
    if (error) return error;
    const char *found = get(prefix_of(handle), key);
    snprintf(out, size, "%s", found ? found : "");
    return OK;
}

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    while (number("", "stuck")) usleep(10000);
    return (int)number("", "init");
}

int nvmlShutdown(void) { return OK; }
const char *nvmlErrorString(int code) { (void)code; return "an error of tests"; }

int nvmlDeviceGetCount_v2(unsigned *count) {
    *count = (unsigned)number("", "count");
    return (int)number("", "count.error");
}

int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **handle) {
    *handle = (void *)(size_t)((i + 1) * 100);
    return wrong(*handle, "handle");
}

int nvmlDeviceGetUUID(void *h, char *out, unsigned size) { return text(h, "uuid", out, size); }
int nvmlDeviceGetName(void *h, char *out, unsigned size) { return text(h, "name", out, size); }

int nvmlDeviceGetMemoryInfo(void *handle, u64 *memory) {
    memory[0] = number(prefix_of(handle), "total");
    memory[2] = number(prefix_of(handle), "used");
    memory[1] = memory[0] - memory[2];
    return wrong(handle, "memory");
}

int nvmlDeviceGetUtilizationRates(void *handle, unsigned *rates) {
    rates[0] = (unsigned)number(prefix_of(handle), "util");
    rates[1] = 0;
    return wrong(handle, "util");
}

int nvmlDeviceGetTemperature(void *handle, int sensor, unsigned *celsius) {
    (void)sensor;
    *celsius = (unsigned)number(prefix_of(handle), "temp");
    return (size_t)handle % 100 ? NOT_SUPPORTED : wrong(handle, "temp");
}

static int processes(void *handle, const char *key, unsigned *count, process_t *out) {
    unsigned there = 0, room = *count;
    int error = wrong(handle, key);
    if (error) return error;
    const char *at = get(prefix_of(handle), key);
    while (at && *at) {
        process_t one = {(unsigned)strtoul(at, (char **)&at, 10), 0, 0, 0};
        if (*at == ':') one.used = strtoull(at + 1, (char **)&at, 10);
        if (*at == ',') at++;
        if (out && there < room) out[there] = one;
        there++;
    }
    *count = there;
    return there > room || (there && !out) ? INSUFFICIENT_SIZE : OK;
}

int nvmlDeviceGetComputeRunningProcesses_v2(void *h, unsigned *n, process_t *out) {
    return processes(h, "pids", n, out);
}

int nvmlDeviceGetGraphicsRunningProcesses_v2(void *h, unsigned *n, process_t *out) {
    return processes(h, "graphics", n, out);
}

#ifndef OLD
int nvmlDeviceGetComputeRunningProcesses_v3(void *h, unsigned *n, process_t *out) {
    return processes(h, "pids", n, out);
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(void *h, unsigned *n, process_t *out) {
    return processes(h, "graphics", n, out);
}

int nvmlDeviceGetMigMode(void *handle, unsigned *current, unsigned *pending) {
    *current = *pending = get(prefix_of(handle), "slices") != NULL;
    return *current ? OK : NOT_SUPPORTED;
}

int nvmlDeviceGetMaxMigDeviceCount(void *handle, unsigned *count) {
    *count = (unsigned)number(prefix_of(handle), "slices");
    return OK;
}

int nvmlDeviceGetMigDeviceHandleByIndex(void *device, unsigned i, void **slice) {
    *slice = (void *)((size_t)device + i + 1);
    return get(prefix_of(*slice), "uuid") ? OK : NOT_FOUND;
}

int nvmlDeviceGetGpuInstanceId(void *slice, unsigned *id) {
    *id = (unsigned)number(prefix_of(slice), "gi");
    return wrong(slice, "gi");
}

int nvmlDeviceGetComputeInstanceId(void *slice, unsigned *id) {
    *id = (unsigned)number(prefix_of(slice), "ci");
    return wrong(slice, "ci");
}
#endif
