/* Fields of a kubeconfig: their types, and words for what is wrong with them. */
#include "common/kube_config_parts.h"
#include "common/text.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- words ---- */

int kube_refuse(const struct kube_entry *entry, const struct gw_node *node, const char *field,
                const char *format, ...)
{
    char words[GW_REASON_MAX];
    int line = node == NULL ? entry->line : node->key_line > 0 ? node->key_line : node->line;
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(words, sizeof(words), format, arguments);
    va_end(arguments);
    return GW_REFUSE(-EINVAL, entry->reader->reason, "kubeconfig %s line %d: %s%s%s%s%s", entry->file->path,
                     line, entry->place, *entry->place != '\0' ? ": " : "", field != NULL ? field : "",
                     field != NULL ? ": " : "", words);
}

static bool name_known(const char *name, const char *const *known)
{
    for (; *known != NULL; known++)
        if (strcmp(name, *known) == 0)
            return true;
    return false;
}

int kube_check_names(const struct kube_entry *entry, const char *const *known)
{
    if (entry->node == NULL)
        return 0;
    for (const struct gw_node *child = entry->node->first; child != NULL; child = child->next) {
        const char *near = name_known(child->key, known) ? NULL : gw_text_nearest(child->key, known);

        if (near != NULL)
            return kube_refuse(entry, child, child->key, "there is no such field; %s is meant?", near);
    }
    return 0;
}

/* ---- values ---- */

static bool node_absent(const struct gw_node *node)
{
    return node == NULL || node->kind == GW_NODE_NULL;
}

static int text_check(const struct kube_entry *entry, const struct gw_node *node, const char *field)
{
    if (node->kind == GW_NODE_NUMBER || node->kind == GW_NODE_BOOL)
        return kube_refuse(entry, node, field, "is %s, and must be text: put it in quotes",
                           gw_node_kind_name(node->kind));
    if (node->kind != GW_NODE_TEXT)
        return kube_refuse(entry, node, field, "is %s, and must be text", gw_node_kind_name(node->kind));
    if (strlen(node->text) != node->text_size)
        return kube_refuse(entry, node, field, "holds a NUL character");
    return 0;
}

int kube_text(const struct kube_entry *entry, const char *field, const char **ret_text)
{
    const struct gw_node *node = gw_node_get(entry->node, field);

    if (node_absent(node))
        return 0;
    GW_TRY(text_check(entry, node, field));
    if (node->text_size > 0)
        *ret_text = node->text;
    return 0;
}

int kube_bool(const struct kube_entry *entry, const char *field, bool *ret_truth)
{
    const struct gw_node *node = gw_node_get(entry->node, field);

    if (node_absent(node))
        return 0;
    if (node->kind != GW_NODE_BOOL)
        return kube_refuse(entry, node, field, "is %s, and must be true or false",
                           gw_node_kind_name(node->kind));
    *ret_truth = node->truth;
    return 0;
}

int kube_texts(const struct kube_entry *entry, const char *field, const char *const **ret_texts)
{
    const struct gw_node *node = gw_node_get(entry->node, field);
    const char **texts;
    size_t count = 0;

    if (node_absent(node))
        return 0;
    if (node->kind != GW_NODE_LIST)
        return kube_refuse(entry, node, field, "is %s, and must be a list", gw_node_kind_name(node->kind));
    texts = gw_arena_alloc(&entry->reader->config->arena, (node->count + 1) * sizeof(*texts));
    if (texts == NULL)
        return GW_RAISE(-ENOMEM);
    for (const struct gw_node *child = node->first; child != NULL; child = child->next) {
        GW_TRY(text_check(entry, child, field));
        texts[count++] = child->text;
    }
    *ret_texts = texts;
    return 0;
}

int kube_path(const struct kube_entry *entry, const char *field, const char **ret_path)
{
    const char *path = NULL;

    GW_TRY(kube_text(entry, field, &path));
    if (path != NULL && *path != '/') {
        path = gw_arena_printf(&entry->reader->config->arena, "%s/%s", entry->file->directory, path);
        if (path == NULL)
            return GW_RAISE(-ENOMEM);
    }
    if (path != NULL)
        *ret_path = path;
    return 0;
}

