/* The event sources: a ConfigMap manifest, a directory that a ConfigMap is mounted on, or an object of the API server, made
 * into a sorted set. */
#include "gateway-client/spec/sources_parts.h"

#include "common/json.h"
#include "common/text.h"
#include "common/yaml.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- files ---- */

static void descriptor_closep(int *descriptor)
{
    if (*descriptor >= 0)
        close(*descriptor);
}

static void directory_closep(DIR **directory)
{
    if (*directory != NULL)
        closedir(*directory);
}

/* 0, *ret_text set; > 0: an errno, the file cannot be read; < 0: a fault. EFBIG: more than `size_max`. */
static int text_read(int folder, const char *name, size_t size_max, struct gw_bytes *ret_text)
{
    /* O_NONBLOCK: a pipe put there must not hold us up. */
    GW_AUTO(descriptor_closep) int descriptor = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;

    if (descriptor < 0 || fstat(descriptor, &status) < 0)
        return errno;
    if (S_ISDIR(status.st_mode))
        return EISDIR;
    if (!S_ISREG(status.st_mode))
        return EINVAL;
    for (;;) {
        char *room = gw_bytes_reserve(ret_text, 16384);
        ssize_t got;

        if (room == NULL)
            return GW_RAISE(-ENOMEM);
        got = read(descriptor, room, ret_text->capacity - ret_text->size);
        if (got < 0 && errno != EINTR)
            return errno;
        if (got == 0)
            return 0;
        ret_text->size += got < 0 ? 0 : (size_t)got;
        if (ret_text->size > size_max)
            return EFBIG;
    }
}

static int cannot_be_read(const struct gwc_sources_reader *reader, int error)
{
    if (error == EFBIG)
        gw_problems_add(reader->problems, "", 0, "too large: event sources have at most %zu bytes in all",
                        GW_YAML_TEXT_MAX);
    else if (error == ENOENT)
        gw_problems_add(
            reader->problems, "", 0,
            "not there: expected a ConfigMap manifest, or a directory with a file for each event source");
    else
        gw_problems_add(reader->problems, "", 0, "cannot be read: %s", strerrordesc_np(error));
    return GWC_SOURCES_BAD;
}

