/* Zone file: reading one, and the list of names for those that are not there. */
#include "gateway-servers/calendar/zone_file.h"

#include "common/text.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ZONE_FILE_MAX = 1 << 20, ZONE_NAME_MAX = 100, ZONE_NAMES_MAX = 2000, ZONE_DEPTH_MAX = 3 };

static const char *zone_directory(void)
{
    const char *directory = getenv("TZDIR");

    if (directory == NULL || directory[0] != '/')
        return "/usr/share/zoneinfo";
    return directory;
}

/* A name is not a path: it stays below the directory. */
static bool zone_name_is_legal(const char *name)
{
    if (strlen(name) > ZONE_NAME_MAX || name[0] == '/' || strstr(name, "..") != NULL ||
        strstr(name, "//") != NULL)
        return false;
    for (const char *at = name; *at != '\0'; at++) {
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/.", *at) == NULL)
            return false;
    }
    return true;
}

/* Verdict ZONE_FILE_NONE: not there, or not a file. */
enum { ZONE_FILE_NONE = 1 };
static int zone_file_load(const char *path, struct gw_bytes *ret_bytes)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    ssize_t size = -1;
    char *room = NULL;

    if (descriptor < 0)
        return ZONE_FILE_NONE;
    if (fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0 &&
        status.st_size <= ZONE_FILE_MAX) {
        room = gw_bytes_reserve(ret_bytes, (size_t)status.st_size);
        if (room != NULL)
            size = read(descriptor, room, (size_t)status.st_size);
    }
    close(descriptor);
    if (ret_bytes->failed)
        return GW_RAISE(-ENOMEM);
    if (size <= 0)
        return ZONE_FILE_NONE;
    ret_bytes->size += (size_t)size;
    return 0;
}

/* ---- names ---- */

struct zone_names {
    struct gw_arena arena;
    const char *items[ZONE_NAMES_MAX + 1];  /* ended by NULL */
    const char *cities[ZONE_NAMES_MAX + 1]; /* what is behind the last slash */
    size_t count;
};

/* Zones begin with a capital letter; beside them lie tables, and posix/ and right/ with copies of all. */
static bool zone_names_counts(const char *name)
{
    return name[0] >= 'A' && name[0] <= 'Z' && strchr(name, '.') == NULL;
}

static void zone_names_walk(struct zone_names *names, const char *prefix, int depth)
{
    char path[4096];
    struct dirent *entry;
    DIR *directory;

    snprintf(path, sizeof(path), "%s/%s", zone_directory(), prefix);
    directory = opendir(path);
    if (directory == NULL)
        return;
    while ((entry = readdir(directory)) != NULL && names->count < ZONE_NAMES_MAX) {
        const char *name;
        struct stat status;

        if (!zone_names_counts(entry->d_name) || fstatat(dirfd(directory), entry->d_name, &status, 0) != 0)
            continue;
        name = gw_arena_printf(&names->arena, "%s%s", prefix, entry->d_name);
        if (name != NULL && S_ISREG(status.st_mode)) {
            names->items[names->count] = name;
            names->cities[names->count++] = name + strlen(prefix);
        } else if (name != NULL && S_ISDIR(status.st_mode) && depth < ZONE_DEPTH_MAX) {
            name = gw_arena_printf(&names->arena, "%s/", name);
            if (name != NULL)
                zone_names_walk(names, name, depth + 1);
        }
    }
    closedir(directory);
}

static const char *zone_names_nearest(const struct zone_names *names, const char *name)
{
    const char *near = gw_text_nearest(name, names->items);
    const char *slash = strrchr(name, '/');

    if (near != NULL)
        return near;
    near = gw_text_nearest(slash == NULL ? name : slash + 1, names->cities);
    for (size_t i = 0; near != NULL && i < names->count; i++) {
        if (names->cities[i] == near)
            return names->items[i];
    }
    return NULL;
}

static int zone_file_refuse(const char *name, struct gw_reason *reason)
{
    struct zone_names *names = calloc(1, sizeof(*names));
    const char *near;
    int fault;

    if (names == NULL)
        return GW_RAISE(-ENOMEM);
    zone_names_walk(names, "", 0);
    near = zone_names_nearest(names, name);
    if (names->count == 0)
        gw_reason_set(reason, "time zone \"%.100s\": there is no time zone data in %.200s (package tzdata)",
                      name, zone_directory());
    else if (near != NULL)
        gw_reason_set(reason, "time zone \"%.100s\": no such zone; did you mean \"%s\"?", name, near);
    else
        gw_reason_set(reason, "time zone \"%.100s\": no such zone; IANA names look like \"Europe/Lisbon\"",
                      name);
    fault = GW_RAISE(-EINVAL);
    gw_arena_done(&names->arena);
    free(names);
    return fault;
}

int zone_file_read(const char *name, struct gw_bytes *ret_bytes, struct gw_reason *reason)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes path = {0};
    int verdict = ZONE_FILE_NONE;

    if (strcmp(name, "Local") == 0) {
        gw_bytes_append_text(&path, "/etc/localtime");
    } else {
        gw_bytes_append_text(&path, zone_directory());
        gw_bytes_append_char(&path, '/');
        gw_bytes_append_text(&path, name);
    }
    if (gw_bytes_text(&path) == NULL)
        return GW_RAISE(-ENOMEM);
    if (zone_name_is_legal(name))
        verdict = zone_file_load(gw_bytes_text(&path), ret_bytes);
    if (verdict == ZONE_FILE_NONE)
        return zone_file_refuse(name, reason);
    return verdict;
}
