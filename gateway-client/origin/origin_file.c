/* An origin: a file, or a directory. */
#include "gateway-client/origin/origin_parts.h"

#include "gateway-client/origin/file.h"

#include <stdlib.h>
#include <unistd.h>

enum { SETTLE_MS = 100 }; /* an editor writes a file in several steps */

struct origin_file {
    struct gwc_origin base;
    struct gwc_files *files;
};

static void origin_file_close(struct gwc_origin *origin)
{
    struct origin_file *file = GW_CONTAINER_OF(origin, struct origin_file, base);

    gwc_files_close(file->files);
    free(file);
}

static enum gwc_origin_state origin_file_state(const struct gwc_origin *origin)
{
    return access(origin->label, F_OK) == 0 ? GWC_ORIGIN_PRESENT : GWC_ORIGIN_ABSENT;
}

/* What is wrong with a file is said when it is read. */
static bool origin_file_words(const struct gwc_origin *origin, struct gw_reason *words)
{
    (void)origin, (void)words;
    return false;
}

static int origin_file_read_spec(struct gwc_origin *origin, struct gwc_spec **ret_spec,
                                 struct gw_problems *problems)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes text = {0};
    int read = gwc_file_read(origin->label, &text, problems);

    if (read == 0)
        read = gwc_spec_read(gw_bytes_view(&text), ret_spec, problems);
    return read > 0 ? GWC_ORIGIN_BAD : read;
}

static int origin_file_read_sources(struct gwc_origin *origin, const struct gwc_spec *spec,
                                    struct gwc_sources **ret_sources, struct gw_problems *problems)
{
    int read = gwc_sources_read(origin->label, spec, ret_sources, problems);

    return read > 0 ? GWC_ORIGIN_BAD : read;
}

static const struct gwc_origin_ops origin_file_ops = {
    .close = origin_file_close,
    .state = origin_file_state,
    .words = origin_file_words,
    .read_spec = origin_file_read_spec,
    .read_sources = origin_file_read_sources,
};

int gwc_origin_file_open(struct gwc_origin **ret_origin, const struct gwc_origin_name *name,
                         const struct gwc_origin_options *options)
{
    struct origin_file *file = calloc(1, sizeof(*file));

    if (file == NULL)
        return GW_RAISE(-ENOMEM);
    file->base = (struct gwc_origin){.ops = &origin_file_ops, .kind = GWC_ORIGIN_FILE};
    GW_AUTO(gwc_origin_closep) struct gwc_origin *origin = &file->base;
    file->base.label = gwc_origin_label_of(name, NULL);
    if (file->base.label == NULL)
        return GW_RAISE(-ENOMEM);
    GW_TRY(
        gwc_files_watch(&file->files, options->loop, name->path, SETTLE_MS, options->changed, options->user));
    *ret_origin = GW_TAKE(origin);
    return 0;
}
