/* Files that are edited while we run: watches a file or a directory and tells when it has changed.
 *
 *     inotify ──any entry of a folder──▶ settle ──▶ look: is the fingerprint another? ──▶ changed()
 *                                 every 10 s ──────▶  │
 *                                                     └▶ watch what the path leads to now
 *
 * Editors replace a file by another of the same name, Kubernetes swaps the link that a folder's entries go
 * through: so folders are watched, never files, and which ones is found anew at each look. */
#include "gateway-client/spec/sources.h"

#include "common/loop.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { FILES_LOOK_MS = 10000, FILES_FOLDERS = 2 };

struct gwc_files {
    struct gw_loop *loop;
    struct gw_timer *settle, *look;
    char *path;
    int64_t settle_ms;
    bool settling;
    uint64_t fingerprint;
    struct gw_watch
        *folders[FILES_FOLDERS]; /* where the path stands, and where it leads to by links; NULL: none */
    void (*changed)(void *user);
    void *user;
};

/* ---- fingerprint ---- */

/* FNV-1a, 64 bit. */
static uint64_t mix(uint64_t hash, const void *data, size_t size)
{
    const unsigned char *bytes = data;

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(1099511628211);
    return hash;
}

static uint64_t mix_number(uint64_t hash, int64_t number)
{
    return mix(hash, &number, sizeof(number));
}

/* Of a name and what it leads to; `error` when it leads nowhere. */
static uint64_t status_fingerprint(const char *name, const struct stat *status, int error)
{
    uint64_t hash = mix(UINT64_C(14695981039346656037), name, strlen(name));

    hash = mix_number(hash, error);
    if (error != 0)
        return hash;
    hash = mix_number(hash, (int64_t)status->st_dev);
    hash = mix_number(hash, (int64_t)status->st_ino);
    /* The count of links in a directory, and so on, are not about its contents. */
    if (S_ISDIR(status->st_mode))
        return hash;
    hash = mix_number(hash, (int64_t)status->st_mode);
    hash = mix_number(hash, (int64_t)status->st_size);
    hash = mix_number(hash, status->st_mtim.tv_sec);
    hash = mix_number(hash, status->st_mtim.tv_nsec);
    hash = mix_number(hash, status->st_ctim.tv_sec);
    return mix_number(hash, status->st_ctim.tv_nsec);
}