static int key_order(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

bool gwc_sources_has_key(const struct gwc_sources_reader *reader, const char *key)
{
    return reader->keys_count > 0 &&
           bsearch(&key, reader->keys, reader->keys_count, sizeof(*reader->keys), key_order) != NULL;
}

/* `keys` are sorted, and borrowed while entries are read. */
static int entry_room(struct gwc_sources_reader *reader, const char **keys, size_t count)
{
    struct gwc_sources *sources = reader->sources;

    qsort(keys, count, sizeof(*keys), key_order);
    reader->keys = keys;
    reader->keys_count = count;
    sources->items = gw_arena_alloc(&sources->arena, count * sizeof(*sources->items));
    sources->bad = gw_arena_alloc(&sources->arena, count * sizeof(*sources->bad));
    return sources->items == NULL || sources->bad == NULL ? GW_RAISE(-ENOMEM) : 0;
}

/* ---- a manifest ---- */

static bool manifest_legal(const struct gwc_sources_reader *reader, const struct gw_node *root)
{
    static const char *const fields[] = {"apiVersion", "kind",      "metadata", "data",
                                         "binaryData", "immutable", NULL};
    const struct gw_node *kind = gw_node_get(root, "kind"), *data = gw_node_get(root, "data");
    struct gw_problems *problems = reader->problems;
    size_t before = problems->count + problems->dropped;

    if (root->kind != GW_NODE_MAP) {
        gw_problems_add(problems, "", root->line, "%s: expected a ConfigMap",
                        root->kind == GW_NODE_NULL ? "empty" : gw_node_kind_name(root->kind));
        return false;
    }
    if (strcmp(gw_node_text(kind, ""), "ConfigMap") != 0) {
        gw_problems_add(problems, "kind", kind == NULL ? root->line : kind->line,
                        "expected ConfigMap, got %s",
                        kind == NULL ? "nothing" : gw_node_text(kind, gw_node_kind_name(kind->kind)));
        return false;
    }
    for (const struct gw_node *field = root->first; field != NULL; field = field->next) {
        const char *near = gw_text_nearest(field->key, fields);
        size_t i = 0;

        while (fields[i] != NULL && strcmp(fields[i], field->key) != 0)
            i++;
        if (fields[i] == NULL)
            gw_problems_add(problems, field->key, field->key_line,
                            "a ConfigMap has no field \"%s\"; did you mean \"%s\"?", field->key,
                            near == NULL ? "data" : near);
    }
    if (data != NULL && data->kind != GW_NODE_MAP && data->kind != GW_NODE_NULL)
        gw_problems_add(problems, "data", data->line, "expected a mapping of keys to texts, got %s",
                        gw_node_kind_name(data->kind));
    if (data != NULL && data->count > GWC_SOURCES_MAX)
        gw_problems_add(problems, "data", data->line, "%zu entries: at most %d are read", data->count,
                        GWC_SOURCES_MAX);
    return problems->count + problems->dropped == before;
}

/* NULL: it is text. */
static const char *entry_refusal(const struct gw_node *node, struct gw_bytes *out)
{
    if (node->kind == GW_NODE_TEXT)
        return NULL;
    if (node->kind == GW_NODE_NULL)
        gw_bytes_printf(
            out, "empty: expected text that is a mapping; write \"%s: |-\" and indent the settings below it",
            node->key);
    else
        gw_bytes_printf(out, "expected text, got %s: write \"%s: |-\" and indent the settings below it",
                        gw_node_kind_name(node->kind), node->key);
    return gw_bytes_text(out);
}

static int manifest_entry(const struct gwc_sources_reader *reader, const char *file,
                          const struct gw_node *node)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes path = {0};
    GW_AUTO(gw_bytes_done) struct gw_bytes refusal = {0};
    struct gwc_entry entry = {
        .key = node->key, .file = file, .key_line = node->key_line, .text_line = node->text_line};

    gw_bytes_printf(&path, "data.%s", node->key);
    entry.path = gw_bytes_text(&path);
    entry.refusal = entry_refusal(node, &refusal);
    entry.text = gw_view(node->text, node->text_size);
    if (path.failed || refusal.failed)
        return GW_RAISE(-ENOMEM);
    GW_TRY(gwc_sources_add(reader, &entry));
    return 0;
}

/* JSON has the whole text of an entry in one line: what counts are the entry's own. */
static int object_entry(const struct gwc_sources_reader *reader, const char *label,
                        const struct gw_node *node)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes file = {0};
    GW_AUTO(gw_bytes_done) struct gw_bytes refusal = {0};
    struct gwc_entry entry = {.key = node->key, .path = node->key, .text_line = 1};

    gw_bytes_printf(&file, "%s, %s", label, node->key);
    entry.file = gw_bytes_text(&file);
    entry.refusal = entry_refusal(node, &refusal);
    entry.text = gw_view(node->text, node->text_size);
    if (file.failed || refusal.failed)
        return GW_RAISE(-ENOMEM);
    GW_TRY(gwc_sources_add(reader, &entry));
    return 0;
}

/* Bytes in base64 are no configuration; each is told, the others are read. */
static void refuse_binary(const struct gwc_sources_reader *reader, const struct gw_node *root)
{
    const struct gw_node *binary = gw_node_get(root, "binaryData");

    for (const struct gw_node *node = binary == NULL ? NULL : binary->first; node != NULL;
         node = node->next) {
        if (node->key != NULL)
            gw_problems_add(reader->problems, "binaryData", node->key_line,
                            "\"%s\" is binary: an event source is text, and belongs into data", node->key);
    }
}

