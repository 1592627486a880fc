/* SPDX-License-Identifier: MIT */
/* Builds a value with lists, options and text, and looks at an enum that comes back. */
#include "greeter.h"

#include <stdio.h>

static void greet(void *ctx, greeter_greet_responder to, const greeter_greet_args *args,
                  const choir_event *request) {
    const greeter_person *person = &args->person;
    choir_str verses[2];
    (void)ctx, (void)request;
    if (args->languages.len == 0) {
        greeter_fail_greet(to, CHOIR_STR("no language in common"));
        return;
    }
    verses[0] = person->titles.len > 0 ? person->titles.items[0] : CHOIR_STR("Dear");
    verses[1] = person->nickname.some ? person->nickname.value : person->name;
    const greeter_greeting song = {.tag = GREETER_GREETING_SONG, .song = {{verses, 2}, .loud = true}};
    greeter_reply_greet(to, &song); /* encoded at once: what it points to may be on the stack */
}

static void print(const greeter_greeting *greeting) {
    const choir_str_list *verses = &greeting->song.verses;
    switch (greeting->tag) { /* without a default, so that a compiler finds a variant that is added */
    case GREETER_GREETING_SILENCE: break;
    case GREETER_GREETING_WORDS: printf("%.*s\n", CHOIR_STR_ARGS(greeting->words)); break;
    case GREETER_GREETING_SONG:
        for (size_t i = 0; i < verses->len; i++) printf("%.*s\n", CHOIR_STR_ARGS(verses->items[i]));
        break;
    }
}

int main(void) {
    static const greeter_handlers handlers = {.size = sizeof handlers, .greet = greet};
    choir_loop *loop;
    choir_server *server;
    choir_client *client;
    const choir_event *done;
    choir_server_options serve;
    choir_client_options call;

    choir_server_options_init(&serve);
    greeter_serve(&serve, &handlers, NULL);
    choir_client_options_init(&call);
    call.service = &greeter_service;
    if (choir_loop_new(NULL, &loop) || choir_listen(loop, "mem://greeter", &serve, &server) ||
        choir_connect(loop, "mem://greeter", &call, &client))
        return 1;

    const choir_str titles[] = {CHOIR_STR("Professor"), CHOIR_STR("Dr.")}, languages[] = {CHOIR_STR("en")};
    const greeter_person person = {
        .name = CHOIR_STR("Ada Lovelace"), .titles = {titles, 2}, .nickname = CHOIR_SOME(CHOIR_STR("Ada"))};
    if (greeter_wait_greet(client, &person, (choir_str_list){languages, 1}, CHOIR_SECOND, &done)) return 1;
    if (greeter_ok_greet(done)) print(greeter_ok_greet(done));
    if (greeter_wait_greet(client, &person, (choir_str_list){NULL, 0}, CHOIR_SECOND, &done)) return 1;
    const choir_str *why = greeter_err_greet(done);
    if (why) printf("error: %.*s\n", CHOIR_STR_ARGS(*why));
    choir_loop_free(loop);
    return 0;
}
