/* CloudEvents from strangers. The input is a request: header lines "Name: value", an empty line, the body. What is taken
 * must pass the checks, and come back the same from every form of 1.0 in which we send it on. */
#include "common/cloudevent.h"

#include <stdlib.h>
#include <strings.h>

enum { FUZZ_HEADERS_MAX = 100 };

struct fuzz_request {
    char *names[FUZZ_HEADERS_MAX], *values[FUZZ_HEADERS_MAX];
    size_t count;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *fuzz_header(const void *request, const char *name)
{
    const struct fuzz_request *fuzz = request;

    for (size_t i = 0; i < fuzz->count; i++)
        if (strcasecmp(fuzz->names[i], name) == 0)
            return fuzz->values[i];
    return NULL;
}

static void fuzz_headers(const void *request, void (*each)(void *user, const char *name, const char *value),
                         void *user)
{
    const struct fuzz_request *fuzz = request;

    for (size_t i = 0; i < fuzz->count; i++)
        each(user, fuzz->names[i], fuzz->values[i]);
}

/* Cuts `text` (NUL-terminated, changed) into headers and returns the body. */
static char *fuzz_split(char *text, char *end, struct fuzz_request *fuzz)
{
    while (text < end) {
        char *line_end = memchr(text, '\n', (size_t)(end - text));
        char *colon;

        if (line_end == NULL || line_end == text)
            return line_end == NULL ? text : text + 1;
        *line_end = '\0';
        colon = strchr(text, ':');
        if (colon != NULL && fuzz->count < FUZZ_HEADERS_MAX) {
            *colon = '\0';
            fuzz->names[fuzz->count] = text;
            fuzz->values[fuzz->count++] = colon + 1;
        }
        text = line_end + 1;
    }
    return end;
}

static int fuzz_same(void *user, const struct gw_event_fields *fields)
{
    const struct gw_event_fields *sent = user;

    assert(gw_view_equal(fields->id, sent->id) && gw_view_equal(fields->source, sent->source) &&
           gw_view_equal(fields->type, sent->type) && gw_view_equal(fields->subject, sent->subject) &&
           fields->time_ns == sent->time_ns);
    return 0;
}

static void fuzz_send_on(const struct gw_event *event, enum gw_event_mode mode)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes headers = {0};
    GW_AUTO(gw_bytes_done) struct gw_bytes body = {0};
    struct fuzz_request fuzz = {.count = 0};
    struct gw_event_source_http http = {fuzz_header, fuzz_headers, &fuzz, {0}};
    struct gw_event_fields sent = event->fields;
    struct gw_reason reason;
    size_t count;
    char *line;

    if (gw_event_encode(&event, 1, mode, &headers, &count, &body, &http.body) != 0)
        abort();
    if (mode >= GW_EVENT_LEGACY)
        return;
    line = headers.data;
    for (size_t i = 0; i < count && i < FUZZ_HEADERS_MAX; i++) {
        char *next = line + strlen(line) + 1, *colon = strchr(line, ':');

        *colon = '\0';
        fuzz.names[i] = line;
        fuzz.values[i] = colon[1] == ' ' ? colon + 2 : colon + 1;
        fuzz.count++;
        line = next;
    }
    if (gw_event_decode(&http, fuzz_same, &sent, &reason) != 0)
        abort();
}

static int fuzz_event(void *user, const struct gw_event_fields *fields)
{
    GW_AUTO(gw_event_unrefp) struct gw_event *event = gw_event_new(fields);
    struct gw_reason reason;

    (void)user;
    assert(gw_event_check(fields, &reason));
    for (int mode = GW_EVENT_STRUCTURED; mode <= GW_EVENT_LEGACY_03_JSON; mode++)
        fuzz_send_on(event, (enum gw_event_mode)mode);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    GW_AUTO(gw_freep) char *text = malloc(size + 1);
    struct fuzz_request fuzz = {.count = 0};
    struct gw_event_source_http http = {fuzz_header, fuzz_headers, &fuzz, {0}};
    struct gw_reason reason;
    char *body;

    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    body = fuzz_split(text, text + size, &fuzz);
    http.body = gw_view(body, (size_t)(text + size - body));
    return gw_event_decode(&http, fuzz_event, NULL, &reason) < 0 ? -1 : 0;
}