/* `label`: the file, or what stands for it. */
static int read_root(struct gwc_sources_reader *reader, const char *label, const struct gw_node *root,
                     int (*read_entry)(const struct gwc_sources_reader *reader, const char *label,
                                       const struct gw_node *node))
{
    GW_AUTO(gw_freep) const char **keys = NULL;
    const struct gw_node *data, *first;
    size_t count = 0;

    if (!manifest_legal(reader, root))
        return GWC_SOURCES_BAD;
    data = gw_node_get(root, "data");
    first = data == NULL ? NULL : data->first;
    keys = calloc(data == NULL ? 1 : data->count + 1, sizeof(*keys));
    if (keys == NULL)
        return GW_RAISE(-ENOMEM);
    for (const struct gw_node *node = first; node != NULL; node = node->next)
        keys[count++] = node->key;
    GW_TRY(entry_room(reader, keys, count));
    for (const struct gw_node *node = first; node != NULL; node = node->next)
        GW_TRY(read_entry(reader, label, node));
    refuse_binary(reader, root);
    return 0;
}

static int read_manifest(struct gwc_sources_reader *reader, const char *file)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes text = {0};
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    const struct gw_node *root = NULL;
    int read = text_read(AT_FDCWD, file, GW_YAML_TEXT_MAX, &text);

    if (read > 0)
        return cannot_be_read(reader, read);
    if (read == 0)
        read = gw_yaml_read(&arena, gw_bytes_view(&text), &root, reader->problems);
    if (read < 0)
        return GW_RAISE(read);
    return read > 0 ? GWC_SOURCES_BAD : read_root(reader, file, root, manifest_entry);
}

static int read_object(struct gwc_sources_reader *reader, const char *label, struct gw_view json)
{
    GW_AUTO(gw_arena_done) struct gw_arena arena = {0};
    const struct gw_node *root = NULL;
    int read = gw_json_read(&arena, json, &root, reader->problems);

    if (read < 0)
        return GW_RAISE(read);
    return read > 0 ? GWC_SOURCES_BAD : read_root(reader, label, root, object_entry);
}

/* ---- a directory ---- */

/* What editors and the mount itself put there: .orders.swp, ..data, orders~, #orders#. */
static bool passed_over(const char *name)
{
    size_t size = strlen(name);

    return name[0] == '.' || name[size - 1] == '~' || (name[0] == '#' && name[size - 1] == '#');
}

/* Reads one file; *used grows by its size. Verdict GWC_SOURCES_BAD: the directory as a whole is too large. */
static int directory_entry(const struct gwc_sources_reader *reader, int folder, const char *path,
                           const char *name, size_t *used)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes text = {0};
    GW_AUTO(gw_bytes_done) struct gw_bytes file = {0};
    GW_AUTO(gw_bytes_done) struct gw_bytes refusal = {0};
    struct gwc_entry entry = {.key = name, .path = name, .text_line = 1};
    int read = text_read(folder, name, GW_YAML_TEXT_MAX - *used, &text);

    if (read < 0)
        return GW_RAISE(read);
    /* It went away between readdir() and now: as if it had not been there. A directory is no entry. */
    if (read == ENOENT || read == EISDIR)
        return 0;
    if (read == EFBIG)
        return cannot_be_read(reader, read);
    gw_bytes_printf(&file, "%s%s%s", path, path[strlen(path) - 1] == '/' ? "" : "/", name);
    gw_bytes_printf(&refusal, "cannot be read: %s", read == 0 ? "" : strerrordesc_np(read));
    if (file.failed || refusal.failed)
        return GW_RAISE(-ENOMEM);
    entry.file = gw_bytes_text(&file);
    entry.text = gw_bytes_view(&text);
    entry.refusal = read == 0 ? NULL : gw_bytes_text(&refusal);
    *used += text.size;
    GW_TRY(gwc_sources_add(reader, &entry));
    return 0;
}

static void names_free(char ***names)
{
    for (size_t i = 0; *names != NULL && (*names)[i] != NULL; i++)
        free((*names)[i]);
    free(*names);
}

