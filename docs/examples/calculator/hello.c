/* SPDX-License-Identifier: MIT */
/* The shortest whole program: a server and a client in one loop. */
#include "calculator.h" /* describes the service: add(a: i64, b: i64) -> i64 */

#include <choir/net.h>
#include <inttypes.h>
#include <stdio.h>

static void add(void *ctx, choir_responder to, const void *args, const choir_event *request) {
    const calculator_add_args *in = args;
    int64_t sum;
    (void)ctx, (void)request;
    if (__builtin_add_overflow(in->a, in->b, &sum))
        choir_respond_invalid(to, CHOIR_STR("too large"));
    else
        choir_respond(to, &sum); /* now; or keep `to` and answer later */
}

int main(void) {
    choir_handler *const handlers[CALCULATOR_METHODS] = {[CALCULATOR_ADD] = add};
    choir_loop *loop;
    choir_server *server;
    choir_client *client;
    const choir_event *done;

    choir_server_options serve;
    choir_server_options_init(&serve);
    serve.service = &calculator_service;
    serve.handlers = handlers;
    choir_client_options call;
    choir_client_options_init(&call);
    call.service = &calculator_service;

    if (choir_loop_new(NULL, &loop)) return 1;
    if (choir_listen(loop, "tcp://127.0.0.1:0", &serve, &server)) return 1;
    if (choir_connect(loop, choir_server_url(server), &call, &client)) return 1;

    int status =
        choir_client_call_wait(client, CALCULATOR_ADD, &(calculator_add_args){2, 3}, CHOIR_SECOND, &done);
    if (status != CHOIR_OK)
        fprintf(stderr, "%s\n", choir_status_text(status));
    else if (done->outcome != CHOIR_OUTCOME_OK)
        fprintf(stderr, "%s\n", choir_outcome_text(done->outcome));
    else
        printf("2 + 3 = %" PRId64 "\n", *(const int64_t *)done->value);
    choir_loop_free(loop);
    return 0;
}
