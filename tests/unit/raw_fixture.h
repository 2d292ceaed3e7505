/* A peer that misbehaves as told: a socket on the loop that speaks what a test says, byte for byte. */
#ifndef RAW_FIXTURE_H
#define RAW_FIXTURE_H

#include "common/loop.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* Reads, says its words (NULL: nothing) once, and closes if told to. */
struct raw {
    struct gw_poll *poll, *connection_poll;
    struct gw_loop *loop;
    int listening, connection;
    const char *words;
    bool closes;
    char url[64];
    char seen[4096]; /* of the last request */
};

static void on_raw_readable(void *user, int events)
{
    struct raw *raw = user;
    ssize_t size;

    (void)events;
    size = read(raw->connection, raw->seen, sizeof(raw->seen) - 1);
    raw->seen[GW_MAX(size, 0)] = '\0';
    if (raw->words != NULL)
        (void)!send(raw->connection, raw->words, strlen(raw->words), MSG_NOSIGNAL);
    if (raw->closes)
        shutdown(raw->connection, SHUT_RDWR);
    gw_poll_set(raw->connection_poll, 0);
}

static void on_raw_dialled(void *user, int events)
{
    struct raw *raw = user;

    (void)events;
    if (raw->connection_poll != NULL) {
        raw->connection_poll = gw_poll_close(raw->connection_poll);
        close(raw->connection);
    }
    raw->connection = accept(raw->listening, NULL, NULL);
    assert_int_equal(gw_poll_open(&raw->connection_poll, raw->loop, raw->connection, on_raw_readable, raw),
                     0);
    gw_poll_set(raw->connection_poll, GW_READABLE);
}

static GW_UNUSED void raw_open(struct raw *raw, struct gw_loop *loop, const char *scheme, const char *words,
                               bool closes)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof(address);

    *raw = (struct raw){.loop = loop, .words = words, .closes = closes};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    raw->listening = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(raw->listening, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(raw->listening, 8), 0);
    assert_int_equal(getsockname(raw->listening, (struct sockaddr *)&address, &size), 0);
    snprintf(raw->url, sizeof(raw->url), "%s://127.0.0.1:%u/", scheme, ntohs(address.sin_port));
    assert_int_equal(gw_poll_open(&raw->poll, loop, raw->listening, on_raw_dialled, raw), 0);
    gw_poll_set(raw->poll, GW_READABLE);
}

static GW_UNUSED void raw_close(struct raw *raw)
{
    gw_poll_close(raw->poll);
    gw_poll_close(raw->connection_poll);
    if (raw->connection_poll != NULL)
        close(raw->connection);
    close(raw->listening);
}

/* More, when the test wants it. */
static GW_UNUSED void raw_say(struct raw *raw, const char *words)
{
    assert_int_equal(send(raw->connection, words, strlen(words), MSG_NOSIGNAL), strlen(words));
}

#endif