int kube_inner(const struct kube_entry *entry, const char *field, struct kube_entry *ret_inner)
{
    const struct gw_node *node = gw_node_get(entry->node, field);
    bool absent = node_absent(node);

    if (!absent && node->kind != GW_NODE_MAP)
        return kube_refuse(entry, node, field, "is %s, and must be a mapping", gw_node_kind_name(node->kind));
    *ret_inner = *entry;
    ret_inner->node = absent ? NULL : node;
    ret_inner->line = absent ? entry->line : node->key_line;
    ret_inner->place = gw_arena_printf(&entry->reader->config->arena, "%s%s%s", entry->place,
                                       *entry->place != '\0' ? ": " : "", field);
    return ret_inner->place == NULL ? GW_RAISE(-ENOMEM) : 0;
}

/* ---- PEM ---- */

static void closep(int *descriptor)
{
    if (*descriptor >= 0)
        close(*descriptor);
}

int kube_file_read(const char *path, struct gw_bytes *ret_text)
{
    GW_AUTO(closep) int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    GW_AUTO(gw_bytes_done) struct gw_bytes text = {0};
    ssize_t got = 1;

    if (descriptor < 0)
        return GW_RAISE(-errno);
    while (got != 0) {
        char *room = gw_bytes_reserve(&text, 16384);

        if (room == NULL)
            return GW_RAISE(-ENOMEM);
        got = read(descriptor, room, 16384);
        if (got < 0 && errno != EINTR)
            return GW_RAISE(-errno);
        text.size += got > 0 ? (size_t)got : 0;
        if (text.size > KUBE_FILE_SIZE_MAX)
            return GW_RAISE(-EFBIG);
    }
    *ret_text = text;
    text = (struct gw_bytes){0};
    return 0;
}

/* As kubectl reads it: lines may be broken anywhere. */
static int pem_decode(const struct kube_entry *entry, const struct gw_node *node, const char *field,
                      const char *text, struct gw_view *ret_contents)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes joined = {0};
    GW_AUTO(gw_bytes_done) struct gw_bytes contents = {0};

    for (; *text != '\0'; text++)
        if (strchr(" \t\r\n", *text) == NULL)
            gw_bytes_append_char(&joined, *text);
    if (joined.failed)
        return GW_RAISE(-ENOMEM);
    if (!gw_base64_decode(&contents, gw_bytes_view(&joined)))
        return kube_refuse(entry, node, field,
                           "is not base64: it must be the PEM text, encoded once (base64 -w0 FILE)");
    ret_contents->data = gw_arena_copy(&entry->reader->config->arena, gw_bytes_view(&contents));
    ret_contents->size = contents.size;
    return ret_contents->data == NULL ? GW_RAISE(-ENOMEM) : 0;
}

static int pem_from_file(const struct kube_entry *entry, const char *field, struct kube_pem *pem)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes text = {0};
    int fault = kube_file_read(pem->file, &text);

    if (fault < 0) {
        (void)!kube_refuse(entry, gw_node_get(entry->node, field), field, "%s: %s", pem->file,
                           strerrordesc_np(-fault));
        return fault;
    }
    pem->contents.data = gw_arena_copy(&entry->reader->config->arena, gw_bytes_view(&text));
    pem->contents.size = text.size;
    return pem->contents.data == NULL ? GW_RAISE(-ENOMEM) : 0;
}

int kube_pem(const struct kube_entry *entry, const char *field, struct kube_pem *ret_pem)
{
    const char *data_field = gw_arena_printf(&entry->reader->config->arena, "%s-data", field), *data = NULL;
    struct kube_pem pem = {.field = data_field};

    if (data_field == NULL)
        return GW_RAISE(-ENOMEM);
    GW_TRY(kube_text(entry, data_field, &data));
    if (data != NULL) {
        GW_TRY(pem_decode(entry, gw_node_get(entry->node, data_field), data_field, data, &pem.contents));
    } else {
        GW_TRY(kube_path(entry, field, &pem.file));
        pem.field = pem.file != NULL ? field : NULL;
        if (pem.file != NULL)
            GW_TRY(pem_from_file(entry, field, &pem));
    }
    *ret_pem = pem;
    return 0;
}
