/* SPDX-License-Identifier: MIT */
/* A server of the evolved Testbed, which echoes as the other one does: evolved_server URL. */
#include "generated/testbed_evolved.h"

#include <stdio.h>

static void profile(void *ctx, choir_responder to, const evolved_echo_profile_args *args,
                    const choir_event *request) {
    (void)ctx, (void)request;
    evolved_reply_echo_profile(to, &args->profile);
}
static void record(void *ctx, choir_responder to, const evolved_echo_record_args *args,
                   const choir_event *request) {
    (void)ctx, (void)request;
    evolved_reply_echo_record(to, &args->record);
}
static void status(void *ctx, choir_responder to, const evolved_echo_status_args *args,
                   const choir_event *request) {
    (void)ctx, (void)request;
    evolved_reply_echo_status(to, &args->status);
}
static void tag(void *ctx, choir_responder to, const evolved_echo_tag_args *args,
                const choir_event *request) {
    (void)ctx, (void)request;
    evolved_reply_echo_tag(to, &args->tag);
}
static void measurement(void *ctx, choir_responder to, const evolved_echo_measurement_args *args,
                        const choir_event *request) {
    (void)ctx, (void)request;
    evolved_reply_echo_measurement(to, &args->m);
}
static void config(void *ctx, choir_responder to, const evolved_echo_config_args *args,
                   const choir_event *request) {
    (void)ctx, (void)request;
    evolved_reply_echo_config(to, &args->c);
}

static const evolved_handlers handlers = {
    sizeof handlers, profile, record, status, tag, measurement, config,
};

int main(int argc, char **argv) {
    choir_loop *loop;
    choir_server *server;
    choir_server_options options;
    if (argc != 2) {
        fprintf(stderr, "usage: %s URL\n", argv[0]);
        return 2;
    }
    if (choir_loop_new(NULL, &loop) != CHOIR_OK) return 2;
    choir_server_options_init(&options);
    evolved_serve(&options, &handlers, NULL);
    if (choir_listen(loop, argv[1], &options, &server) != CHOIR_OK) {
        choir_str why = choir_loop_error(loop);
        fprintf(stderr, "%s: %.*s\n", argv[1], (int)why.len, why.data);
        choir_loop_free(loop);
        return 2;
    }
    printf("listening on %s\n", choir_server_url(server));
    fflush(stdout);
    choir_loop_run(loop); /* until it is killed */
    choir_loop_free(loop);
    return 0;
}
