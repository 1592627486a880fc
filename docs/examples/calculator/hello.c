/* SPDX-License-Identifier: MIT */
/* The shortest whole program: a server and a client in one loop. */
#include "calculator.h" /* made from calculator.rs: async fn add(&self, a: i64, b: i64) -> i64; */

#include <inttypes.h>
#include <stdio.h>

static void add(void *ctx, calculator_add_responder to, const calculator_add_args *args,
                const choir_event *request) {
    int64_t sum;
    (void)ctx, (void)request;
    if (__builtin_add_overflow(args->a, args->b, &sum))
        choir_respond_invalid(to.any, CHOIR_STR("too large"));
    else
        calculator_reply_add(to, sum); /* now; or keep `to` and answer later */
}

int main(void) {
    static const calculator_handlers handlers = {.size = sizeof handlers, .add = add};
    choir_loop *loop;
    choir_server *server;
    choir_client *client;
    const choir_event *done;

    choir_server_options serve;
    choir_server_options_init(&serve);
    calculator_serve(&serve, &handlers, NULL);
    choir_client_options call;
    choir_client_options_init(&call);
    call.service = &calculator_service;

    if (choir_loop_new(NULL, &loop)) return 1;
    if (choir_listen(loop, "tcp://127.0.0.1:0", &serve, &server)) return 1;
    if (choir_connect(loop, choir_server_url(server), &call, &client)) return 1;

    char why[512];
    int status = calculator_wait_add(client, 2, 3, CHOIR_SECOND, &done);
    if (calculator_ok_add(done))
        printf("2 + 3 = %" PRId64 "\n", *calculator_ok_add(done));
    else
        fprintf(stderr, "%s\n", choir_explain(client, status, done, why, sizeof why));
    choir_loop_free(loop);
    return 0;
}
