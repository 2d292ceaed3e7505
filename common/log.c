/* The log: one line an occurrence, logfmt or JSON, on standard error. */
#include "common/log.h"

#include "common/bytes.h"
#include "common/clock.h"
#include "common/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

static const char *const level_names[] = {"debug", "info", "warn", "error"};
static const char *const format_names[] = {"logfmt", "json"};

static _Atomic int log_level = GW_LOG_INFO;
static _Atomic int log_format = GW_LOG_LOGFMT;

static int name_index(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (name != NULL && strcmp(names[i], name) == 0)
            return (int)i;
    return -1;
}

bool gw_log_set_level(const char *name)
{
    int index = name_index(level_names, GW_COUNT_OF(level_names), name);

    if (index >= 0)
        log_level = index;
    return index >= 0;
}

bool gw_log_set_format(const char *name)
{
    int index = name_index(format_names, GW_COUNT_OF(format_names), name);

    if (index >= 0)
        log_format = index;
    return index >= 0;
}

bool gw_log_enabled(enum gw_log_level level)
{
    return (int)level >= log_level;
}

const char *gw_number_text(char buffer[static 24], int64_t number)
{
    snprintf(buffer, 24, "%" PRId64, number);
    return buffer;
}

static void escape(struct gw_bytes *line, unsigned char byte)
{
    static const char shorts[] = "\"\"\\\\\nn\rr\tt";

    for (const char *pair = shorts; *pair != '\0'; pair += 2) {
        if ((unsigned char)pair[0] != byte)
            continue;
        gw_bytes_append_char(line, '\\');
        gw_bytes_append_char(line, pair[1]);
        return;
    }
    gw_bytes_printf(line, "\\u%04x", byte);
}

/* In double quotes, as JSON does it (logfmt readers take the same escapes). Bytes that are not UTF-8 become
 * U+FFFD. */
static void write_quoted(struct gw_bytes *line, struct gw_view text)
{
    bool valid = gw_utf8_valid(text);

    gw_bytes_append_char(line, '"');
    for (size_t i = 0; i < text.size; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        if (byte < 0x20 || byte == '"' || byte == '\\' || byte == 0x7F)
            escape(line, byte);
        else if (byte >= 0x80 && !valid)
            gw_bytes_append_text(line, "\xEF\xBF\xBD");
        else
            gw_bytes_append_char(line, (char)byte);
    }
    gw_bytes_append_char(line, '"');
}

static bool is_plain(struct gw_view text)
{
    for (size_t i = 0; i < text.size; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        if (byte <= ' ' || byte == '"' || byte == '=' || byte == '\\' || byte == 0x7F)
            return false;
    }
    return text.size > 0 && gw_utf8_valid(text);
}

static void write_pair(struct gw_bytes *line, const char *name, const char *value)
{
    struct gw_view text = gw_view_text(value);

    if (log_format == GW_LOG_JSON) {
        gw_bytes_append_text(line, line->size == 0 ? "{" : ",");
        write_quoted(line, gw_view_text(name));
        gw_bytes_append_char(line, ':');
        write_quoted(line, text);
        return;
    }
    gw_bytes_printf(line, "%s%s=", line->size == 0 ? "" : " ", name);
    if (is_plain(text))
        gw_bytes_append_view(line, text);
    else
        write_quoted(line, text);
}

static void line_write(struct gw_bytes *line)
{
    gw_bytes_append_text(line, log_format == GW_LOG_JSON ? "}\n" : "\n");
    if (line->failed) {
        static const char lost[] = "level=error message=\"a log line was lost: no memory\"\n";
        if (write(STDERR_FILENO, lost, sizeof(lost) - 1) < 0)
            return;
        return;
    }
    const char *rest = line->data;
    size_t size = line->size;
    while (size > 0) {
        ssize_t written = write(STDERR_FILENO, rest, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return; /* nobody is left to tell */
        rest += written;
        size -= (size_t)written;
    }
}

void gw_log(enum gw_log_level level, const char *message, ...)
{
    GW_AUTO(gw_bytes_done) struct gw_bytes line = {0};
    int saved = errno;
    char now[GW_TIME_MAX];
    va_list pairs;

    if (!gw_log_enabled(level))
        return;
    write_pair(&line, "time", gw_time_format(now, gw_clock_realtime_ns(), 3));
    write_pair(&line, "level", level_names[level]);
    write_pair(&line, "message", message);
    va_start(pairs, message);
    for (const char *name = va_arg(pairs, const char *); name != NULL; name = va_arg(pairs, const char *)) {
        const char *value = va_arg(pairs, const char *);
        if (value != NULL)
            write_pair(&line, name, value);
    }
    va_end(pairs);
    line_write(&line);
    errno = saved;
}