/* The sum over the entries: their order says nothing. */
static uint64_t directory_fingerprint(const char *path)
{
    DIR *directory = opendir(path);
    const struct dirent *entry;
    struct stat status;
    uint64_t sum = 0;

    if (directory == NULL)
        return (uint64_t)errno;
    while ((entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        bool found = fstatat(dirfd(directory), entry->d_name, &status, 0) == 0;
        sum += status_fingerprint(entry->d_name, &status, found ? 0 : errno);
    }
    closedir(directory);
    return sum;
}

static uint64_t path_fingerprint(const char *path)
{
    struct stat status;

    if (stat(path, &status) < 0)
        return status_fingerprint("", NULL, errno);
    return status_fingerprint("", &status, 0) + (S_ISDIR(status.st_mode) ? directory_fingerprint(path) : 0);
}

/* ---- which folders ---- */

static bool is_directory(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* Cuts the last part: "/a/b" to "/a", "/a" to "/", "a" to ".". */
static void path_up(char *path)
{
    size_t size = strlen(path);

    while (size > 1 && path[size - 1] == '/')
        path[--size] = '\0';
    char *slash = strrchr(path, '/');
    if (slash == NULL)
        strcpy(path, ".");
    else
        slash[slash == path ? 1 : 0] = '\0';
}

/* The folder whose entries tell of `path`: itself, or the nearest one above it that is there. NULL: no
 * memory. */
static char *folder_of(const char *path)
{
    /* Room for "." where the path is shorter. */
    char *folder = calloc(1, strlen(path) + 2);

    if (folder == NULL)
        return NULL;
    strcpy(folder, path[0] == '\0' ? "." : path);
    while (!is_directory(folder) && strcmp(folder, "/") != 0 && strcmp(folder, ".") != 0)
        path_up(folder);
    return folder;
}

static void files_stirred(void *user)
{
    struct gwc_files *files = user;

    if (files->settling)
        return;
    files->settling = true;
    gw_timer_start(files->settle, files->settle_ms);
}

/* Watches `path`; NULL: nothing. Always anew, because a folder that went and came back may look the same,
 * down to its inode, and is not watched any more; the new watch first, so that there is no gap. Without
 * inotify the look every 10 s is enough. */
static void folder_set(struct gwc_files *files, struct gw_watch **folder, const char *path)
{
    struct gw_watch *watch = NULL;

    if (path != NULL && gw_watch_open(&watch, files->loop, path, files_stirred, files) < 0)
        watch = NULL;
    gw_watch_close(*folder);
    *folder = watch;
}

static bool same_folder(const char *a, const char *b)
{
    struct stat first, second;

    return stat(a, &first) == 0 && stat(b, &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

static void files_watch_folders(struct gwc_files *files)
{
    GW_AUTO(gw_freep) char *real = realpath(files->path, NULL);
    GW_AUTO(gw_freep) char *behind = real == NULL ? NULL : folder_of(real);
    GW_AUTO(gw_freep) char *folder = folder_of(files->path);
    bool elsewhere = folder != NULL && behind != NULL && !same_folder(folder, behind);

    folder_set(files, &files->folders[0], folder);
    folder_set(files, &files->folders[1], elsewhere ? behind : NULL);
}

/* ---- looking ---- */

static void files_look(struct gwc_files *files)
{
    uint64_t fingerprint;

    /* First the watches: what happens after the look is then not missed. */
    files_watch_folders(files);
    fingerprint = path_fingerprint(files->path);
    gw_timer_start(files->look, FILES_LOOK_MS);
    if (fingerprint == files->fingerprint)
        return;
    files->fingerprint = fingerprint;
    files->changed(files->user); /* may close us: nothing after it */
}

static void files_settled(void *user)
{
    struct gwc_files *files = user;

    files->settling = false;
    files_look(files);
}

static void files_look_again(void *user)
{
    struct gwc_files *files = user;

    /* Not in the middle of what settles: once in settle_ms is promised. */
    if (files->settling)
        gw_timer_start(files->look, FILES_LOOK_MS);
    else
        files_look(files);
}

GW_DEFINE_CLEANUP(struct gwc_files *, gwc_files_close)

int gwc_files_watch(struct gwc_files **ret_files, struct gw_loop *loop, const char *path, int64_t settle_ms,
                    void (*changed)(void *user), void *user)
{
    GW_AUTO(gwc_files_closep) struct gwc_files *files = calloc(1, sizeof(*files));

    if (files == NULL)
        return GW_RAISE(-ENOMEM);
    files->loop = loop;
    files->settle_ms = settle_ms;
    files->changed = changed;
    files->user = user;
    files->path = strdup(path);
    if (files->path == NULL)
        return GW_RAISE(-ENOMEM);
    GW_TRY(gw_timer_open(&files->settle, loop, files_settled, files));
    GW_TRY(gw_timer_open(&files->look, loop, files_look_again, files));
    files_watch_folders(files);
    files->fingerprint = path_fingerprint(files->path);
    gw_timer_start(files->look, FILES_LOOK_MS);
    *ret_files = GW_TAKE(files);
    return 0;
}

struct gwc_files *gwc_files_close(struct gwc_files *files)
{
    if (files == NULL)
        return NULL;
    for (size_t i = 0; i < FILES_FOLDERS; i++)
        gw_watch_close(files->folders[i]);
    gw_timer_close(files->settle);
    gw_timer_close(files->look);
    free(files->path);
    free(files);
    return NULL;
}
