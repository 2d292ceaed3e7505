/* Position: written and read. */
#include "gateway-servers/resource/position.h"

#include "common/clock.h"
#include "common/text.h"

static void write_resource(struct gw_bytes *out, const char *resource, const char *group)
{
    gw_bytes_printf(out, "%s%s%s", resource, group[0] == '\0' ? "" : ".", group);
}

void position_begin(struct gw_bytes *out, const char *resource, const char *group, int64_t at_ns,
                    int64_t since_ns)
{
    char at[GW_TIME_MAX], since[GW_TIME_MAX];

    write_resource(out, resource, group);
    gw_bytes_printf(out, " at=%s since=%s", gw_time_format(at, at_ns, 0),
                    gw_time_format(since, since_ns, -1));
}

void position_add(struct gw_bytes *out, const char *namespace_, const char *version)
{
    gw_bytes_printf(out, " /%s=%s", namespace_, version);
}

/* Cuts the next word off; false at the end. */
static bool next_word(struct gw_view *rest, struct gw_view *ret_word)
{
    *rest = gw_view_trim(*rest);
    if (rest->size == 0)
        return false;
    const char *space = memchr(rest->data, ' ', rest->size);
    size_t size = space == NULL ? rest->size : (size_t)(space - rest->data);

    *ret_word = gw_view(rest->data, size);
    *rest = gw_view(rest->data + size, rest->size - size);
    return true;
}

/* What stands behind "name=" in a word. */
static bool word_value(struct gw_view word, const char *name, struct gw_view *ret_value)
{
    size_t size = strlen(name);

    if (word.size <= size || memcmp(word.data, name, size) != 0 || word.data[size] != '=')
        return false;
    *ret_value = gw_view(word.data + size + 1, word.size - size - 1);
    return true;
}

static bool is_of_resource(struct gw_view word, const char *resource, const char *group)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes own = {0};

    write_resource(&own, resource, group);
    return gw_view_equal(word, gw_bytes_view(&own));
}

struct position position_read(struct gw_view text, const char *resource, const char *group)
{
    struct position position = {.text = text};
    struct gw_view rest = text, word, value;

    if (next_word(&rest, &word))
        position.of_resource = is_of_resource(word, resource, group);
    while (next_word(&rest, &word)) {
        int64_t ns;

        if (word_value(word, "at", &value) && gw_time_parse(value, &ns))
            position.at_ns = ns;
        else if (word_value(word, "since", &value) && gw_time_parse(value, &ns))
            position.since_ns = ns;
    }
    return position;
}

bool position_version(const struct position *position, const char *namespace_,
                      char ret_version[static POSITION_VERSION_MAX])
{
    struct gw_view rest = position->text, word, value;

    while (next_word(&rest, &word)) {
        if (word.data[0] != '/' || !word_value(gw_view(word.data + 1, word.size - 1), namespace_, &value) ||
            value.size == 0 || value.size >= POSITION_VERSION_MAX)
            continue;
        memcpy(ret_version, value.data, value.size);
        ret_version[value.size] = '\0';
        return true;
    }
    return false;
}

bool version_within(const char *a, const char *b)
{
    uint64_t number_a, number_b;

    if (a[0] == '\0' || strcmp(a, b) == 0)
        return true;
    return gw_text_u64(gw_view_text(a), UINT64_MAX, &number_a) &&
           gw_text_u64(gw_view_text(b), UINT64_MAX, &number_b) && number_a <= number_b;
}
