/* A ggml backend module without a GPU behind it: it lists devices and computes nothing.
 * Layouts are those of ggml/src/ggml-backend-impl.h, interface version 2. What it is called and does
 * is chosen when it is compiled: NAME, IDS (addresses on the bus, one per device, 0 for unknown),
 * KIND (1: GPU, 2: integrated), API, SCORE, ARCHS (what its code was compiled for), and CRASH or HANG
 * while it starts. */
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef NAME
#define NAME "CUDA"
#endif
#ifndef IDS
#define IDS "0000:01:00.0"
#endif
#ifndef DESCRIPTION
#define DESCRIPTION "Test GPU 24"
#endif
#ifndef KIND
#define KIND 1
#endif
#ifndef API
#define API 2
#endif
#ifndef SCORE
#define SCORE 1
#endif

typedef struct registry registry;
typedef struct device device;

struct properties {
    const char *name, *description;
    size_t memory_free, memory_total;
    int type;
    const char *device_id;
    struct { bool async, host_buffer, buffer_from_host_ptr, events, mmap_support; } caps;
};

struct device {
    const char *(*get_name)(device *);
    const char *(*get_description)(device *);
    void (*get_memory)(device *, size_t *, size_t *);
    int (*get_type)(device *);
    void (*get_props)(device *, struct properties *);
    void *others[10];
    registry *reg;
    void *context;
};

struct registry {
    int api_version;
    const char *(*get_name)(registry *);
    size_t (*get_device_count)(registry *);
    device *(*get_device)(registry *, size_t);
    void *(*get_proc_address)(registry *, const char *);
    void *context;
};

static const char *const ids[] = {IDS};
enum { COUNT = sizeof ids / sizeof *ids };
static char names[COUNT][32];
static device devices[COUNT];

static int number_of(device *one) { return (int)(one - devices); }
static const char *device_name(device *one) { return names[number_of(one)]; }
static const char *description(device *one) { (void)one; return DESCRIPTION; }
static int device_type(device *one) { (void)one; return KIND; }
static void memory(device *one, size_t *free_bytes, size_t *total_bytes) {
    (void)one;
    *free_bytes = 20ull << 30;
    *total_bytes = 24ull << 30;
}
static void props(device *one, struct properties *to) {
    *to = (struct properties){.name = device_name(one), .description = DESCRIPTION, .type = KIND};
    to->device_id = ids[number_of(one)];
    memory(one, &to->memory_free, &to->memory_total);
}

static const char *registry_name(registry *reg) { (void)reg; return NAME; }
static size_t count(registry *reg) { (void)reg; return ids[0] && !*ids[0] ? 0 : COUNT; }
static device *get(registry *reg, size_t index) { (void)reg; return &devices[index]; }
#ifdef ARCHS
static const struct { const char *name, *value; } said[] = {{"ARCHS", ARCHS}, {NULL, NULL}};
static const void *features(registry *reg) { (void)reg; return said; }
#endif
static void *function(registry *reg, const char *name) {
    (void)reg;
#ifdef ARCHS
    if (!strcmp(name, "ggml_backend_get_features")) return (void *)features;
#endif
    (void)name;
    return NULL;
}

static registry the_registry = {API, registry_name, count, get, function, NULL};

int ggml_backend_score(void) { return SCORE; }

registry *ggml_backend_init(void) {
#ifdef CRASH
    abort();
#endif
#ifdef HANG
    if (write(2, "hangs\n", 6) != 6) abort();
    for (;;) pause();
#endif
    for (int index = 0; index < COUNT; index++) {
        snprintf(names[index], sizeof names[index], "%s%d", NAME, index);
        devices[index] = (device){device_name, description, memory, device_type, props};
        devices[index].reg = &the_registry;
    }
    return &the_registry;
}
