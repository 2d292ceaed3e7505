/* Rows of the outbox: an event as SQL sees it, in and out. */
#include "gateway-client/outbox/outbox_internal.h"

#include <stdlib.h>

int outbox_bind_text(sqlite3_stmt *statement, int column, struct gw_view view)
{
    if (view.size == 0)
        return gw_sqlite_fault(sqlite3_bind_null(statement, column));
    return gw_sqlite_fault(
        sqlite3_bind_text64(statement, column, view.data, view.size, SQLITE_STATIC, SQLITE_UTF8));
}

int outbox_bind_blob(sqlite3_stmt *statement, int column, struct gw_view view)
{
    if (view.size == 0)
        return gw_sqlite_fault(sqlite3_bind_null(statement, column));
    return gw_sqlite_fault(sqlite3_bind_blob64(statement, column, view.data, view.size, SQLITE_STATIC));
}

/* Of text, too: column_text() might convert and run out of memory, column_blob() of UTF-8 text does neither. */
struct gw_view outbox_column_view(sqlite3_stmt *statement, int column)
{
    const void *data = sqlite3_column_blob(statement, column);
    int size = sqlite3_column_bytes(statement, column);
    return data == NULL ? (struct gw_view){0} : gw_view(data, (size_t)size);
}

static const char extension_kinds[] = {
    [GW_EXTENSION_TEXT] = 't', [GW_EXTENSION_BOOL] = 'b', [GW_EXTENSION_INTEGER] = 'i'};

void outbox_extensions_encode(struct gw_bytes *out, const struct gw_extension *extensions, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct gw_extension *extension = &extensions[i];
        gw_bytes_printf(out, "%c%zu:", extension_kinds[extension->kind], extension->name.size);
        gw_bytes_append_view(out, extension->name);
        gw_bytes_printf(out, "%zu:", extension->value.size);
        gw_bytes_append_view(out, extension->value);
    }
}

/* Cuts "5:value" off the front of `rest`. */
static bool netstring_cut(struct gw_view *rest, struct gw_view *ret_text)
{
    size_t size = 0, at = 0;
    while (at < rest->size && rest->data[at] >= '0' && rest->data[at] <= '9' && size <= rest->size)
        size = size * 10 + (size_t)(rest->data[at++] - '0');
    if (at == 0 || at == rest->size || rest->data[at] != ':' || size > rest->size - at - 1)
        return false;
    *ret_text = gw_view(rest->data + at + 1, size);
    *rest = gw_view(rest->data + at + 1 + size, rest->size - at - 1 - size);
    return true;
}

static int extension_decode(struct gw_view *rest, struct gw_extension *extension)
{
    const char *kind = memchr(extension_kinds, rest->data[0], sizeof(extension_kinds));
    if (kind == NULL)
        return GW_RAISE(-EBADMSG);
    *rest = gw_view(rest->data + 1, rest->size - 1);
    extension->kind = (enum gw_extension_kind)(kind - extension_kinds);
    if (!netstring_cut(rest, &extension->name) || !netstring_cut(rest, &extension->value))
        return GW_RAISE(-EBADMSG);
    return 0;
}

static int extensions_decode(struct outbox_row *row, struct gw_view rest)
{
    size_t count = 0;
    while (rest.size > 0) {
        if (count == row->extensions_capacity) {
            size_t capacity = count == 0 ? 8 : count * 2;
            struct gw_extension *extensions = realloc(row->extensions, capacity * sizeof(*extensions));
            if (extensions == NULL)
                return GW_RAISE(-ENOMEM);
            row->extensions = extensions;
            row->extensions_capacity = capacity;
        }
        GW_TRY(extension_decode(&rest, &row->extensions[count]));
        count++;
    }
    row->fields.extensions = row->extensions;
    row->fields.extensions_count = count;
    return 0;
}

int outbox_row_read(struct outbox_row *row, sqlite3_stmt *statement, int first)
{
    struct gw_event_fields *fields = &row->fields;
    struct gw_view *const texts[] = {&fields->id,
                                     &fields->source,
                                     &fields->type,
                                     &fields->subject,
                                     &fields->data_content_type,
                                     &fields->data_schema,
                                     &fields->partition_key,
                                     &fields->gateway,
                                     &fields->event_source,
                                     &fields->kind};

    *fields = (struct gw_event_fields){0};
    row->sequence = (uint64_t)sqlite3_column_int64(statement, first);
    row->accepted_ns = sqlite3_column_int64(statement, first + 1);
    fields->time_ns = sqlite3_column_int64(statement, first + 2);
    for (int i = 0; i < (int)GW_COUNT_OF(texts); i++)
        *texts[i] = outbox_column_view(statement, first + 3 + i);
    fields->data = outbox_column_view(statement, first + 14);
    return extensions_decode(row, outbox_column_view(statement, first + 13));
}

int outbox_row_event(const struct outbox_row *row, struct gw_event **ret_event)
{
    struct gw_event *event = gw_event_new(&row->fields);
    if (event == NULL)
        return GW_RAISE(-ENOMEM);
    event->sequence = row->sequence;
    event->accepted_ns = row->accepted_ns;
    *ret_event = event;
    return 0;
}

void outbox_row_done(struct outbox_row *row)
{
    free(row->extensions);
    *row = (struct outbox_row){0};
}