/* The names of the entries, ended by NULL. Verdict GWC_SOURCES_BAD: too many. */
static int directory_names(const struct gwc_sources_reader *reader, DIR *directory, char ***ret_names,
                           size_t *ret_count)
{
    GW_AUTO(names_free) char **names = calloc(GWC_SOURCES_MAX + 1, sizeof(*names));
    const struct dirent *found;
    size_t count = 0;

    if (names == NULL)
        return GW_RAISE(-ENOMEM);
    while ((found = readdir(directory)) != NULL) {
        if (passed_over(found->d_name))
            continue;
        if (count == GWC_SOURCES_MAX) {
            gw_problems_add(reader->problems, "", 0, "more than %d files: at most so many are read",
                            GWC_SOURCES_MAX);
            return GWC_SOURCES_BAD;
        }
        names[count] = strdup(found->d_name);
        if (names[count++] == NULL)
            return GW_RAISE(-ENOMEM);
    }
    *ret_names = GW_TAKE(names);
    *ret_count = count;
    return 0;
}

static int read_directory(struct gwc_sources_reader *reader, const char *path)
{
    GW_AUTO(directory_closep) DIR *directory = opendir(path);
    GW_AUTO(names_free) char **names = NULL;
    size_t count = 0, used = 0;
    int verdict;

    if (directory == NULL)
        return cannot_be_read(reader, errno);
    verdict = directory_names(reader, directory, &names, &count);
    if (verdict != 0)
        return verdict;
    GW_TRY(entry_room(reader, (const char **)names, count));
    for (size_t i = 0; i < count && verdict == 0; i++)
        verdict = directory_entry(reader, dirfd(directory), path, names[i], &used);
    return verdict;
}

/* ---- the set ---- */

static int source_order(const void *a, const void *b)
{
    return strcmp(((const struct gwc_source *)a)->key, ((const struct gwc_source *)b)->key);
}

static int bad_order(const void *a, const void *b)
{
    return strcmp(((const struct gwc_bad_source *)a)->key, ((const struct gwc_bad_source *)b)->key);
}

/* `path`: of a file or a directory, when `json` is NULL; else what stands for the file. */
static int sources_fill(struct gwc_sources_reader *reader, const char *path, const struct gw_view *json)
{
    struct stat status;

    if (json != NULL)
        return read_object(reader, path, *json);
    if (stat(path, &status) < 0)
        return cannot_be_read(reader, errno);
    return S_ISDIR(status.st_mode) ? read_directory(reader, path) : read_manifest(reader, path);
}

static int sources_read(const char *path, const struct gw_view *json, const struct gwc_spec *spec,
                        struct gwc_sources **ret_sources, struct gw_problems *problems)
{
    GW_AUTO(gwc_sources_freep) struct gwc_sources *sources = calloc(1, sizeof(*sources));
    struct gwc_sources_reader reader = {.spec = spec, .sources = sources, .problems = problems};
    const char *file_before = problems->file;

    if (sources == NULL)
        return GW_RAISE(-ENOMEM);
    problems->file = path;
    int verdict = sources_fill(&reader, path, json);
    problems->file = file_before;
    if (verdict < 0)
        return GW_RAISE(verdict);
    if (verdict > 0)
        return GWC_SOURCES_BAD;
    qsort(sources->items, sources->count, sizeof(*sources->items), source_order);
    qsort(sources->bad, sources->bad_count, sizeof(*sources->bad), bad_order);
    *ret_sources = GW_TAKE(sources);
    return 0;
}

int gwc_sources_read(const char *path, const struct gwc_spec *spec, struct gwc_sources **ret_sources,
                     struct gw_problems *problems)
{
    return sources_read(path, NULL, spec, ret_sources, problems);
}

int gwc_sources_read_object(struct gw_view json, const char *label, const struct gwc_spec *spec,
                            struct gwc_sources **ret_sources, struct gw_problems *problems)
{
    return sources_read(label, &json, spec, ret_sources, problems);
}

const struct gwc_source *gwc_sources_find(const struct gwc_sources *sources, const char *key)
{
    const struct gwc_source wanted = {.key = key};

    if (sources->count == 0)
        return NULL;
    return bsearch(&wanted, sources->items, sources->count, sizeof(*sources->items), source_order);
}

struct gwc_sources *gwc_sources_free(struct gwc_sources *sources)
{
    if (sources != NULL)
        gw_arena_done(&sources->arena);
    free(sources);
    return NULL;
}
